/**
 * When a device asks its connection for a sign of life: what every policy can say and is told, and those that learn
 * nothing. A policy sends nothing itself and reads no clock.
 */
import { assert, NEVER, type InstantMs } from '../../base/index.js';
import type { GapKnowledge, ProbeVerdict } from './gap-estimate.js';

/** What to do in a wake, after the main connection has answered. */
export type CanaryOrder =
  /** Open a canary, and ask the server to push into it after so much silence, ms. */
  | { readonly kind: 'open'; readonly silenceMs: number }
  /** Look whether the push is there; tell it by {@link NetworkLearner.handleLook}. */
  | { readonly kind: 'look' };

/** What a look at the canary found. */
export interface CanaryLook {
  /** The push was read. */
  readonly hasArrived: boolean;
  /** The server says that it has pushed, or that it lost the canary before it could. */
  readonly isSent: boolean;
  /** Every keepalive of the main connection since the canary was opened was answered. */
  readonly isMainWell: boolean;
  /** Where nothing has arrived: another canary came about at once. */
  readonly isPathThere: boolean;
}

/** The side of a policy that learns what networks allow, by canaries. */
export interface NetworkLearner {
  /** What is to be stored, by network: {@link restore}. */
  readonly knowledge: Readonly<Record<string, GapKnowledge>>;
  /** Takes what was stored; leaves out what makes no sense. */
  restore(knowledge: Readonly<Record<string, GapKnowledge>>): void;
  /** Something is known of this network that was learned here. */
  isLearned(key: string): boolean;
  /** What the server knows of others on this network, ms: taken where nothing was learned. */
  handleHint(key: string, hintMs: number): void;
  /** The ordered canary is open from now on: its silence begins. */
  handleOpened(now: InstantMs): void;
  /** What the ordered look found. The next order may be asked for in the same wake. */
  handleLook(now: InstantMs, look: Omit<CanaryLook, 'isMainWell'>): ProbeVerdict;
  /** The canary could not be opened, or was lost before its time, or nothing can be said of it. */
  dropCanary(): void;
  /** A main connection has opened, at a server that takes canaries or does not. */
  handleServer(takesCanaries: boolean): void;
}

export interface KeepalivePolicy {
  /** After so long without anything received the connection is asked, ms; {@link NEVER}: it is not. */
  gapMs(now: InstantMs): number;
  /** The device is on another network, as far as it can tell; the same key again: on one that it knows. */
  handleNetwork(now: InstantMs, key: string): void;
  /**
   * The connection was asked after `gapMs` of silence and did not answer, or was reset, though the network was there:
   * another connection came about at once.
   */
  handleDeath(now: InstantMs, gapMs: number): void;
  /**
   * The connection has answered: after `gapMs` of silence, or with 0 because it has just opened or was asked for another
   * reason. What is to be done about a canary, if anything; only a policy with a `learner` may order something. Absent: it does not care.
   */
  handleAnswer?(now: InstantMs, gapMs: number): CanaryOrder | undefined;
  /** Of a policy that learns about networks; absent or undefined: it does not. */
  readonly learner?: NetworkLearner | undefined;
  /** Time for the answer of a connection that was asked, ms; absent: `keepaliveAnswerMs`. */
  readonly answerMs?: number;
  /** Within so long another connection must come about for one that did not answer to count as dead, ms; absent: `pathMs`. */
  readonly pathMs?: number;
  /** After a canary that could not be opened, none is for so long, ms; absent: `canaryRetryMs`. */
  readonly canaryRetryMs?: number;
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
