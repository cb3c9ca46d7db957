/**
 * The parts of a session's state that need no field of their own: yes or no, and what few connections ever have. A
 * field costs every sleeping line eight bytes.
 */
import type { ProtocolVersion } from '../../wire/mqtt/index.js';
import type { InboundWindow } from './inbound-window.js';
import type { LineRequests } from './line-requests.js';
import { FIRST_FLAG, FlaggedOutbox } from '../flagged-outbox.js';
import type { PartialRequests } from './subscription-requests.js';
import type { TopicAliases } from './topic-aliases.js';

/** Where an MQTT connection is between its first byte and its close. */
export const State = {
  /** Nothing is known of the peer. */
  awaitingConnect: 0,
  /** The driver checks the credentials. */
  authenticating: 1,
  /** The hub was told, and has not answered. */
  opening: 2,
  open: 3,
  closed: 4,
} as const;
export type State = (typeof State)[keyof typeof State];

const Flag = {
  version5: FIRST_FLAG,
  durable: FIRST_FLAG << 1,
  wantsProblemInformation: FIRST_FLAG << 2,
  asleep: FIRST_FLAG << 3,
  tellsCursor: FIRST_FLAG << 4,
  canary: FIRST_FLAG << 5,
  gap: FIRST_FLAG << 6,
} as const;

/** What only some connections have. */
export interface RareParts {
  /** Once a 5.0 client has published with QoS 1 or 2. */
  inbound: InboundWindow | null;
  partialRequests: PartialRequests | null;
  /** Once the device has asked the server something. */
  lineRequests: LineRequests | null;
  /** Once a 5.0 client uses or takes topic aliases. */
  aliases: TopicAliases | null;
}

/** A base class and not a part, as {@link FlaggedOutbox}. */
export abstract class SessionState extends FlaggedOutbox {
  /** null: none of them. */
  protected rare: RareParts | null = null;

  constructor() {
    super();
    this.wantsProblemInformation = true;
  }

  /** To be written to. */
  protected get rareParts(): RareParts {
    return (this.rare ??= { inbound: null, partialRequests: null, lineRequests: null, aliases: null });
  }

  /** The version of CONNECT, even of one that was refused: that in which to answer. */
  protected get version(): ProtocolVersion {
    return this.hasFlag(Flag.version5) ? 5 : 4;
  }

  protected set version(value: ProtocolVersion) {
    this.putFlag(Flag.version5, value === 5);
  }

  /** The session is to outlive the connection: CONNECT gave an expiry other than 0. */
  protected get isDurable(): boolean {
    return this.hasFlag(Flag.durable);
  }

  protected set isDurable(value: boolean) {
    this.putFlag(Flag.durable, value);
  }

  protected get wantsProblemInformation(): boolean {
    return this.hasFlag(Flag.wantsProblemInformation);
  }

  protected set wantsProblemInformation(value: boolean) {
    this.putFlag(Flag.wantsProblemInformation, value);
  }

  /** The device said so. */
  protected get isAsleep(): boolean {
    return this.hasFlag(Flag.asleep);
  }

  protected set isAsleep(value: boolean) {
    this.putFlag(Flag.asleep, value);
  }

  /** It is a canary: the hub has no device on it. */
  protected get isCanary(): boolean {
    return this.hasFlag(Flag.canary);
  }

  protected set isCanary(value: boolean) {
    this.putFlag(Flag.canary, value);
  }

  /** The device named a gap: the path is probed as it wants, and not as usual. */
  protected get hasGap(): boolean {
    return this.hasFlag(Flag.gap);
  }

  protected set hasGap(value: boolean) {
    this.putFlag(Flag.gap, value);
  }

  /** The device asked for its epoch and sequence numbers. */
  protected get tellsCursor(): boolean {
    return this.hasFlag(Flag.tellsCursor);
  }

  protected set tellsCursor(value: boolean) {
    this.putFlag(Flag.tellsCursor, value);
  }
}
