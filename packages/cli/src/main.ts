/** The `wakeline` command: runs one command line and turns whatever happens into output and an exit code. */
import { CommanderError } from 'commander';
import { CliError } from './errors.js';
import { exitCodes } from './exit-codes.js';
import { isColoured } from './io.js';
import type { CliIo } from './io.js';

export { exitCodes } from './exit-codes.js';
export type { CliIo } from './io.js';

/** Commands that others wait for after a signal. */
const SUPERVISED: ReadonlySet<string | undefined> = new Set(['up', 'sleepbox']);

/** Time for what is left of such a command once it is done, ms. */
const LINGER_MS = 2_000;

/** Runs `wakeline ARGUMENTS`; never throws. The exit code, see docs/cli.md. */
export async function run(argv: readonly string[], io: CliIo): Promise<number> {
  try {
    // Everything behind it belongs to sleepbox and its program, `--help` and `--` too.
    if (argv[0] === 'sleepbox') {
      const { runSleepboxCommand } = await import('@wakeline/sleepbox');
      return await runSleepboxCommand(argv.slice(1), io);
    }
    const { createProgram } = await import('./program.js');
    let code: number = exitCodes.ok.code;
    const program = createProgram(io, (set) => (code = set), ownArguments(argv));
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return exitCodes.usage.code;
    }
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    return report(error, argv, io);
  }
}

/** Runs the process's own command line and sets its exit code. */
export async function runMain(): Promise<void> {
  // `wakeline devices | head` closes the pipe early: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok.code);
    throw error;
  });
  const { stdin, stdout, stderr, env: environment } = process;
  const argv = process.argv.slice(2);
  process.exitCode = await run(argv, { stdin, stdout, stderr, environment });
  if (SUPERVISED.has(argv[0])) leave();
}

/** Ends the process though something of it does not come to an end; never before its output is out. */
function leave(): void {
  setTimeout(() => {
    if (process.stdout.writableLength > 0 || process.stderr.writableLength > 0) return leave();
    process.stderr.write('wakeline: something did not end; leaving all the same\n', () => process.exit());
  }, LINGER_MS).unref();
}

function report(error: unknown, argv: readonly string[], io: CliIo): number {
  // Commander has printed help or the version already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok.code : exitCodes.usage.code;
  const failure = toCliError(error);
  const { message, hint, code } = failure;
  if (ownArguments(argv).includes('--json')) {
    io.stderr.write(`${JSON.stringify({ error: { code: code ?? failure.exit, message, hint } })}\n`);
    return failure.exitCode;
  }
  const [on, off] = isColoured(io.stderr, io.environment) ? ['\u001b[31m', '\u001b[0m'] : ['', ''];
  io.stderr.write(`${on}wakeline: ${message}${off}\n`);
  if (hint !== undefined) io.stderr.write(`  ${hint}\n`);
  if (failure.cause === error && io.environment['WAKELINE_DEBUG'] !== undefined)
    io.stderr.write(`${(error as Error).stack}\n`);
  return failure.exitCode;
}

function ownArguments(argv: readonly string[]): readonly string[] {
  return argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
}

function toCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (code === 'CONFIG_INVALID') {
    const text = `the configuration has mistakes:\n  ${String(message).replaceAll('\n', '\n  ')}`;
    return new CliError('usage', text, { cause: error, code, hint: 'see docs/configuration.md' });
  }
  if (code === 'CONFIG_UNREADABLE') return new CliError('usage', String(message), { cause: error, code });
  return new CliError('failure', String(message ?? error), { cause: error, code });
}
