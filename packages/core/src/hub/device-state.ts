/**
 * The hub's own picture of a device, its session and its flow. Plain state; the rules are in hub.ts and beside.
 *
 * There is one of each for every sleeping device, so they are lean: what is rarely there lies in objects of its own,
 * and the inbox of a device to which nothing happens is put away as a few numbers.
 */
import { getI32, putU32 } from '../base/u32.js';
import { SESSION_NEVER_EXPIRES } from '../domain/device.js';
import type { AccessRules } from '../domain/device.js';
import type { FlowId, Link, LinkCommand, LinkEvent, Will } from '../domain/link.js';
import type { Access } from './access.js';
import type { EndpointSet } from './endpoint-set.js';
import type { InboxFilters } from './inbox-filters.js';
import { Inbox, VOLATILE_NUMBER_BASE } from './inbox.js';
import type { Presence } from './presence.js';
import { SubscriptionSet } from './subscription-set.js';
import type { Subscription } from './subscription-tree.js';

export class Device {
  readonly id: string;
  /** Key of its rows, and of its inbox in the log. */
  readonly number: number;
  access: Access;
  session: Session | null = null;
  flow: Flow | null = null;
  #rare: RareState | null = null;
  /** null: nothing happens to it; the three numbers below are all there is to know. */
  #inbox: Inbox | null;
  #epochHigh = 0;
  #epochLow = 0;
  #lastSequence = 0;

  constructor(id: string, inbox: Inbox, access: Access) {
    this.id = id;
    this.number = inbox.number;
    this.access = access;
    this.#inbox = inbox;
  }

  /** Whether anything of it is on disk. */
  get isDurable(): boolean {
    return this.number < VOLATILE_NUMBER_BASE;
  }

  /** Its inbox, to be changed. Ask again after each turn: it may have been put away meanwhile. */
  get inbox(): Inbox {
    return (this.#inbox ??= this.#unpack());
  }

  /** Its inbox, only to be looked at: a copy when it is put away. */
  get inboxView(): Inbox {
    return this.#inbox ?? this.#unpack();
  }

  /** Messages that wait for it. */
  get waiting(): number {
    return this.#inbox?.waiting ?? 0;
  }

  /** Whether something waits that is not on its way to it. */
  get hasUnsent(): boolean {
    return this.#inbox !== null && this.#inbox.waiting > this.#inbox.inflight;
  }

  /** Puts the inbox away if nothing waits, is under way or is out of date. Nobody may hold on to it. */
  putInboxAway(): void {
    const inbox = this.#inbox;
    if (inbox === null || !inbox.isIdle) return;
    this.#epochHigh = getI32(inbox.epoch, 0);
    this.#epochLow = getI32(inbox.epoch, 4);
    this.#lastSequence = inbox.lastSequence;
    this.#inbox = null;
  }

  #unpack(): Inbox {
    const epoch = new Uint8Array(8);
    putU32(epoch, 0, this.#epochHigh);
    putU32(epoch, 4, this.#epochLow);
    return Inbox.idle(this.number, epoch, this.#lastSequence);
  }

  /** SHA-256 of its token, hex; undefined: it has no credential. */
  get tokenSha256(): string | undefined {
    return this.#rare?.tokenSha256;
  }

  set tokenSha256(value: string | undefined) {
    this.#setRare('tokenSha256', value);
  }

  /** The rules it was given; undefined: the server's defaults. */
  get accessRules(): AccessRules | undefined {
    return this.#rare?.accessRules;
  }

  set accessRules(value: AccessRules | undefined) {
    this.#setRare('accessRules', value);
  }

  /** Of its channels; undefined: none. */
  get endpoints(): EndpointSet<Device> | undefined {
    return this.#rare?.endpoints;
  }

  set endpoints(value: EndpointSet<Device> | undefined) {
    this.#setRare('endpoints', value);
  }

  /** A user agent of Web Push: it is kept for its endpoints, and as long as it has any. */
  get isAgent(): boolean {
    return this.#rare?.isAgent ?? false;
  }

  set isAgent(value: boolean) {
    this.#setRare('isAgent', value);
  }

  /** Which channels of its inbox it gets where it is connected now; null: none. */
  get inboxFilters(): InboxFilters | null {
    if (this.flow?.link === 'webpush') return this.endpoints?.topics ?? null;
    return this.session?.inboxFilters ?? null;
  }

  /** Filters of ended sessions whose rows may still be on disk. undefined: none. */
  get endedFilters(): Set<string> | undefined {
    return this.#rare?.endedFilters;
  }

  set endedFilters(value: Set<string> | undefined) {
    this.#setRare('endedFilters', value);
  }

  /** Earliest deadlines in the hub's heaps for it, so that coming and going does not pile them up. */
  get sessionWatchedMs(): number {
    return this.#rare?.sessionWatchedMs ?? Infinity;
  }

  set sessionWatchedMs(value: number) {
    this.#setRare('sessionWatchedMs', value);
  }

  get willWatchedMs(): number {
    return this.#rare?.willWatchedMs ?? Infinity;
  }

  set willWatchedMs(value: number) {
    this.#setRare('willWatchedMs', value);
  }

  /** Taken out of the table; a late completion must leave it alone. */
  get isRemoved(): boolean {
    return this.#rare?.isRemoved ?? false;
  }

  set isRemoved(value: boolean) {
    this.#setRare('isRemoved', value);
  }

  #setRare<Name extends keyof RareState>(name: Name, value: RareState[Name]): void {
    if (this.#rare === null) {
      if (value === usualState[name]) return;
      this.#rare = new RareState();
    }
    this.#rare[name] = value;
    if (value === usualState[name] && this.#rare.isUsual) this.#rare = null;
  }
}

/** What most devices do not have at most times. */
class RareState {
  tokenSha256: string | undefined = undefined;
  accessRules: AccessRules | undefined = undefined;
  endedFilters: Set<string> | undefined = undefined;
  endpoints: EndpointSet<Device> | undefined = undefined;
  isAgent = false;
  sessionWatchedMs = Infinity;
  willWatchedMs = Infinity;
  isRemoved = false;

  get isUsual(): boolean {
    return (
      this.tokenSha256 === undefined &&
      this.accessRules === undefined &&
      this.endedFilters === undefined &&
      this.endpoints === undefined &&
      !this.isAgent &&
      this.sessionWatchedMs === Infinity &&
      this.willWatchedMs === Infinity &&
      !this.isRemoved
    );
  }
}

const usualState = new RareState();

/** A session without a flow. */
export interface Absence {
  /** Wall-clock ms at which its last flow ended. */
  readonly endedMs: number;
  /** Monotonic ms at which its will is due; Infinity: it has none, or none any more. */
  willDueMs: number;
}

/** A base class and not a part, to spare each sleeping device one more object. */
export class Session extends SubscriptionSet<Device> {
  /** -1 stands for never: a small number, where the protocol's own value would take memory of its own. */
  #expirySeconds = 0;
  /** Those of its subscriptions that are shared; null: none. */
  shared: Subscription<Device>[] | null = null;
  /** Filters below `$line/inbox/`; null: none. */
  inboxFilters: InboxFilters | null = null;
  will: Will | undefined;
  /** null: it has a flow. */
  absence: Absence | null = null;

  constructor(expirySeconds: number) {
    super();
    this.expirySeconds = expirySeconds;
  }

  get expirySeconds(): number {
    return this.#expirySeconds < 0 ? SESSION_NEVER_EXPIRES : this.#expirySeconds;
  }

  set expirySeconds(value: number) {
    this.#expirySeconds = value === SESSION_NEVER_EXPIRES ? -1 : value;
  }

  /** Whether it outlives its connection, and so the server. */
  get isDurable(): boolean {
    return this.#expirySeconds !== 0;
  }
}

export const FlowState = { opening: 0, open: 1, ended: 2 } as const;
export type FlowState = (typeof FlowState)[keyof typeof FlowState];

const STATE_MASK = 3;
const WRITABLE = 4;
const READY = 8;

/** What a turn collects for one flow. */
export interface FlowEvents {
  readonly list: LinkEvent[];
  /** Bytes of QoS 0 bodies among the events. */
  bodyBytes: number;
}

export class Flow {
  readonly id: FlowId;
  /** Another one takes its place when it is to be kept. */
  device: Device;
  readonly link: Link;
  readonly peer: string;
  /** Wall-clock seconds: a whole number takes no memory of its own. */
  readonly connectedSeconds: number;
  /** Unacknowledged deliveries it takes at once. */
  readonly window: number;
  /** Events of this turn; null: none. */
  events: FlowEvents | null = null;
  /** Commands that came before `opened` left; null: none. */
  held: LinkCommand[] | null = null;
  /** What the device said it is doing; null: nothing, it is active. */
  presence: Presence | null = null;
  /** Answers that wait for a commit: later ones must queue behind them. */
  pendingAnswers = 0;
  /** State, and the flags below: a field each would cost every sleeping device eight bytes. */
  #bits = FlowState.opening | WRITABLE;

  constructor(
    id: FlowId,
    device: Device,
    link: Link,
    peer: string,
    connectedSeconds: number,
    window: number,
  ) {
    this.id = id;
    this.device = device;
    this.link = link;
    this.peer = peer;
    this.connectedSeconds = connectedSeconds;
    this.window = window;
  }
  get state(): FlowState {
    return (this.#bits & STATE_MASK) as FlowState;
  }

  set state(value: FlowState) {
    this.#bits = (this.#bits & ~STATE_MASK) | value;
  }

  /** It takes messages of topics, and not of its inbox's channels alone. */
  get takesTopics(): boolean {
    return this.link !== 'webpush';
  }

  /** Its device may say of a message that it has acknowledged that nothing came of it. */
  get mayFailLate(): boolean {
    return this.link === 'webpush';
  }

  /** Its socket takes more. */
  get isWritable(): boolean {
    return (this.#bits & WRITABLE) !== 0;
  }

  set isWritable(value: boolean) {
    this.#bits = value ? this.#bits | WRITABLE : this.#bits & ~WRITABLE;
  }

  /** The deliverer is to look at it. */
  get isReady(): boolean {
    return (this.#bits & READY) !== 0;
  }

  set isReady(value: boolean) {
    this.#bits = value ? this.#bits | READY : this.#bits & ~READY;
  }
}
