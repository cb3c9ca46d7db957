/** `wakeline up`: runs a server until a signal ends it. */
import { homedir } from 'node:os';
import type { RunningLines, RunningServer } from '@wakeline/server/program';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import type { CliIo } from '../io.js';

export interface UpOptions {
  readonly data?: string;
  readonly listen?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly config?: string;
  readonly insecure?: boolean;
  readonly behindProxy?: readonly string[];
  readonly publicUrl?: string;
  readonly logLevel?: string;
  readonly lines?: string;
  readonly json?: boolean;
}

/** A server that has not left by then is left behind. */
const STOP_MS_MAX = 10_000;

export async function runUp(options: UpOptions, io: CliIo): Promise<number> {
  // Before the server's modules are loaded: whoever asks it to leave meanwhile is heard.
  const signals = new SignalWatch();
  try {
    return await runUntilTold(options, io, signals);
  } finally {
    signals.stop();
  }
}

async function runUntilTold(options: UpOptions, io: CliIo, signals: SignalWatch): Promise<number> {
  const { loadConfig, startLines, startServer } = await import('@wakeline/server/program');
  const flags = {
    data: options.data,
    listen: options.listen,
    'tls.cert': options.tlsCert,
    'tls.key': options.tlsKey,
    insecure: options.insecure,
    behindProxy: options.behindProxy,
    publicUrl: options.publicUrl,
    logLevel: options.logLevel,
    lines: options.lines,
  };
  const { environment } = io;
  const config = loadConfig({
    file: options.config,
    flags,
    environment,
    workingDirectory: process.cwd(),
    homeDirectory: homedir(),
  });
  try {
    const starting = config.lines > 0 ? startLines(config) : startServer(config);
    const server = await startedUnlessTold(starting, signals.first);
    if (server === undefined) return exitCodes.ok.code;
    const urls = server.addresses.map(({ url }) => url);
    const data = config.dataDirectory;
    const ready =
      options.json === true
        ? JSON.stringify({ event: 'ready', urls, data, ...processesOf(server) })
        : `wakeline: ready ${urls.join(' ')} data=${data}`;
    io.stdout.write(`${ready}\n`);
    const failure = await Promise.race([signals.first, server.failed]);
    if (failure instanceof Error) {
      await stopInTime(server);
      if (!ownFaults.has((failure as { code?: unknown }).code)) throw failure;
      io.stderr.write(`wakeline: the server stopped itself: ${failure.message}\n`);
      return exitCodes.hubFailed.code;
    }
    return (await stopInTime(server)) ? exitCodes.ok.code : exitCodes.failure.code;
  } catch (error) {
    throw explained(error);
  }
}

/** Undefined when a signal came first; what was started by then has been stopped. */
async function startedUnlessTold(
  starting: Promise<RunningServer | RunningLines>,
  signal: Promise<NodeJS.Signals>,
): Promise<RunningServer | RunningLines | undefined> {
  const first = await Promise.race([starting, signal]);
  if (typeof first !== 'string') return first;
  const started = starting.then((server) => server.stop());
  // Whatever it is that does not come to an end: nobody waits for it.
  const timer = setTimeout(() => process.exit(exitCodes.failure.code), STOP_MS_MAX);
  await started.catch(() => undefined);
  clearTimeout(timer);
  return undefined;
}

/** For machines: who is who, where there are several. */
function processesOf(server: RunningServer | RunningLines): object {
  return 'linePids' in server ? { hub: server.hubPid, lines: server.linePids } : {};
}

/** False when it took too long. */
async function stopInTime(server: RunningServer): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, STOP_MS_MAX, false);
  });
  try {
    return await Promise.race([server.stop().then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The first SIGTERM or SIGINT asks to leave, the second leaves. */
class SignalWatch {
  readonly first: Promise<NodeJS.Signals>;
  #resolve: (signal: NodeJS.Signals) => void = () => undefined;
  #count = 0;

  constructor() {
    this.first = new Promise((resolve) => (this.#resolve = resolve));
    process.on('SIGTERM', this.#handle);
    process.on('SIGINT', this.#handle);
  }

  readonly #handle = (signal: NodeJS.Signals): void => {
    this.#count += 1;
    if (this.#count > 1) process.exit(exitCodes.interrupted.code);
    this.#resolve(signal);
  };

  stop(): void {
    process.off('SIGTERM', this.#handle);
    process.off('SIGINT', this.#handle);
  }
}

/** After these the process ends with the code that says: start it anew. */
const ownFaults: ReadonlySet<unknown> = new Set(['HUB_FAILED', 'SIP_STACK_FAILED']);

const hints: Readonly<Record<string, string>> = {
  LISTENER_ADDRESS_IN_USE: 'end the other program, or choose other ports with --listen URL',
  LISTENER_FAILED: 'choose another address with --listen URL; ports below 1024 need permission',
  TLS_FILES_UNUSABLE: 'check --tls-cert and --tls-key: PEM, readable, and belonging together',
  STORE_FORMAT: 'use the version that wrote the directory, or another --data DIR',
  STORE_CORRUPT: 'restore the directory from a backup, or use another --data DIR',
};

function explained(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (!(error instanceof Error) || typeof code !== 'string') return error;
  if (code === 'STORE_LOCKED') {
    // The store's message names the process that has it.
    const hint = 'choose another directory with --data DIR';
    return new CliError('locked', error.message, { cause: error, code, hint });
  }
  return new CliError('failure', error.message, { cause: error, code, hint: hints[code] });
}
