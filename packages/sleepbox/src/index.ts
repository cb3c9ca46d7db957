/**
 * `@wakeline/sleepbox`: runs any Linux program as on a sleeping phone. Depends on nothing of ours and on no
 * package. `docs/sleepbox.md` is its guide.
 */
export { type CommandIo, runSleepboxCommand } from './command.js';
export { helpText as sleepboxHelp } from './command-options.js';
export { askRunningBox } from './ctl.js';
export { SleepboxError, type SleepboxErrorCode, sleepboxErrors } from './errors.js';
export type {
  BoxEvent,
  BoxPhase,
  BoxStatus,
  BoxSummary,
  DownReason,
  SleepReason,
  WakeCause,
  WindowCause,
} from './events.js';
export { limits as sleepboxLimits } from './limits.js';
export { natHost, type NatOptions } from './nat.js';
export type { SleepboxOptions } from './options.js';
export { type Mode, type Profile, type ProfileName, profiles } from './profiles.js';
export { Sleepbox, type TimelineEvent, waitForEvent } from './sleepbox.js';
export type { Mark } from './sockets.js';
