/**
 * `wakeline sleepbox`: runs a box for the command line until it is down. Timeline on standard error in plain
 * mode, so that the program's output stays its own; with `--json` everything is JSON lines on standard output.
 */
import { helpText, parseCommand, type ParsedCommand } from './command-options.js';
import { askRunningBox } from './ctl.js';
import { formatDuration } from './durations.js';
import { SleepboxError, type SleepboxErrorCode } from './errors.js';
import type { BoxStatus } from './events.js';
import { Sleepbox } from './sleepbox.js';
import { formatEvent } from './timeline.js';

/** Where the command writes. */
export interface CommandIo {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** Exit codes of errors; every other error is 1. */
const exitCodes: Partial<Record<SleepboxErrorCode, number>> = {
  BAD_OPTION: 2,
  BAD_DURATION: 2,
  BELOW_FLOOR: 2,
  NO_COMMAND: 2,
  NOT_RUNNING: 3,
  SEVERAL_RUNNING: 3,
  COMMAND_NOT_EXECUTABLE: 126,
  COMMAND_NOT_FOUND: 127,
};

/**
 * Parses and runs everything after the word `sleepbox`; resolves with the exit code. While a box runs it handles
 * SIGINT, SIGTERM and SIGHUP of this process.
 */
export async function runSleepboxCommand(argv: readonly string[], io: CommandIo): Promise<number> {
  try {
    const parsed = await parseCommand(argv);
    switch (parsed.kind) {
      case 'help':
        io.stdout.write(helpText);
        return 0;
      case 'ctl':
        return await runCtl(parsed, io);
      case 'run':
        return await runBox(parsed, io);
    }
  } catch (error) {
    if (!(error instanceof SleepboxError)) throw error;
    const hint = exitCodes[error.code] === 2 ? '\nTry wakeline sleepbox --help' : '';
    io.stderr.write(`sleepbox: ${error.message} [${error.code}]${hint}\n`);
    return exitCodes[error.code] ?? 1;
  }
}

async function runBox(parsed: ParsedCommand & { kind: 'run' }, io: CommandIo): Promise<number> {
  const box = new Sleepbox(parsed.options);
  const hasColours =
    (io.stderr as { isTTY?: boolean }).isTTY === true && process.env['NO_COLOR'] === undefined;
  box.on('event', (event) => {
    if (parsed.json) io.stdout.write(`${JSON.stringify(event)}\n`);
    else io.stderr.write(`${formatEvent(event, hasColours)}\n`);
  });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const onSignal = (signal: NodeJS.Signals): void => void box.stop(signal as (typeof signals)[number]);
  for (const signal of signals) process.on(signal, onSignal);
  try {
    await box.start();
    return await box.finished;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

async function runCtl(parsed: ParsedCommand & { kind: 'ctl' }, io: CommandIo): Promise<number> {
  const status = await askRunningBox(parsed.verb, parsed.name);
  io.stdout.write(parsed.json ? `${JSON.stringify(status)}\n` : `${formatStatus(status)}\n`);
  return 0;
}

function formatStatus(status: BoxStatus): string {
  const { summary } = status;
  const wakes = Object.values(summary.wakes).reduce((total, one) => total + one, 0);
  const left = status.windowLeftMs === null ? '' : `, window ends in ${formatDuration(status.windowLeftMs)}`;
  return (
    `${status.name}: ${status.phase}${left}; profile ${status.profile}, pid ${status.pid ?? 'none'}, ` +
    `watched connections ${status.marked}, wakes ${wakes}, awake ${(summary.awakeMs / 1_000).toFixed(1)} s, ` +
    `asleep ${(summary.asleepMs / 1_000).toFixed(1)} s, notifications ${summary.notifications}, relaunches ${summary.relaunches}`
  );
}
