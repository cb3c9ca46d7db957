/** A program's end of a box's control socket: requests with their answers, and events. Knows lines, not what they are for. */
import { connect, type Socket } from 'node:net';

export interface ControlAnswer {
  readonly ok: boolean;
  readonly error?: string;
  readonly message?: string;
  readonly [field: string]: unknown;
}

export interface ControlHandler {
  handleEvent(event: string, fields: Readonly<Record<string, unknown>>): void;
  /** It has ended, or could not be had. The last call. */
  handleEnd(error: Error | undefined): void;
}

/** Longest line that a box writes: its state, with room. */
const LINE_CHARS_MAX = 64 * 1024;

export class ControlSocket {
  readonly #socket: Socket;
  readonly #handler: ControlHandler;
  readonly #asked = new Map<number, (answer: ControlAnswer) => void>();
  readonly #ended: Promise<void>;
  #rest = '';
  #lastId = 0;
  #error: Error | undefined;

  constructor(path: string, handler: ControlHandler) {
    this.#handler = handler;
    this.#socket = connect(path);
    // The line keeps the process running, the box's socket need not.
    this.#socket.unref();
    this.#socket.setEncoding('utf8');
    this.#socket.on('data', (text: string) => this.#handleText(text));
    this.#socket.on('error', (error) => (this.#error = error));
    this.#ended = new Promise((resolve) => {
      this.#socket.on('close', () => {
        const answer = { ok: false, error: 'CONTROL_CLOSED', message: this.#error?.message ?? 'closed' };
        for (const settle of this.#asked.values()) settle(answer);
        this.#asked.clear();
        this.#handler.handleEnd(this.#error);
        resolve();
      });
    });
  }

  /** Never rejects: a box that has gone answers CONTROL_CLOSED. */
  ask(request: Readonly<Record<string, unknown>>): Promise<ControlAnswer> {
    return new Promise((resolve) => {
      const id = (this.#lastId += 1);
      if (this.#socket.destroyed) return resolve({ ok: false, error: 'CONTROL_CLOSED' });
      this.#asked.set(id, resolve);
      this.#socket.write(`${JSON.stringify({ ...request, id })}\n`);
    });
  }

  close(): Promise<void> {
    this.#socket.destroy();
    return this.#ended;
  }

  #handleText(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.#handleLine(line);
    if (this.#rest.length > LINE_CHARS_MAX) this.#socket.destroy(new Error('a line of the box is too long'));
  }

  #handleLine(line: string): void {
    let fields: Record<string, unknown>;
    try {
      fields = JSON.parse(line) as Record<string, unknown>;
    } catch (error) {
      this.#socket.destroy(new Error('a line of the box is no JSON', { cause: error }));
      return;
    }
    if (typeof fields['event'] === 'string') return this.#handler.handleEvent(fields['event'], fields);
    const id = Number(fields['id']);
    const settle = this.#asked.get(id);
    this.#asked.delete(id);
    settle?.(fields as ControlAnswer & Record<string, unknown>);
  }
}
