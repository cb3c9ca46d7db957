/** The demo's timeline: who did what, when, in words a newcomer understands; or as JSON lines. */

/** Whose line it is. */
export type Lane = 'sender' | 'server' | 'phone' | 'app';

const laneColours: Record<Lane, number> = { sender: 36, server: 33, phone: 35, app: 32 };

export interface PrinterOptions {
  readonly write: (text: string) => void;
  readonly isJson: boolean;
  readonly hasColours: boolean;
}

export class TimelinePrinter {
  readonly #options: PrinterOptions;
  readonly #startMs = performance.now();

  constructor(options: PrinterOptions) {
    this.#options = options;
  }

  /** One event: `what` in a word or two, `detail` for the curious. */
  event(lane: Lane, what: string, detail = ''): void {
    const elapsedMs = performance.now() - this.#startMs;
    const { write, isJson } = this.#options;
    if (isJson) {
      write(`${JSON.stringify({ elapsedMs: Math.round(elapsedMs * 10) / 10, lane, what, detail })}\n`);
      return;
    }
    const time = `${(elapsedMs / 1000).toFixed(3).padStart(7)} s`;
    const name = this.#colour(lane.padEnd(7), laneColours[lane]);
    write(`${this.#colour(time, 2)}  ${name} ${what.padEnd(20)} ${this.#colour(detail, 2)}`.trimEnd() + '\n');
  }

  /** A headline that tells what comes next. */
  chapter(title: string): void {
    const { write, isJson } = this.#options;
    if (isJson) write(`${JSON.stringify({ chapter: title })}\n`);
    else write(`\n${this.#colour(title, 1)}\n`);
  }

  /** The end: figures by name. */
  result(figures: Readonly<Record<string, string | number | boolean>>, verdict: string): void {
    const { write, isJson } = this.#options;
    if (isJson) {
      write(`${JSON.stringify({ result: figures, verdict })}\n`);
      return;
    }
    write('\n');
    for (const [name, value] of Object.entries(figures)) write(`  ${name.padEnd(34)} ${value}\n`);
    write(`\n${this.#colour(verdict, 1)}\n`);
  }

  #colour(text: string, code: number): string {
    return this.#options.hasColours ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}
