/**
 * The language between the box machine (`box-machine.ts`) and its shell (`sleepbox.ts`): what is told to the
 * machine and what it orders. Data only.
 */
import type { BoxEvent, DownReason } from './events.js';
import type { Profile } from './profiles.js';
import type { RelaunchTimes } from './relaunch-backoff.js';
import type { ConnectionSample, Mark, SocketSnapshot } from './sockets.js';

/** What the machine needs to know once. */
export interface BoxPolicy {
  readonly name: string;
  readonly profileName: string;
  readonly profile: Profile;
  readonly windowMs: number;
  /** Whether `audio` is among the modes. */
  readonly hasAudio: boolean;
  /** Connections that count until the program marks its own; undefined: all. */
  readonly marks?: readonly Mark[];
  /** Timeout of the handler that the box itself sets at each launch, ms. */
  readonly keepaliveMs?: number;
  /** Smallest timeout that the program may set, ms. */
  readonly keepaliveMsMin: number;
  readonly handlerMs?: number;
  readonly unconnectedAwakeMs: number;
  /** First time between maintenance windows, ms, instead of the profile's; six times this is the longest. */
  readonly maintenanceMs?: number;
  /** Length of a maintenance window, ms, instead of the profile's. */
  readonly maintenanceWindowMs?: number;
  readonly quietMs: number;
  readonly relaunch?: RelaunchTimes;
  readonly seed: number;
}

/** What the shell and the control sockets tell the machine. */
export type BoxInput =
  | { readonly type: 'start' }
  | { readonly type: 'launched'; readonly pid: number }
  | { readonly type: 'snapshot'; readonly snapshot: SocketSnapshot }
  /** Answer to `freeze`: frozen, and what the sockets looked like afterwards. */
  | { readonly type: 'frozen'; readonly snapshot: SocketSnapshot }
  | { readonly type: 'freeze-failed' }
  /** Answer to `watch`: the watched connections after watching began. */
  | { readonly type: 'watched'; readonly connections: readonly ConnectionSample[] }
  /** Something came to a watched connection; watching has ended by itself. `at`: when it was noticed. */
  | { readonly type: 'arrived'; readonly connection: ConnectionSample; readonly at: number }
  | { readonly type: 'thawed' }
  | { readonly type: 'exited'; readonly code: number | null; readonly signal: string | null }
  | { readonly type: 'program-connected'; readonly connections: number }
  | { readonly type: 'mark'; readonly mark: Mark }
  | { readonly type: 'unmark'; readonly mark?: Mark }
  /** Undefined: cleared. The shell has checked the floor. */
  | { readonly type: 'keepalive'; readonly timeoutMs?: number }
  | { readonly type: 'done' }
  | { readonly type: 'audio'; readonly on: boolean }
  | { readonly type: 'notify'; readonly title: string; readonly body: string }
  | { readonly type: 'user-sleep' }
  | { readonly type: 'user-wake' }
  | { readonly type: 'stop'; readonly reason: DownReason };

/** Orders to the shell. Those with an answer name it. */
export type BoxOutput =
  /** Start the program; answered by `launched`, and `exited` when it could not be. */
  | { readonly type: 'launch' }
  /** Answered by `snapshot`. */
  | { readonly type: 'look' }
  /** Answered by `frozen` or `freeze-failed`. */
  | { readonly type: 'freeze' }
  /** Wait for these connections; answered by `watched`, later perhaps `arrived`. */
  | { readonly type: 'watch'; readonly connections: readonly ConnectionSample[] }
  /** Stop watching and let it run; answered by `thawed`. `network`: also let its sockets receive again. */
  | { readonly type: 'thaw'; readonly network: boolean }
  /** Do this to the sockets of the frozen or running program. */
  | { readonly type: 'network'; readonly action: 'cut' | 'destroy' }
  /** Tell the program's control connections. */
  | { readonly type: 'tell'; readonly message: Readonly<Record<string, unknown>> }
  /** Kill the whole tree; `exited` follows. */
  | { readonly type: 'kill'; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly type: 'event'; readonly event: BoxEvent }
  /** The end: nothing more will come. */
  | { readonly type: 'down'; readonly exitCode: number; readonly reason: DownReason };
