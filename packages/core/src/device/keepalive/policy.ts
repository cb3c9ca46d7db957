/**
 * When a device asks its connection for a sign of life: what every policy can say and is told, and those that learn
 * nothing. A policy sends nothing itself and reads no clock.
 */
import { assert, NEVER, type InstantMs } from '../../base/index.js';

export interface KeepalivePolicy {
  /** After so long without anything received the connection is asked, ms; {@link NEVER}: it is not. */
  gapMs(now: InstantMs): number;
  /** The device is on another network, as far as it can tell; the same key again: on one that it knows. */
  handleNetwork(now: InstantMs, key: string): void;
  /**
   * The connection was asked after `gapMs` of silence and did not answer, though the network was there: another
   * connection came about at once.
   */
  handleDeath(now: InstantMs, gapMs: number): void;
  /** While it is in force, no wake window ends; see {@link keepAwake}. */
  readonly keepsAwake: boolean;
  /** For whoever chose it, in one sentence; undefined: there is nothing to warn of. */
  readonly warning: string | undefined;
}

/** Never asks. A dead path is found when the transport says so, or when the device sends something. */
export function noKeepalive(): KeepalivePolicy {
  return unlearned(NEVER, false, undefined);
}

/** Asks after the same silence everywhere. */
export function fixedKeepalive(gapMs: number): KeepalivePolicy {
  assert(gapMs >= 1_000, 'a fixed gap has at least a second');
  return unlearned(gapMs, false, undefined);
}

/** Asked at this share of the window, so that it never ends. */
const KEEP_AWAKE_SHARE = 0.9;

/** What {@link keepAwake} costs, for whoever chooses it. */
export const keepAwakeWarning =
  'keepAwake never lets the device sleep: on LTE, a phone that does nothing else was modelled to last about 14 hours';

/**
 * The loop of old VoIP apps: traffic just before the wake window ends, for ever.
 *
 * @param windowMs how long the platform lets an app run after a wake.
 */
export function keepAwake(windowMs: number): KeepalivePolicy {
  assert(windowMs >= 1_000, 'a wake window has at least a second');
  return unlearned(windowMs * KEEP_AWAKE_SHARE, true, keepAwakeWarning);
}

function unlearned(gapMs: number, keepsAwake: boolean, warning: string | undefined): KeepalivePolicy {
  return {
    gapMs: () => gapMs,
    handleNetwork: () => undefined,
    handleDeath: () => undefined,
    keepsAwake,
    warning,
  };
}
