/**
 * Options of a box, for programs and for the command line: checked once, defaults filled in. Nothing else
 * reads an option.
 */
import type { BoxPolicy } from './box-types.js';
import { formatDuration } from './durations.js';
import { SleepboxError } from './errors.js';
import type { FreezerChoice } from './freezer.js';
import { limits } from './limits.js';
import type { NatOptions } from './nat.js';
import { nearestName } from './nearest-name.js';
import { isProfileName, type Mode, profileOf, type ProfileName, profiles } from './profiles.js';
import type { OutputMode } from './program.js';
import type { RelaunchTimes } from './relaunch-backoff.js';
import { runtimeDirectory } from './runtime-directory.js';
import type { Mark } from './sockets.js';
import type { WatcherChoice } from './watcher-choice.js';

/** Everything but the command has a default. Unknown keys are refused. */
export interface SleepboxOptions {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Imitated platform; default `ios-voip`. */
  readonly profile?: ProfileName;
  /** Background modes; default `['voip']`. */
  readonly modes?: readonly Mode[];
  /** Length of a wake window, ms; default the profile's 10 s. */
  readonly windowMs?: number;
  /** Connections that wake, as the kernel prints peers; default: all TCP connections of the program. */
  readonly marks?: readonly Mark[];
  /** Timeout of a keep-alive handler that is set at each launch, ms. */
  readonly keepaliveMs?: number;
  /** Seed of the moments that the box picks; default random. */
  readonly seed?: number;
  readonly freezer?: FreezerChoice;
  readonly watcher?: WatcherChoice;
  /** Name for `ctl`; default `box-<pid>`, with a count when one process has several. */
  readonly name?: string;
  /** Show notifications on the desktop; default false. */
  readonly notify?: boolean;
  /** What becomes of the program's output; default `events`. */
  readonly output?: OutputMode;
  /** Environment of the program; default that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Directory of the control sockets; default in XDG_RUNTIME_DIR. */
  readonly runtimeDirectory?: string;
  /** First time between Doze's maintenance windows, ms; default the profile's hour. */
  readonly maintenanceMs?: number;
  /** Puts the program behind a NAT of the Linux kernel; root only. Default: the machine's own network. */
  readonly nat?: NatOptions;
  /** Times that only tests have reason to change, ms. */
  readonly scaled?: {
    readonly keepaliveMsMin?: number;
    readonly handlerMs?: number;
    readonly unconnectedAwakeMs?: number;
    readonly quietMs?: number;
    readonly relaunch?: RelaunchTimes;
  };
}

/** Options after checking. */
export interface ResolvedOptions {
  readonly command: readonly string[];
  readonly policy: BoxPolicy;
  readonly freezer: FreezerChoice;
  readonly watcher: WatcherChoice;
  readonly notify: boolean;
  readonly output: OutputMode;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string | undefined;
  readonly root: string;
  readonly nat: NatOptions | undefined;
}

const keys: Record<keyof SleepboxOptions, true> = {
  command: true,
  profile: true,
  modes: true,
  windowMs: true,
  marks: true,
  keepaliveMs: true,
  seed: true,
  freezer: true,
  watcher: true,
  name: true,
  notify: true,
  output: true,
  env: true,
  cwd: true,
  runtimeDirectory: true,
  maintenanceMs: true,
  nat: true,
  scaled: true,
};

let boxCount = 0;

/** @throws SleepboxError BAD_OPTION, BAD_DURATION, BELOW_FLOOR, NO_COMMAND */
export function resolveOptions(options: SleepboxOptions): ResolvedOptions {
  const stranger = Object.keys(options).find((key) => !Object.hasOwn(keys, key));
  if (stranger !== undefined) {
    const near = nearestName(stranger, Object.keys(keys));
    throw bad(`"${stranger}" is unknown${near ? `; did you mean "${near}"?` : ''}`);
  }
  if (options.command.length === 0 || options.command[0] === '') {
    throw new SleepboxError('NO_COMMAND', 'there is no command');
  }
  const profileName = options.profile ?? 'ios-voip';
  if (!isProfileName(profileName)) {
    const near = nearestName(profileName, Object.keys(profiles));
    throw bad(`profile "${String(profileName)}" is unknown${near ? `; did you mean "${near}"?` : ''}`);
  }
  const profile = profileOf(profileName);
  const modes = options.modes ?? ['voip'];
  if (!modes.includes('voip')) throw bad('modes are voip or voip,audio');
  for (const mode of modes) {
    if (!profile.modes.includes(mode)) throw bad(`profile ${profileName} has no mode "${mode}"`);
  }
  const name = options.name ?? (boxCount++ === 0 ? `box-${process.pid}` : `box-${process.pid}-${boxCount}`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(name)) {
    throw bad('a name has up to 40 letters, digits, dots, hyphens and underscores');
  }
  if (options.seed !== undefined && !Number.isSafeInteger(options.seed))
    throw bad('a seed is a whole number');
  const scaled = options.scaled ?? {};
  const keepaliveMsMin = scaled.keepaliveMsMin ?? profile.keepaliveMsMin;
  const { keepaliveMs, windowMs, maintenanceMs } = options;
  requireRange('window', windowMs, limits.windowMsMin, limits.windowMsMax);
  requireRange('maintenance', maintenanceMs, limits.windowMsMin, limits.keepaliveMsMax);
  requireRange('keepalive', keepaliveMs, 0, limits.keepaliveMsMax);
  requireNat(options.nat);
  if (maintenanceMs !== undefined && profile.maintenance === undefined) {
    throw bad(`profile ${profileName} has no maintenance windows`);
  }
  if (keepaliveMs !== undefined && keepaliveMs < keepaliveMsMin) {
    throw new SleepboxError(
      'BELOW_FLOOR',
      `the shortest keep-alive timeout of ${profileName} is ${formatDuration(keepaliveMsMin)}`,
    );
  }
  return {
    command: options.command,
    policy: {
      name,
      profileName,
      profile,
      windowMs: windowMs ?? profile.windowMs,
      hasAudio: modes.includes('audio'),
      ...(options.marks !== undefined && { marks: options.marks }),
      ...(keepaliveMs !== undefined && { keepaliveMs }),
      keepaliveMsMin,
      ...(scaled.handlerMs !== undefined && { handlerMs: scaled.handlerMs }),
      unconnectedAwakeMs:
        profile.unconnectedAwakeMs === 0 ? 0 : (scaled.unconnectedAwakeMs ?? profile.unconnectedAwakeMs),
      ...(maintenanceMs !== undefined && { maintenanceMs }),
      ...(windowMs !== undefined && { maintenanceWindowMs: windowMs }),
      quietMs: scaled.quietMs ?? limits.quietMs,
      ...(scaled.relaunch !== undefined && { relaunch: scaled.relaunch }),
      seed: options.seed ?? Math.floor(Math.random() * 2 ** 31),
    },
    freezer: options.freezer ?? 'auto',
    watcher: options.watcher ?? 'auto',
    notify: options.notify ?? false,
    output: options.output ?? 'events',
    env: options.env ?? process.env,
    cwd: options.cwd,
    root: options.runtimeDirectory ?? runtimeDirectory(),
    nat: options.nat,
  };
}

function requireNat(nat: NatOptions | undefined): void {
  if (nat === undefined) return;
  requireRange('nat', nat.idleMs, limits.natIdleMsMin, limits.natIdleMsMax);
  if (nat.idleMs % 1_000 === 0) return;
  throw new SleepboxError('BAD_DURATION', 'nat must be whole seconds: the kernel counts its flows in them');
}

function requireRange(what: string, ms: number | undefined, min: number, max: number): void {
  if (ms === undefined || (ms >= min && ms <= max)) return;
  throw new SleepboxError(
    'BAD_DURATION',
    `${what} must be between ${formatDuration(min)} and ${formatDuration(max)}`,
  );
}

function bad(message: string): SleepboxError {
  return new SleepboxError('BAD_OPTION', message);
}
