/** The hub's own picture of a device, its session and its flow. Plain state; the rules are in hub.ts and beside. */
import type { AccessRules } from '../domain/device.js';
import type { FlowId, LinkCommand, LinkEvent, Will } from '../domain/link.js';
import type { Access } from './access.js';
import type { Inbox } from './inbox.js';
import type { Subscription } from './subscription-tree.js';

export class Device {
  readonly id: string;
  readonly inbox: Inbox;
  /** SHA-256 of its token, hex; undefined: it has no credential. */
  tokenSha256: string | undefined;
  /** The rules it was given; undefined: the server's defaults. */
  accessRules: AccessRules | undefined;
  access: Access;
  session: Session | null = null;
  flow: Flow | null = null;
  /** Filters of ended sessions whose rows may still be on disk. null: none. */
  endedFilters: Set<string> | null = null;
  /** Earliest deadline in the hub's heaps for it, so that coming and going does not pile them up. */
  sessionWatchedMs = Infinity;
  willWatchedMs = Infinity;
  /** Taken out of the table; a late completion must leave it alone. */
  isRemoved = false;

  constructor(id: string, inbox: Inbox, access: Access) {
    this.id = id;
    this.inbox = inbox;
    this.access = access;
  }

  /** Whether anything of it is on disk. */
  get isDurable(): boolean {
    return this.inbox.isDurable;
  }
}

export class Session {
  expirySeconds: number;
  readonly subscriptions = new Map<string, Subscription<Device>>();
  /** Filters below `$line/inbox/`; null: none. */
  inboxFilters: string[] | null = null;
  /** Wall-clock ms at which its last flow ended; undefined: it has one. */
  endedMs: number | undefined;
  will: Will | undefined;
  /** Monotonic ms at which its will is due; Infinity: it has a flow, or no will. */
  willDueMs = Infinity;

  constructor(expirySeconds: number) {
    this.expirySeconds = expirySeconds;
  }

  /** Whether it outlives its connection, and so the server. */
  get isDurable(): boolean {
    return this.expirySeconds > 0;
  }
}

export const FlowState = { opening: 0, open: 1, ended: 2 } as const;
export type FlowState = (typeof FlowState)[keyof typeof FlowState];

export class Flow {
  readonly id: FlowId;
  readonly device: Device;
  readonly link: string;
  readonly peer: string;
  readonly connectedMs: number;
  /** Unacknowledged deliveries it takes at once. */
  readonly window: number;
  state: FlowState = FlowState.opening;
  isWritable = true;
  /** Bytes of QoS 0 bodies among the events. */
  queuedBytes = 0;
  /** Events of this turn. */
  events: LinkEvent[] = [];
  /** Commands that came before `opened` left; null: none. */
  held: LinkCommand[] | null = null;
  /** Answers that wait for a commit: later ones must queue behind them. */
  pendingAnswers = 0;
  isReady = false;

  constructor(id: FlowId, device: Device, link: string, peer: string, connectedMs: number, window: number) {
    this.id = id;
    this.device = device;
    this.link = link;
    this.peer = peer;
    this.connectedMs = connectedMs;
    this.window = window;
  }
}
