/**
 * Chromium without a window, with a profile of its own, steered by its own protocol (DevTools): one WebSocket with JSON, no driver in
 * between.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE_MS, Program } from './program.js';
import { SteeringSocket } from './steering-socket.js';
import { until } from './support.js';

/** Debian's name of it. */
export const CHROMIUM = 'chromium';

/** Nothing that a browser does by itself: traffic, first-run pages, questions. */
const quietFlags = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-dev-shm-usage',
  '--disable-extensions',
  '--disable-gpu',
  '--disable-sync',
  '--no-default-browser-check',
  '--no-first-run',
  '--password-store=basic',
];

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

export class Chromium {
  readonly program: Program;
  readonly #socket: SteeringSocket<Answer>;

  private constructor(program: Program, socket: SteeringSocket<Answer>) {
    this.program = program;
    this.#socket = socket;
  }

  /** Resolves when it can be steered. The profile is kept over restarts. */
  static async start(profileDirectory: string): Promise<Chromium> {
    mkdirSync(profileDirectory, { recursive: true });
    // It writes this file when it can be steered; one of a killed predecessor would lead astray.
    const addressFile = join(profileDirectory, 'DevToolsActivePort');
    rmSync(addressFile, { force: true });
    const flags = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${profileDirectory}`];
    // Its sandbox refuses to be set up by root.
    if (process.getuid?.() === 0) flags.push('--no-sandbox');
    const program = new Program(CHROMIUM, [...flags, ...quietFlags, 'about:blank'], {
      env: { HOME: profileDirectory },
    });
    try {
      const written = await program.file(addressFile, (text) =>
        /^\d+\n\/devtools\/browser\/[\w-]{36}/.test(text),
      );
      const [port, path] = written.split('\n') as [string, string];
      const socket = await SteeringSocket.open<Answer>(program, `ws://127.0.0.1:${port}${path}`);
      return new Chromium(program, socket);
    } catch (error) {
      await program.end();
      throw error;
    }
  }

  /** A tab of its own; resolves when the page is loaded. */
  async open(url: string): Promise<Tab> {
    const { targetId } = (await this.command('Target.createTarget', { url: 'about:blank' })) as {
      readonly targetId: string;
    };
    const { sessionId } = (await this.command('Target.attachToTarget', { targetId, flatten: true })) as {
      readonly sessionId: string;
    };
    const tab = new Tab(this, targetId, sessionId);
    await tab.goTo(url);
    return tab;
  }

  /** SIGKILL, if it still runs. */
  async kill(): Promise<void> {
    this.#socket.terminate();
    await this.program.end();
  }

  /** @param patienceMs how long the answer may take. */
  async command(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    sessionId?: string,
    patienceMs = PATIENCE_MS,
  ): Promise<unknown> {
    const { result, error } = await this.#socket.command({ method, params, sessionId }, patienceMs);
    if (error === undefined) return result;
    throw new Error(`${method}: ${error.message}`);
  }
}

export class Tab {
  readonly #chromium: Chromium;
  readonly #targetId: string;
  readonly #sessionId: string;

  constructor(chromium: Chromium, targetId: string, sessionId: string) {
    this.#chromium = chromium;
    this.#targetId = targetId;
    this.#sessionId = sessionId;
  }

  command(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    patienceMs = PATIENCE_MS,
  ): Promise<unknown> {
    return this.#chromium.command(method, params, this.#sessionId, patienceMs);
  }

  /** Resolves when the page is loaded. */
  async goTo(url: string): Promise<void> {
    await this.command('Page.navigate', { url });
    const wanted = JSON.stringify(new URL(url).href);
    await until(
      // Between two pages there is none to ask.
      () =>
        this.evaluate(`document.readyState === 'complete' && location.href === ${wanted}`).catch(
          () => false,
        ) as Promise<boolean>,
      PATIENCE_MS,
      () => `${url} is loaded`,
    );
  }

  /** The value of an expression, or of its promise, as JSON carries it. */
  async evaluate(expression: string, patienceMs = PATIENCE_MS): Promise<unknown> {
    const parameters = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = (await this.command('Runtime.evaluate', parameters, patienceMs)) as {
      readonly result: { readonly value?: unknown };
      readonly exceptionDetails?: {
        readonly text: string;
        readonly exception?: { readonly description?: string };
      };
    };
    if (exceptionDetails === undefined) return result.value;
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  }

  async close(): Promise<void> {
    await this.#chromium.command('Target.closeTarget', { targetId: this.#targetId });
  }
}
