/** What a device's machine is told, and what it says. */
import type { Activity } from '../domain/index.js';
import type { ClientEnd, ClientPublication } from '../session/mqtt-client/index.js';
import type { CursorValue } from './cursor.js';
import type { GapKnowledge, KeepalivePolicy } from './keepalive/index.js';

export interface DeviceOptions {
  /** Client id; with a device token, the device's own id. */
  readonly deviceId: string;
  readonly username?: string | undefined;
  readonly password?: Uint8Array | undefined;
  /** How long the server keeps session and inbox of a device that does not come, seconds. */
  readonly sessionExpirySeconds: number;
  readonly keepalive: KeepalivePolicy;
  /** What the policy had learned, as it was stored (`store-knowledge`); undefined: nothing is. */
  readonly knowledge?: NetworkKnowledge | undefined;
  /**
   * While the device sleeps the platform lets the app ask its connection no more often than so, ms. Where the network needs it more
   * often, the server is told (`gap` of `$line/state`). undefined or 0: as often as the policy wants.
   */
  readonly floorMs?: number | undefined;
  /** How long the platform lets the app run after a wake, ms. */
  readonly windowMs: number;
  /** As it was stored; undefined: none is. */
  readonly cursor: CursorValue | undefined;
  /** For the waits between attempts; unpredictable enough to differ between devices. */
  readonly seed: number;
}

/** What a policy has learned, by network key. Stored as JSON; what is read back is looked at by `isNetworkKnowledge`. */
export type NetworkKnowledge = Readonly<Record<string, GapKnowledge>>;

/** What a connection is for. main: the line itself. canary: it tries out a silence, and carries nothing. */
export type ConnectionRole = 'main' | 'canary';

/** Where a line is. */
export type Status =
  /** Not begun, or ended by the app. */
  | { readonly kind: 'stopped' }
  /** The platform says that there is no network. */
  | { readonly kind: 'offline' }
  | { readonly kind: 'connecting'; readonly attempt: number }
  | { readonly kind: 'online'; readonly sessionPresent: boolean }
  /** The connection, or the attempt, has ended as `end` says; the next attempt begins in `waitMs`. */
  | { readonly kind: 'waiting'; readonly end: ClientEnd; readonly waitMs: number }
  /** As `end` says, and no other attempt would change it. Only `start` leaves this. */
  | { readonly kind: 'refused'; readonly end: ClientEnd };

/** Tickets are whole numbers from 0 on, different within each kind of request while it is not answered. */
export type DeviceInput =
  | { readonly kind: 'start' }
  | { readonly kind: 'stop' }
  /** The transport asked for by `connect` is there. */
  | { readonly kind: 'transport-open'; readonly connection: number }
  | { readonly kind: 'bytes'; readonly connection: number; readonly chunk: Uint8Array }
  /** It has ended, or could not be had. */
  | {
      readonly kind: 'transport-closed';
      readonly connection: number;
      /** By a reset (RST), as far as the platform tells: boxes that have forgotten a connection answer so. Default: false. */
      readonly isReset?: boolean | undefined;
    }
  /** Answered by `subscribed` with the same ticket, as soon as the server has it. Kept for later connections. */
  | {
      readonly kind: 'subscribe';
      readonly ticket: number;
      readonly filter: string;
      readonly qos: 0 | 1;
    }
  /** Answered by `published` with the same ticket; QoS 0 once it is written. */
  | { readonly kind: 'publish'; readonly ticket: number; readonly publication: ClientPublication }
  /**
   * The app is done with a message. Handled: it is never given again, once that is stored. Else it comes again with a later
   * connection. A message that is not known (any more) is left alone.
   */
  | { readonly kind: 'finish'; readonly message: number; readonly isHandled: boolean }
  /** The last `store-cursor` is on disk, synced, or could not be written, and is asked for again. */
  | { readonly kind: 'cursor-stored' }
  | { readonly kind: 'cursor-failed' }
  /** What the app does, as `$line/state` says it. */
  | { readonly kind: 'activity'; readonly activity: Activity }
  /** The platform runs the sleeping app for upkeep (a keep-alive handler), and not again before `floorMs` may be over. */
  | { readonly kind: 'wake' }
  /**
   * The network the device is on, by any name that tells one from another; '': some network, and no telling which; undefined: none. The
   * first one that is told is the network on which the device has connected until then; another one after it is a change.
   */
  | { readonly kind: 'network'; readonly key: string | undefined }
  /**
   * What the user has decided about a call that was told by `call`, perhaps before any INVITE has come. Said as soon as there is a
   * connection, again if that is lost, until it is answered by `call-intended` with the same ticket.
   */
  | {
      readonly kind: 'call-intent';
      readonly ticket: number;
      readonly call: string;
      readonly intent: CallIntent;
    };

/** answer: the call waits some seconds longer for the phone to come. decline: it ends with 603 at once, on all devices. */
export type CallIntent = 'answer' | 'decline';

/**
 * done: the server has done so. unknown: it knows no such call, or not for this device. over: the call was over. The others: it was not said; the
 * line was stopped, the server takes no intents, or too many wait already.
 */
export type CallIntentOutcome = 'done' | 'unknown' | 'over' | 'stopped' | 'refused' | 'too-many';

/** A call, or another request, for which the phone is to register. docs/spec/calls.md has the message. */
export interface CallWake {
  /** The server's id of it; later messages and `call-intent` name it. */
  readonly call: string;
  /** ringing: an INVITE with `sipCallId` waits. request: something that is no call does. */
  readonly state: 'ringing' | 'request';
  readonly aor: string;
  readonly sipCallId: string | undefined;
  readonly from: string | undefined;
  readonly fromName: string | undefined;
  /** Wall clock of the server, ms. */
  readonly startedMs: number | undefined;
}

/** How a call ended, as the server says it; `deadline`: its time is over here, and the server has not said anything. */
export type CallEnd = 'answered-elsewhere' | 'declined-elsewhere' | 'cancelled' | 'missed' | 'deadline';

export interface DeviceMessage {
  /** For `finish`. */
  readonly id: number;
  readonly topic: string;
  readonly body: Uint8Array;
  /** As `Publication.properties` of the domain. */
  readonly properties: Uint8Array;
  readonly retain: boolean;
  readonly qos: 0 | 1;
  /** Epoch and place in the inbox; undefined: it has none. */
  readonly place: { readonly epoch: string; readonly sequence: number } | undefined;
  readonly expirySeconds: number | undefined;
}

/** Why a request was not sent. */
export type RequestRefusal = 'not-connected' | 'too-many' | 'stopped';

/** What became of a request of the app. */
export interface RequestAnswer {
  readonly ticket: number;
  /** The server's reason code, below 0x80 if all is well, or why it was not asked. */
  readonly outcome: number | RequestRefusal;
  /** The server's words, as in {@link ClientEnd}; undefined: it gave none. */
  readonly reason?: string | undefined;
}

export type DeviceOutput =
  /** Open a transport; its events carry this number. A canary has a transport of its own, beside the main one. */
  | { readonly kind: 'connect'; readonly connection: number; readonly role: ConnectionRole }
  /** Of a connection that has ended meanwhile it is left alone, as `close` is. */
  | { readonly kind: 'write'; readonly connection: number; readonly bytes: Uint8Array }
  /** Send what was written, and end the transport. */
  | { readonly kind: 'close'; readonly connection: number }
  | { readonly kind: 'status'; readonly status: Status }
  /** To be finished, whatever its QoS. */
  | { readonly kind: 'message'; readonly message: DeviceMessage }
  /** Write it over the last one, synced, and answer. One at a time. */
  | { readonly kind: 'store-cursor'; readonly cursor: CursorValue }
  /** Write it over the last one; need not be synced, and is not answered. */
  | { readonly kind: 'store-knowledge'; readonly knowledge: NetworkKnowledge }
  | ({ readonly kind: 'subscribed' } & RequestAnswer)
  | ({ readonly kind: 'published' } & RequestAnswer)
  | {
      readonly kind: 'call-intended';
      readonly ticket: number;
      readonly outcome: CallIntentOutcome;
      /** As in {@link RequestAnswer}. */
      readonly reason?: string | undefined;
    }
  /**
   * A call waits, until the monotonic instant `deadlineMs`. Given for each message about it, since the server repeats itself: a call is
   * known by `call.call`. The message is not given by `message`, and is to be finished like any other: as handled when the phone rings.
   */
  | {
      readonly kind: 'call';
      readonly message: DeviceMessage;
      readonly call: CallWake;
      readonly deadlineMs: number;
    }
  /**
   * A call is over, or was missed while this device was away. `message` is to be finished; undefined with the end `deadline`, behind which
   * the server's own word may follow.
   */
  | {
      readonly kind: 'call-over';
      readonly message: DeviceMessage | undefined;
      readonly call: string;
      readonly end: CallEnd;
      /** As far as the server tells. */
      readonly from: string | undefined;
      readonly fromName: string | undefined;
      readonly startedMs: number | undefined;
      /** Why it was missed, in a sentence. */
      readonly reason: string | undefined;
    }
  /** The sleeping device runs, until this monotonic instant at the latest. */
  | { readonly kind: 'window'; readonly deadlineMs: number }
  /** Everything is done, or time is up: it may sleep. */
  | { readonly kind: 'window-over'; readonly isDone: boolean };
