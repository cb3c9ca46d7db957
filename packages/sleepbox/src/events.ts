/**
 * What happens in a box, as data: the timeline's lines and the summary at the end. Times inside are
 * milliseconds; the moment itself is added by whoever prints or emits it.
 */
import type { AudioEvidence } from './audio.js';

/** Why the program runs again. */
export type WakeCause = 'data' | 'fin' | 'rst' | 'keepalive' | 'maintenance' | 'user';

/** Why a window began: besides the wakes, the launch and data that came in a window. */
export type WindowCause = WakeCause | 'launch';

/** One thing that happened. Discriminated by `type`. */
export type BoxEvent =
  | {
      readonly type: 'start';
      readonly name: string;
      readonly profile: string;
      readonly freezer: string;
      readonly watcher: string;
      readonly windowMs: number;
      readonly modes: string;
      readonly command: readonly string[];
      readonly socket: string;
    }
  | {
      /** The NAT stands: what it is, how the program reaches the machine, as whom the machine sees it. */
      readonly type: 'nat';
      readonly idleMs: number;
      readonly loose: boolean;
      /** The machine's 127.0.0.1, for the program; also SLEEPBOX_HOST in its environment. */
      readonly host: string;
      readonly address: string;
      /** Whether the program gets beyond the machine. */
      readonly outside: boolean;
      /** Process that holds it: `nsenter --net=/proc/PID/ns/net conntrack -L` shows the flows that it knows. */
      readonly pid: number;
    }
  | { readonly type: 'launch'; readonly pid: number; readonly launches: number }
  | {
      /** Something came in a window (or in the middle of freezing: `whileFreezing`), which began a new one. */
      readonly type: 'window';
      readonly cause: WindowCause;
      readonly windowMs: number;
      readonly connection?: string;
      readonly bytes?: number;
      readonly whileFreezing: boolean;
    }
  | { readonly type: 'asleep'; readonly awakeMs: number; readonly marked: number; readonly by: SleepReason }
  | {
      readonly type: 'wake';
      readonly cause: WakeCause;
      readonly asleepMs: number;
      /** From the moment at which the cause was noticed to the program running, ms. */
      readonly latencyMs: number;
      readonly windowMs: number;
      readonly connection?: string;
      readonly bytes?: number;
    }
  | {
      readonly type: 'keepalive';
      readonly action: 'set' | 'cleared' | 'run' | 'done' | 'overrun';
      readonly timeoutMs?: number;
    }
  | { readonly type: 'notification'; readonly title: string; readonly body: string }
  | {
      readonly type: 'audio';
      readonly on: boolean;
      readonly evidence?: AudioEvidence;
      readonly heldMs?: number;
    }
  | { readonly type: 'marks'; readonly count: number }
  | { readonly type: 'held'; readonly because: 'audio' | 'no-connection' | 'unread-data' | 'activity' }
  | { readonly type: 'network'; readonly state: 'cut' | 'restored' | 'destroyed'; readonly sockets: number }
  | { readonly type: 'watcher'; readonly watcher: string; readonly detail: string }
  | { readonly type: 'output'; readonly stream: 'stdout' | 'stderr'; readonly line: string }
  | {
      readonly type: 'exit';
      readonly code: number | null;
      readonly signal: string | null;
      readonly ranMs: number;
    }
  | { readonly type: 'relaunch'; readonly delayMs: number }
  | { readonly type: 'warning'; readonly code: string; readonly message: string }
  | { readonly type: 'down'; readonly reason: DownReason }
  | { readonly type: 'summary'; readonly summary: BoxSummary };

/** Why the program was put to sleep. */
export type SleepReason = 'window-end' | 'done' | 'user';

/** Why the box ended: the program left with 0, `ctl stop` or the API, or a signal to sleepbox. */
export type DownReason = 'exit-0' | 'stopped' | 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** The box's account of itself; complete once the box is down, correct so far before. */
export interface BoxSummary {
  readonly launches: number;
  readonly relaunches: number;
  /** Wakes from sleep, by cause; causes that did not occur are 0. */
  readonly wakes: Readonly<Record<WakeCause, number>>;
  /** Windows begun by data that came while the program was awake. */
  readonly windowsExtended: number;
  /** Of these, the ones found by the second look after freezing. */
  readonly arrivalsWhileFreezing: number;
  readonly awakeMs: number;
  readonly asleepMs: number;
  /** Time awake beyond the windows because audio played, ms; part of `awakeMs`. */
  readonly audioMs: number;
  /** Payload over the program's connections; null when the watcher cannot count. */
  readonly receivedBytes: number | null;
  readonly sentBytes: number | null;
  readonly notifications: number;
  readonly handlerRuns: number;
  readonly handlerOverruns: number;
  /** Wake latencies in ms (noticed to running); null without a wake. */
  readonly latencyMsP50: number | null;
  readonly latencyMsMax: number | null;
}

/** A box's present state, as `ctl status` and the control command `state` tell it. */
export interface BoxStatus {
  readonly name: string;
  readonly phase: BoxPhase;
  readonly pid: number | null;
  readonly profile: string;
  readonly windowMs: number;
  /** Until the window's end, ms; null when not awake. */
  readonly windowLeftMs: number | null;
  readonly marked: number;
  readonly audio: boolean;
  readonly keepaliveMs: number | null;
  readonly summary: BoxSummary;
}

/** Where the box stands. */
export type BoxPhase =
  'starting' | 'awake' | 'freezing' | 'asleep' | 'waking' | 'relaunching' | 'stopping' | 'down';
