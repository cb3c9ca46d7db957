/** What the tests with real processes share: a server that controls the program, boxes that are cleaned up. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

import { cgroupPrefix, findCgroupParents } from '../src/freezer.js';
import { readProcessStat } from '../src/processes.js';
import { Sleepbox, SleepboxError, type SleepboxOptions, type TimelineEvent } from '../src/index.js';

/** Fixtures stay in the source tree: they are not compiled. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));
}

/** One message from `controlled.mjs`. */
export type Message = Record<string, unknown>;

/** The program's peer. Messages are taken in order of their arrival. */
export class ProgramServer {
  readonly #server: Server = createServer((socket) => this.#accept(socket));
  readonly #messages: Message[] = [];
  readonly #waiting: { isWanted: (message: Message) => boolean; resolve: (message: Message) => void }[] = [];
  socket: Socket | undefined;
  isClosedByPeer = false;
  errorCode: string | undefined;

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this.port;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  send(order: Message): void {
    this.socket?.write(`${JSON.stringify(order)}\n`);
  }

  /** The first message, come or to come, that has this field; it is taken out. */
  async next(field: string): Promise<Message> {
    const isWanted = (message: Message): boolean => Object.hasOwn(message, field);
    const at = this.#messages.findIndex(isWanted);
    if (at >= 0) return this.#messages.splice(at, 1)[0] as Message;
    return new Promise((resolve) => this.#waiting.push({ isWanted, resolve }));
  }

  /** Sends an order to the control socket and gives its answer. */
  async control(request: Message): Promise<Message> {
    this.send({ control: request });
    return (await this.next('answer'))['answer'] as Message;
  }

  async echo(value: unknown, delayMs = 0): Promise<void> {
    this.send({ echo: value, delayMs });
    const { echo } = await this.next('echo');
    if (echo !== value) throw new Error(`echo ${String(echo)} instead of ${String(value)}`);
  }

  close(): void {
    this.#server.close();
    this.socket?.destroy();
  }

  #accept(socket: Socket): void {
    this.socket = socket.setNoDelay(true);
    socket.on('error', (error) => {
      this.errorCode = (error as NodeJS.ErrnoException).code;
    });
    socket.on('close', () => {
      this.isClosedByPeer = true;
      this.#handle({ closed: true });
    });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        this.#handle(JSON.parse(text.slice(0, end)) as Message);
        text = text.slice(end + 1);
      }
    });
  }

  #handle(message: Message): void {
    const at = this.#waiting.findIndex(({ isWanted }) => isWanted(message));
    if (at >= 0) this.#waiting.splice(at, 1)[0]?.resolve(message);
    else this.#messages.push(message);
  }
}

/** A box that keeps its events. */
export interface TestBox {
  readonly box: Sleepbox;
  readonly server: ProgramServer;
  readonly events: TimelineEvent[];
  /** Resolves with the next event of a type that has not been waited for. */
  next<Type extends TimelineEvent['type']>(type: Type): Promise<TimelineEvent & { type: Type }>;
}

/** A directory of its own for control sockets; gone after the test. */
export function makeRuntimeDirectory(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sb-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'run');
}

/** Starts `controlled.mjs` in a box; when the test ends the box is stopped. */
export async function startBox(
  context: TestContext,
  options: Partial<SleepboxOptions> = {},
): Promise<TestBox> {
  const server = new ProgramServer();
  const port = await server.listen();
  const box = new Sleepbox({
    command: [process.execPath, fixture('controlled.mjs'), String(port)],
    windowMs: 300,
    runtimeDirectory: makeRuntimeDirectory(context),
    ...options,
  });
  const events: TimelineEvent[] = [];
  const taken = new Set<TimelineEvent>();
  let onEvent = (): void => {};
  box.on('event', (event) => {
    events.push(event);
    onEvent();
  });
  context.after(async () => {
    await box.stop();
    server.close();
  });
  // A busy machine may need longer than a short window to start the program.
  const letSleep = keepAwake(box);
  await box.start();
  await server.next('hello');
  await until(() => box.status().phase === 'awake');
  letSleep();
  for (const event of events) taken.add(event);
  const next: TestBox['next'] = async (type) => {
    for (;;) {
      const found = events.find((event) => event.type === type && !taken.has(event));
      if (found !== undefined) {
        taken.add(found);
        return found as never;
      }
      if (box.status().phase === 'down') throw new Error(`down before "${type}"`);
      await new Promise<void>((resolve) => {
        const before = onEvent;
        onEvent = () => {
          before();
          resolve();
        };
      });
    }
  };
  return { box, server, events, next };
}

/**
 * Wakes the program whenever it falls asleep from now on, until the returned is called: on a busy machine it may not get its
 * turn within a short window, and nothing else would give it another.
 */
export function keepAwake(box: Sleepbox, isAllowed = (): boolean => true): () => void {
  const handle = (event: TimelineEvent): void => {
    if (event.type !== 'asleep' || !isAllowed()) return;
    box.wake().catch((error: unknown) => {
      // The box may end meanwhile.
      if (!(error instanceof SleepboxError && error.code === 'NOT_NOW')) throw error;
    });
  };
  box.on('event', handle);
  return () => void box.off('event', handle);
}

/**
 * An echo from a program in short windows. It is woken by hand only when the box has noticed that something came, and
 * has given a window for it in which the program did not get its turn: what the box misses stays unanswered.
 */
export async function echoInWindows({ box, server }: TestBox, value: unknown, delayMs = 0): Promise<void> {
  const noticed = (): number => box.summary.wakes.data + box.summary.windowsExtended;
  const before = noticed();
  const letSleep = keepAwake(box, () => noticed() > before);
  await server.echo(value, delayMs);
  letSleep();
}

/** Cgroups of boxes that this machine has, by directory. */
export function listOurCgroups(): string[] {
  const parents = new Set(findCgroupParents().map(({ directory }) => directory));
  return [...parents].flatMap((parent) =>
    existsSync(parent)
      ? readdirSync(parent)
          .filter((name) => name.startsWith(cgroupPrefix))
          .map((name) => join(parent, name))
      : [],
  );
}

/** Polls until something is so; the test's own time limit is the bound. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Neither gone nor a zombie. */
export function isRunning(pid: number): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && stat.state !== 'Z' && stat.state !== 'X';
}
