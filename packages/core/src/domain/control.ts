/**
 * What the HTTP API and the command line ask of the hub, and what it answers. Every request carries a ticket
 * chosen by the asker; exactly one reply with the same ticket comes back, after its cause is synced.
 */
import type { Aor, CallId, SipUser } from './call.js';
import type { BindingSummary, CallDetail, CallSummary, UserSummary } from './call-view.js';
import type { AccessRules, Activity, Refusal } from './device.js';
import type { EndpointSummary, MessagePlace } from './endpoint.js';
import type { Stage, Urgency } from './message.js';

/** What a bearer token may do. `admin` includes the others. */
export const scopes = ['send', 'read', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** Makes a repeated request harmless: the same owner and key within 24 h get the first answer again. */
export interface IdempotencyKey {
  /** Id of the API token that asked; empty when the API is open. */
  readonly owner: string;
  /** 1 … 255 characters, as the sender gave it. */
  readonly key: string;
  /** SHA-256 of the request, hex: the same key with other content is refused. */
  readonly requestSha256: string;
}

/** The message part of a send request. */
export interface OutgoingMessage {
  /** At most `limits.messageBytesMax` bytes. */
  readonly body: Uint8Array;
  /** MQTT 5 encoding, as in `Publication.properties`. */
  readonly properties: Uint8Array;
  readonly qos: 1 | 2;
  readonly expirySeconds: number | undefined;
  readonly urgency: Urgency;
  readonly replaceKey: string | undefined;
}

export type ControlRequest =
  | {
      /** To one device's own inbox: it arrives on `$line/inbox/<channel>`. Answered by `sent`. */
      readonly kind: 'send-to-device';
      readonly ticket: number;
      readonly deviceId: string;
      /** One level of a topic name; `default` unless the sender names one. */
      readonly channel: string;
      readonly message: OutgoingMessage;
      readonly idempotency: IdempotencyKey | undefined;
    }
  | {
      /** To every subscriber of a topic. Answered by `sent`. */
      readonly kind: 'send-to-topic';
      readonly ticket: number;
      readonly topic: string;
      readonly retain: boolean;
      readonly message: OutgoingMessage;
      readonly idempotency: IdempotencyKey | undefined;
    }
  | {
      /** To the channel of an endpoint. Answered by `pushed`. */
      readonly kind: 'push';
      readonly ticket: number;
      /** SHA-256 of the endpoint's token, hex. */
      readonly tokenSha256: string;
      /** The VAPID key that the push was proved to be signed with; undefined: it was not signed. */
      readonly vapidKey: string | undefined;
      /** `expirySeconds` 0: delivered to a live device or not at all. Properties as `encodePushHeaders` has them. */
      readonly message: OutgoingMessage;
      /** The sender wants to know what becomes of it. */
      readonly wantsReceipt: boolean;
    }
  | {
      /** Whether pushes to this endpoint have an addressee. Answered by `done`, `unknown-endpoint` or `endpoint-ended`. */
      readonly kind: 'find-endpoint';
      readonly ticket: number;
      /** SHA-256 of the endpoint's token, hex. */
      readonly tokenSha256: string;
    }
  | {
      /** The sender takes a push back that is not acknowledged yet. Answered by `done` or `unknown-message`. */
      readonly kind: 'delete-push';
      readonly ticket: number;
      readonly place: MessagePlace;
    }
  | {
      /**
       * As `get-message`, and answered like it; but when the first recipient is still at the stage that the asker knows,
       * not before that has changed or `waitMs` is over. Refused with `quota-exceeded` where too many wait, of one address or of all.
       */
      readonly kind: 'watch-message';
      readonly ticket: number;
      readonly messageId: string;
      readonly knownStage: Stage;
      /** 1 … 60,000. */
      readonly waitMs: number;
      /** Unpredictable, and used once: names the watch for `end-watch`. */
      readonly watchId: string;
      /** What the asker is counted by: `limitKey` of its address. */
      readonly addressKey: string;
    }
  | {
      /** The asker of a watch has left: the watch is answered at once. Answered by `done`, be there such a watch or not. */
      readonly kind: 'end-watch';
      readonly ticket: number;
      readonly watchId: string;
    }
  | {
      /** 32 random bytes that seal what leaves the server and comes back; made once for each store. Answered by `seal-key`. */
      readonly kind: 'get-seal-key';
      readonly ticket: number;
    }
  | {
      /** Answered by `endpoints`. */
      readonly kind: 'list-endpoints';
      readonly ticket: number;
      readonly deviceId: string;
    }
  | {
      /** Ends an endpoint of a device, as `unregister` does. Answered by `done`. */
      readonly kind: 'end-endpoint';
      readonly ticket: number;
      readonly deviceId: string;
      readonly endpointId: string;
    }
  | { readonly kind: 'get-message'; readonly ticket: number; readonly messageId: string }
  | {
      readonly kind: 'list-devices';
      readonly ticket: number;
      /** Device ids after this one, in order; undefined: from the first. */
      readonly after: string | undefined;
      /** 1 … 1,000. */
      readonly count: number;
    }
  | { readonly kind: 'get-device'; readonly ticket: number; readonly deviceId: string }
  | {
      /** Makes a device, or gives an existing one a new token; the old token ends at once. Answered by `device`. */
      readonly kind: 'put-device';
      readonly ticket: number;
      readonly deviceId: string;
      /** SHA-256 of the device token, hex. */
      readonly tokenSha256: string;
      readonly access: AccessRules;
    }
  | {
      /** Ends the device: its flow, session, credential and waiting messages. Answered by `done`. */
      readonly kind: 'delete-device';
      readonly ticket: number;
      readonly deviceId: string;
    }
  | {
      readonly kind: 'put-token';
      readonly ticket: number;
      readonly token: ApiToken;
    }
  | { readonly kind: 'delete-token'; readonly ticket: number; readonly tokenId: string }
  | { readonly kind: 'list-tokens'; readonly ticket: number }
  | {
      /** Newest first. Answered by `calls`. */
      readonly kind: 'list-calls';
      readonly ticket: number;
      /** Only those for this user. */
      readonly aor: Aor | undefined;
      /** Only those that nobody answered or declined. */
      readonly isMissed: boolean;
      /** Older ones than this, as a page's `next` has it; undefined: from the newest. */
      readonly after: CallId | undefined;
      /** 1 … 1,000. */
      readonly count: number;
    }
  /** Answered by `call`. */
  | { readonly kind: 'get-call'; readonly ticket: number; readonly call: CallId }
  | {
      /**
       * The user of a woken device has decided before the call has reached it. `decline` ends the call at once; `answer`
       * gives it 10 s more. Answered by `done`, or by `call-ended`.
       */
      readonly kind: 'call-intent';
      readonly ticket: number;
      readonly call: CallId;
      /** Device that says so: one of the user's; undefined: an operator or a program does. */
      readonly deviceId: string | undefined;
      readonly intent: 'answer' | 'decline';
    }
  | {
      /** Answered by `users`. */
      readonly kind: 'list-users';
      readonly ticket: number;
      /** Addresses after this one, in order; undefined: from the first. */
      readonly after: Aor | undefined;
      /** 1 … 1,000. */
      readonly count: number;
    }
  /** Answered by `user`. */
  | { readonly kind: 'get-user'; readonly ticket: number; readonly aor: Aor }
  /** Makes a user, or changes it. Answered by `user`. */
  | { readonly kind: 'put-user'; readonly ticket: number; readonly user: SipUser }
  /** Ends the user with its bindings; its calls go on to their end. Answered by `done`. */
  | { readonly kind: 'delete-user'; readonly ticket: number; readonly aor: Aor }
  /** Answered by `bindings`. */
  | { readonly kind: 'list-bindings'; readonly ticket: number; readonly aor: Aor }
  | { readonly kind: 'get-statistics'; readonly ticket: number };

/** A bearer token of the HTTP API. The secret itself is nowhere: only its SHA-256. */
export interface ApiToken {
  readonly id: string;
  readonly name: string;
  readonly sha256: string;
  readonly scopes: readonly Scope[];
  readonly createdMs: number;
}

export interface DeviceSummary {
  readonly deviceId: string;
  readonly connected: boolean;
  /** Whether anything of the device is on disk. */
  readonly durable: boolean;
  readonly hasCredential: boolean;
  readonly waitingMessages: number;
  readonly waitingBytes: number;
  /** Sent on the current flow and not acknowledged. */
  readonly inflightMessages: number;
}

export interface DeviceDetail extends DeviceSummary {
  /** 16 hex digits; a new one means that numbering began anew. */
  readonly epoch: string;
  readonly lastSequence: number;
  readonly acknowledgedThrough: number;
  readonly link: string | undefined;
  readonly peer: string | undefined;
  /** Wall-clock ms of the current flow's start. */
  readonly connectedMs: number | undefined;
  /** What it says it is doing; undefined: it is not connected. */
  readonly activity: Activity | undefined;
  /** As it named them on this connection. */
  readonly windowMs: number | undefined;
  readonly network: string | undefined;
  readonly sessionExpirySeconds: number | undefined;
  readonly subscriptions: readonly { readonly filter: string; readonly qos: number }[];
  /** Channels that have an endpoint. */
  readonly endpoints: number;
  readonly access: AccessRules | undefined;
}

/** What became of a message for one recipient. */
export interface RecipientStatus {
  readonly deviceId: string;
  readonly sequence: number;
  readonly stage: Stage;
  /** Why it ended without being delivered; undefined otherwise. */
  readonly reason: string | undefined;
}

export interface MessageStatus {
  readonly messageId: string;
  readonly acceptedMs: number;
  /** Wall-clock ms at which it expires; undefined: never. */
  readonly expiresMs: number | undefined;
  readonly topic: string;
  /** Devices that subscribed, those with QoS 0 included. */
  readonly recipientCount: number;
  /** Those in whose inbox it got a number; at most `limits.receiptRecipientsMax`. */
  readonly recipients: readonly RecipientStatus[];
}

export interface Statistics {
  readonly flows: number;
  readonly devices: number;
  readonly subscriptions: number;
  readonly endpoints: number;
  /** Networks of which devices have said how long a silence they allow. */
  readonly networks: number;
  /** Canaries that are open. */
  readonly canaries: number;
  /** Pushes written to canaries. */
  readonly canaryPushes: number;
  readonly retainedMessages: number;
  readonly waitingMessages: number;
  readonly logBytes: number;
  readonly logLiveBytes: number;
  readonly publicationsAccepted: number;
  readonly deliveriesSent: number;
  readonly deliveriesAcknowledged: number;
  readonly endedExpired: number;
  readonly endedReplaced: number;
  readonly endedDropped: number;
  /** Devices got them and said that they could do nothing with them. */
  readonly endedFailed: number;
  /** QoS 0 deliveries not made because the device could not take them at once. */
  readonly qos0Dropped: number;
  /** Wakes sent to devices that said they are asleep, by the urgency of the message that was the cause. */
  readonly wakesSentNormal: number;
  readonly wakesSentHigh: number;
  /** Times that such a device sent something by itself while messages waited for it. */
  readonly wakesNatural: number;
  readonly commits: number;
  readonly commitFailures: number;
  /** Users of SIP: those of the configuration and others. */
  readonly users: number;
  readonly bindings: number;
  readonly bindingsLive: number;
  /** Calls that wait or ring. */
  readonly callsActive: number;
  readonly callsAccepted: number;
  readonly callsAnswered: number;
  /** Devices declined or were busy, or a limit was reached. */
  readonly callsRejected: number;
  readonly callsCancelled: number;
  readonly callsExpired: number;
  /** Those that were cancelled or expired. */
  readonly callsMissed: number;
  readonly callOffers: number;
  readonly callWakes: number;
  /** SIP messages that wait for an instance. */
  readonly sipMessagesWaiting: number;
}

/** Refusals that only a request can meet, beside those of the links. */
export const requestRefusals = {
  'address-invalid': 'the address is not of the form user@domain',
  'call-ended': 'the call has ended already',
  'calls-off': 'the server speaks no SIP',
  'endpoint-ended': 'the endpoint is no more; it will not come back',
  'idempotency-mismatch': 'the idempotency key was used for another request',
  'unknown-call': 'no such call, or it is no longer kept',
  'unknown-device': 'no such device',
  'unknown-endpoint': 'no such endpoint',
  'unknown-message': 'no such message, or its receipt is no longer kept',
  'unknown-token': 'no such token',
  'unknown-user': 'no such user',
  'user-configured': 'the user stands in the configuration, which is changed there',
  'vapid-key-wrong': 'the endpoint takes pushes that another VAPID key signed',
  'vapid-required': 'the endpoint takes pushes only that its VAPID key signed',
} as const;
export type RequestRefusal = keyof typeof requestRefusals;

export type ControlReply =
  | { readonly kind: 'refused'; readonly ticket: number; readonly reason: Refusal | RequestRefusal }
  | {
      readonly kind: 'sent';
      readonly ticket: number;
      readonly messageId: string;
      readonly recipientCount: number;
      /** The answer to an earlier request with the same idempotency key. */
      readonly repeated: boolean;
    }
  | {
      readonly kind: 'pushed';
      readonly ticket: number;
      readonly place: MessagePlace;
      /** Id of its receipt; undefined: none was wanted. */
      readonly messageId: string | undefined;
    }
  | { readonly kind: 'message'; readonly ticket: number; readonly message: MessageStatus }
  | { readonly kind: 'seal-key'; readonly ticket: number; readonly key: Uint8Array }
  | { readonly kind: 'endpoints'; readonly ticket: number; readonly endpoints: readonly EndpointSummary[] }
  | {
      readonly kind: 'devices';
      readonly ticket: number;
      readonly devices: readonly DeviceSummary[];
      /** Give it as `after` for the next page; undefined: this was the last. */
      readonly next: string | undefined;
    }
  | { readonly kind: 'device'; readonly ticket: number; readonly device: DeviceDetail }
  | {
      readonly kind: 'calls';
      readonly ticket: number;
      readonly calls: readonly CallSummary[];
      /** Give it as `after` for the next page, which may be empty; undefined: this was the last. */
      readonly next: CallId | undefined;
    }
  | { readonly kind: 'call'; readonly ticket: number; readonly call: CallDetail }
  | {
      readonly kind: 'users';
      readonly ticket: number;
      readonly users: readonly UserSummary[];
      readonly next: Aor | undefined;
    }
  | { readonly kind: 'user'; readonly ticket: number; readonly user: UserSummary }
  | { readonly kind: 'bindings'; readonly ticket: number; readonly bindings: readonly BindingSummary[] }
  | { readonly kind: 'tokens'; readonly ticket: number; readonly tokens: readonly ApiToken[] }
  | { readonly kind: 'statistics'; readonly ticket: number; readonly statistics: Statistics }
  | { readonly kind: 'done'; readonly ticket: number };
