/**
 * A call, its legs and their attempts as the hub has them in memory. Plain state with the few questions that everybody
 * asks of it; what happens to it is decided in calls.ts and legs.ts.
 *
 * Times are monotonic unless their name says wall.
 */
import { NEVER } from '../../base/time.js';
import type { InstantMs } from '../../base/time.js';
import type { Aor, BindingTarget, CallId, Caller, LegEnd } from '../../domain/call.js';
import type { CallState, LegState } from '../../domain/call-view.js';
import { CallTrace } from './call-trace.js';

/** One client transaction towards a device. */
export class Attempt {
  readonly number: number;
  /** Made 1 s after a reconnect for a device that has the call already, perhaps: what it says does not end the leg. */
  readonly isExtra: boolean;
  mode: 'new' | 'repeat' = 'new';
  /** Where it was sent last. */
  target: BindingTarget;
  /** It is to be sent when it is on disk. */
  isPlanned = false;
  /** It left the hub, or may have before a restart. */
  isSent = false;
  hadProvisional = false;
  isAlerting = false;
  /** The last one, provisional or final. */
  status: number | undefined = undefined;
  /** Nothing more comes of it. */
  isFinal = false;
  withdrawn: LegEnd | undefined = undefined;

  constructor(number: number, target: BindingTarget, isExtra: boolean) {
    this.number = number;
    this.target = target;
    this.isExtra = isExtra;
  }

  /** Sent, and its device has said nothing final: it may ring. */
  get isPending(): boolean {
    return this.isSent && !this.isFinal;
  }

  /** Sent, and its device may still answer it. */
  get isOpen(): boolean {
    return this.isSent && !this.isFinal && this.withdrawn === undefined;
  }
}

export class Leg {
  readonly number: number;
  readonly instance: string;
  contact: string;
  userAgent: string | undefined;
  state: LegState = 'asleep';
  /** In order of their numbers. */
  attempts: Attempt[] = [];
  nextAttempt = 1;
  /** Times it was offered. */
  offers = 0;
  /** Wakes sent for it alone. */
  wakes = 0;
  /** Its flow seems alive and says nothing. */
  isSuspect = false;
  /** Since when its device has had no flow, wall-clock ms; undefined: it has one, or nobody knows. */
  absentSinceMs: number | undefined = undefined;
  /** Its device gave a push resource to be woken by. */
  hasPush = false;
  /** Its push resource will not wake it. */
  isPushRefused = false;
  /** When the silence of its flow becomes suspect. */
  checkDueMs: number = NEVER;
  /** When it is offered once more after a reconnect. */
  extraDueMs: number = NEVER;
  /** When its flow was lost, since the start of the call. */
  lostAtMs: number | undefined = undefined;

  constructor(number: number, instance: string, contact: string, userAgent: string | undefined) {
    this.number = number;
    this.instance = instance;
    this.contact = contact;
    this.userAgent = userAgent;
  }

  get isOver(): boolean {
    const { state } = this;
    return state === 'answered' || state === 'rejected' || state === 'cancelled' || state === 'gone';
  }

  get isAlerting(): boolean {
    return this.attempts.some((attempt) => attempt.isOpen && attempt.isAlerting);
  }

  get open(): Attempt[] {
    return this.attempts.filter((attempt) => attempt.isOpen);
  }

  find(attempt: number): Attempt | undefined {
    return this.attempts.find(({ number }) => number === attempt);
  }

  /** What was planned and has not left does not happen. */
  dropUnsent(): void {
    this.attempts = this.attempts.filter((attempt) => attempt.isSent);
  }
}

/** Something to be said when what was changed is on disk. */
export interface CallEffect {
  /** The caller's answer: when the disk refuses it for too long, the caller is told so instead. */
  readonly isEnd: boolean;
  readonly run: () => void;
}

/** A way to wake a device, as far as this call knows it. */
export interface RouteState {
  /** It will not work for this call. */
  isRefused: boolean;
  /** Sequence number of the last notice in the device's inbox; 0: none. */
  sequence: number;
}

export interface CallIdentity {
  readonly id: CallId;
  readonly aor: Aor;
  readonly caller: Caller;
  readonly sipCallId: string;
  readonly callerPlace: string;
  readonly callerAddress: string;
}

export class Call implements CallIdentity {
  readonly id: CallId;
  readonly aor: Aor;
  readonly caller: Caller;
  readonly sipCallId: string;
  readonly callerPlace: string;
  readonly callerAddress: string;
  /** The INVITE; empty once nobody needs it. */
  offer: Uint8Array;
  readonly startedWallMs: number;
  /** When it came, by the clock that does not jump. */
  startedMs: number;
  state: CallState = 'parked';
  legs: Leg[] = [];
  readonly trace = new CallTrace();
  /** Until when it waits for devices to come, and until when one that alerts may be answered. */
  parkDeadlineMs: number;
  ringDeadlineMs: number;
  endedWallMs: number | undefined = undefined;
  status: number | undefined = undefined;
  reason: string | undefined = undefined;
  answered: { readonly leg: number; readonly attempt: number } | undefined = undefined;
  wakes = 0;
  /** Its user has said that they will answer. */
  isAnswerIntended = false;
  /** The devices of its user were told that it rings: they are told how it ends. */
  areDevicesTold = false;

  // ---- not kept on disk ----
  /** It is on disk. */
  isStored = false;
  /** After a restart: it had ended, and its caller may not have heard so. */
  isFinishOwed = false;
  /** Its end is on disk, with what the user's devices are told of it. */
  isEndStored = false;
  /** After a restart, until it is known whether the caller can be reached: it is not offered. */
  isHeld = false;
  /** It could not be stored at all: whatever else was to be done for it is not done. */
  isDropped = false;
  /** Things to be said when what was changed is on disk. */
  effects: CallEffect[] = [];
  readonly routes = new Map<string, RouteState>();
  wakeTick = 0;
  wakeBeganMs = 0;
  wakeDueMs: number = NEVER;
  retryDueMs: number = NEVER;
  /** When a caller whose answer cannot be stored is told so. */
  giveUpMs: number = NEVER;
  /** When it leaves memory; NEVER: it goes on. */
  forgetDueMs: number = NEVER;
  /** The earliest time at which the heap of timers has it. */
  armedMs: number = NEVER;

  constructor(
    identity: CallIdentity,
    now: InstantMs,
    startedWallMs: number,
    offer: Uint8Array,
    deadlines: { readonly parkMs: number; readonly ringMs: number },
  ) {
    this.id = identity.id;
    this.aor = identity.aor;
    this.caller = identity.caller;
    this.sipCallId = identity.sipCallId;
    this.callerPlace = identity.callerPlace;
    this.callerAddress = identity.callerAddress;
    this.offer = offer;
    this.startedWallMs = startedWallMs;
    this.startedMs = now.monotonic - Math.max(0, now.wall - startedWallMs);
    this.parkDeadlineMs = deadlines.parkMs;
    this.ringDeadlineMs = deadlines.ringMs;
  }

  get isOver(): boolean {
    return this.state !== 'parked' && this.state !== 'ringing';
  }

  /** Somebody called, and nobody answered or declined. */
  get isMissed(): boolean {
    return this.state === 'cancelled' || this.state === 'expired';
  }

  get isAlerting(): boolean {
    return this.legs.some((leg) => !leg.isOver && leg.isAlerting);
  }

  /** When it ends unanswered, as things are. */
  get deadlineMs(): number {
    return this.isAlerting ? this.ringDeadlineMs : this.parkDeadlineMs;
  }

  /** Since it came, ms. */
  ageMs(now: InstantMs): number {
    return Math.round(now.monotonic - this.startedMs);
  }

  findLeg(number: number): Leg | undefined {
    return this.legs[number - 1];
  }

  legOf(instance: string): Leg | undefined {
    return this.legs.find((leg) => leg.instance === instance);
  }

  /** Says something when what was changed until then is on disk. The call has to be touched. */
  later(run: () => void, isEnd = false): void {
    this.effects.push({ isEnd, run });
  }

  /** By whom calls at one time are limited. */
  get callerKey(): string {
    const { aor, trunk, uri } = this.caller;
    return aor ?? `${trunk ?? this.callerAddress} ${uri}`;
  }
}
