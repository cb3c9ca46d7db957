/**
 * What a link's session and the hub say to each other. Sessions and hub never meet: the pump carries these
 * values, in batches, in one process or between a line process and the hub process.
 */
import type { DeviceState, Identity, Refusal } from './device.js';
import type { Delivery, Publication, Qos } from './message.js';
import type { Answer, Question } from './question.js';

/** The protocols by which a device is connected. */
export type Link = 'mqtt' | 'webpush';

/** A flow is one live connection. Numbers are never reused within one life of the hub. */
export type FlowId = number;

/** A will: what is published when the connection ends without a farewell. */
export interface Will {
  readonly publication: Publication;
  readonly delaySeconds: number;
}

/** One entry of a subscribe request. */
export interface SubscriptionRequest {
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: send retained messages; 1: only if the subscription is new; 2: never (MQTT 5.0 §3.8.3.1). */
  readonly retainHandling: 0 | 1 | 2;
  /** 1 … 268,435,455; 0: none. */
  readonly subscriptionId: number;
}

/** What a process that holds a canary's socket knows of it. */
export interface ResumedCanary {
  /** Since `opened`, ms. */
  readonly elapsedMs: number;
  /** `canary-due` has come. */
  readonly isSent: boolean;
}

/** From a session to the hub. Every command of one flow is handled in the order given. */
export type LinkCommand =
  | {
      /** The device is here. Answered by `opened` or `refused`. First command of every flow. */
      readonly kind: 'open';
      readonly link: Link;
      /** Peer address for people and limits, e.g. `127.0.0.1:51234`. */
      readonly peer: string;
      readonly identity: Identity;
      /** Client id; empty: the hub assigns one, or the identity says it. */
      readonly clientId: string;
      readonly clean: boolean;
      /** 0: the session ends with the connection; {@link SESSION_NEVER_EXPIRES}: never. */
      readonly sessionExpirySeconds: number;
      /** Unacknowledged QoS 1 and 2 deliveries the client takes at once, 1 … 65,535. */
      readonly receiveMaximum: number;
      readonly will: Will | undefined;
    }
  | {
      /**
       * A device's canary: a second connection, which takes over nothing and carries one push after a silence. Answered
       * by `opened` or `refused`, later by `canary-due`, at last by `end`. First command of the flow, as `open` is; the
       * only one behind it that means anything is `close`.
       */
      readonly kind: 'canary';
      readonly link: Link;
      readonly peer: string;
      readonly identity: Identity;
      readonly clientId: string;
      /** From `opened` to the push, ms: `limits.canarySilenceMsMin` … `limits.canarySilenceMsMax`. */
      readonly silenceMs: number;
      /** It outlived the hub it was opened at: not answered; or by `end`, when it is of no use any more. */
      readonly resumed?: ResumedCanary | undefined;
    }
  | {
      /**
       * A connection that outlived the hub it was opened at is taken up again. Not answered, because the device must
       * not notice; or by `end`, when its session is not there any more. First command of the flow, as `open` is.
       */
      readonly kind: 'resume';
      readonly link: Link;
      readonly peer: string;
      readonly identity: Identity;
      readonly deviceId: string;
      /** As `opened` told it: under another one the numbers below mean nothing. */
      readonly epoch: Uint8Array;
      readonly receiveMaximum: number;
      /** Highest sequence number sent on the connection; 0: none. */
      readonly lastSequence: number;
      /** Sent on the connection and not acknowledged: not to be sent again on it. */
      readonly sent: readonly number[];
      /** QoS 2 deliveries whose PUBREL was sent and not answered. */
      readonly released: readonly number[];
      /** Acknowledged lately: a hub that fell may not have written it. */
      readonly acknowledged: readonly number[];
      /** QoS 2 deliveries completed lately. */
      readonly completed: readonly number[];
      /** What the device last said it is doing on the connection; undefined: nothing. */
      readonly state?: DeviceState | undefined;
    }
  | {
      /**
       * A message from the device. QoS 0 is never answered; QoS 1 and 2 by `accepted` with the same packet id.
       * A QoS 2 id that is already held is answered again without being stored again.
       */
      readonly kind: 'publish';
      readonly publication: Publication;
      /** 1 … 65,535; 0 with QoS 0. */
      readonly packetId: number;
    }
  | {
      /** The device says what it is doing. Answered as a `publish` of this QoS. */
      readonly kind: 'state';
      readonly state: DeviceState;
      readonly qos: Qos;
      /** 1 … 65,535; 0 with QoS 0. */
      readonly packetId: number;
    }
  | {
      /** Answered by `answered` with the same ticket and, with QoS 1 or 2, by `accepted`. */
      readonly kind: 'ask';
      readonly ticket: number;
      readonly question: Question;
      readonly qos: Qos;
      /** 1 … 65,535; 0 with QoS 0. */
      readonly packetId: number;
    }
  | {
      /**
       * A device that said it is asleep has sent something that is no acknowledgement: it is awake. Precedes the
       * command of what it sent, if there is one.
       */
      readonly kind: 'awake';
    }
  | {
      /** The sender gives a QoS 2 id back (PUBREL). Answered by `completed`. */
      readonly kind: 'release';
      readonly packetId: number;
    }
  | {
      /** Answered by `subscribed` with the same ticket. */
      readonly kind: 'subscribe';
      readonly ticket: number;
      readonly subscriptions: readonly SubscriptionRequest[];
    }
  | {
      /** Answered by `unsubscribed` with the same ticket. */
      readonly kind: 'unsubscribe';
      readonly ticket: number;
      readonly filters: readonly string[];
    }
  | {
      /**
       * A channel of the device's own inbox gets an endpoint; one that it had ends. Answered by `registered` with the
       * same ticket, which says whether it was done, and with QoS 1 or 2 by `accepted`. On the link `webpush` the messages of a
       * channel are delivered while it has an endpoint; on others, what is subscribed to is.
       */
      readonly kind: 'register';
      readonly ticket: number;
      readonly channel: string;
      /** {@link MintedEndpoint.tokenSha256}. */
      readonly tokenSha256: string;
      /** Only who holds this VAPID key may push, as `normalizeVapidKey` has it; undefined: everybody who knows the URL. */
      readonly vapidKey: string | undefined;
      readonly qos: Qos;
      /** 1 … 65,535; 0 with QoS 0. */
      readonly packetId: number;
    }
  | {
      /**
       * The endpoint of a channel ends. Of a device that came by `webpush`, what waits in the channel ends with it.
       * Answered by `unregistered` with the same ticket and, with QoS 1 or 2, by `accepted`.
       */
      readonly kind: 'unregister';
      readonly ticket: number;
      readonly channel: string;
      readonly qos: Qos;
      /** 1 … 65,535; 0 with QoS 0. */
      readonly packetId: number;
    }
  | {
      /**
       * The device has the message and can do nothing with it: it ends as failed, and is not sent again. One that it has
       * acknowledged by `webpush` a while ago is told to have failed, too.
       */
      readonly kind: 'fail';
      readonly sequence: number;
      /** For the receipt. A fixed text of the session, never one of the peer. */
      readonly reason: string;
    }
  | {
      /** The device has the QoS 1 message (PUBACK), or refused it; either way it is not sent again. */
      readonly kind: 'acknowledge';
      readonly sequence: number;
    }
  | {
      /** The device has the QoS 2 message (PUBREC). Answered by `release`, once synced. */
      readonly kind: 'received';
      readonly sequence: number;
    }
  | {
      /** The device let go of the QoS 2 id (PUBCOMP). */
      readonly kind: 'complete';
      readonly sequence: number;
    }
  | {
      /** The flow can take more (its socket drained) or cannot (slow reader). A new flow can. */
      readonly kind: 'writable';
      readonly writable: boolean;
    }
  | {
      /** The flow is gone, with or without a farewell. Last command of every flow. */
      readonly kind: 'close';
      /**
       * False after a clean DISCONNECT: the will is discarded. `after-grace`: the server itself lost the connection, and
       * the device has `limits.willGraceMs` to come back.
       */
      readonly publishWill: boolean | 'after-grace';
      /** A new session expiry given with DISCONNECT; undefined: as agreed. */
      readonly sessionExpirySeconds: number | undefined;
    };

/** From the hub to a session. */
export type LinkEvent =
  | {
      readonly kind: 'opened';
      readonly deviceId: string;
      /** Of its inbox, 8 bytes: what its sequence numbers belong to. */
      readonly epoch: Uint8Array;
      /** The hub made the id up (MQTT 5.0 Assigned Client Identifier). */
      readonly assigned: boolean;
      /** Of an `agent`: the secret it presented is known; otherwise it has the fresh one from now on. */
      readonly sessionPresent: boolean;
      /** QoS 2 deliveries whose PUBREL is owed again, oldest first. */
      readonly released: readonly number[];
    }
  | { readonly kind: 'refused'; readonly reason: Refusal }
  | {
      readonly kind: 'accepted';
      readonly packetId: number;
      readonly qos: Qos;
      /** undefined: safe. Otherwise nothing was kept. */
      readonly reason: Refusal | undefined;
      /** False: nobody subscribes (MQTT 5.0 reason 0x10). */
      readonly matched: boolean;
    }
  | { readonly kind: 'completed'; readonly packetId: number; readonly found: boolean }
  | {
      readonly kind: 'subscribed';
      readonly ticket: number;
      /** One per request: the granted QoS, or why not. */
      readonly results: readonly (Qos | Refusal)[];
    }
  | {
      readonly kind: 'unsubscribed';
      readonly ticket: number;
      /** One per filter: whether there was such a subscription. */
      readonly results: readonly boolean[];
    }
  | {
      readonly kind: 'registered';
      readonly ticket: number;
      /** undefined: safe, and the endpoint takes pushes. Otherwise nothing has changed. */
      readonly reason: Refusal | undefined;
    }
  | {
      readonly kind: 'unregistered';
      readonly ticket: number;
      /** undefined: safe. Otherwise the endpoint is what it was. */
      readonly reason: Refusal | undefined;
      /** False: the channel had no endpoint. */
      readonly found: boolean;
    }
  | { readonly kind: 'answered'; readonly ticket: number; readonly answer: Answer }
  /** On a canary: its silence is over, the push is to be written now. Once. */
  | { readonly kind: 'canary-due'; readonly silenceMs: number }
  | { readonly kind: 'deliver'; readonly delivery: Delivery }
  | { readonly kind: 'release'; readonly sequence: number }
  /** The hub ends the flow. The session says so in its protocol and closes; no `close` command is owed. */
  | { readonly kind: 'end'; readonly reason: Refusal };
