/**
 * The messages of Mozilla's push protocol, as values. The protocol has no specification; what is written here is what
 * its clients (Firefox, Sunup, KUnifiedPush) send and accept. docs/spec/webpush-link.md has the table.
 *
 * Must not: know sockets, devices or inboxes.
 */

/** Lower-case dashed UUID: 36 characters. */
export type ChannelId = string;

/** What a client says of a notification. */
export const AckCode = { delivered: 100, notDecrypted: 101, notDelivered: 102 } as const;
export type AckCode = (typeof AckCode)[keyof typeof AckCode];

/** What went wrong in the application after it was handed a notification. */
export const NackCode = { uncaughtException: 301, unhandledRejection: 302, internalError: 303 } as const;
export type NackCode = (typeof NackCode)[keyof typeof NackCode];

/** RFC 8030 §5.3, as text. */
export const frameUrgencies = ['very-low', 'low', 'normal', 'high'] as const;
export type FrameUrgency = (typeof frameUrgencies)[number];

/** One broadcast: its id and a version, which is compared for equality only. */
export type BroadcastVersion = readonly [id: string, version: string];

export interface HelloMessage {
  readonly type: 'hello';
  /** As sent; empty texts count as absent. undefined: the client has none, or does not want to show it. */
  readonly uaid: string | undefined;
  readonly broadcasts: readonly BroadcastVersion[];
}

export interface RegisterMessage {
  readonly type: 'register';
  readonly channelId: ChannelId;
  /** The VAPID key to which the endpoint is restricted, as it was sent: base64url of whatever; undefined: to none. */
  readonly key: string | undefined;
}

export interface UnregisterMessage {
  readonly type: 'unregister';
  readonly channelId: ChannelId;
  /** 200 by the app, 201 over quota, 202 permission taken back; undefined: not said. */
  readonly code: number | undefined;
}

export interface AckUpdate {
  readonly channelId: ChannelId;
  readonly version: string;
  readonly code: AckCode;
}

export interface AckMessage {
  readonly type: 'ack';
  readonly updates: readonly AckUpdate[];
}

export interface NackMessage {
  readonly type: 'nack';
  readonly version: string;
  readonly code: NackCode;
}

export interface BroadcastSubscribeMessage {
  readonly type: 'broadcast-subscribe';
  readonly broadcasts: readonly BroadcastVersion[];
}

/** The lowest urgency that the client wants to get now; an extension that autopush has. */
export interface UrgencyMessage {
  readonly type: 'urgency';
  readonly min: FrameUrgency;
}

/** `{}` or one that says so. */
export interface PingMessage {
  readonly type: 'ping';
}

/** From a client. */
export type ClientMessage =
  | HelloMessage
  | RegisterMessage
  | UnregisterMessage
  | AckMessage
  | NackMessage
  | BroadcastSubscribeMessage
  | UrgencyMessage
  | PingMessage;

/** Encryption headers of a notification, as the sender gave them; absent ones are left out. */
export interface NotificationHeaders {
  readonly encoding?: string;
  readonly encryption?: string;
  readonly cryptoKey?: string;
}

/** From the server. Statuses are those of HTTP. */
export type ServerMessage =
  | {
      readonly type: 'hello';
      readonly uaid: string;
      readonly broadcasts: readonly BroadcastVersion[];
    }
  | {
      readonly type: 'register';
      readonly channelId: string;
      readonly status: number;
      /** Empty unless the status is 200. */
      readonly pushEndpoint: string;
    }
  | { readonly type: 'unregister'; readonly channelId: string; readonly status: number }
  | {
      readonly type: 'notification';
      readonly channelId: ChannelId;
      readonly version: string;
      /** Empty: a notification without content has neither data nor headers. */
      readonly data: Uint8Array;
      readonly headers: NotificationHeaders;
    }
  | {
      readonly type: 'broadcast';
      readonly broadcasts: readonly BroadcastVersion[];
      /** Ids that the server does not know. */
      readonly unknown: readonly string[];
    }
  | { readonly type: 'urgency'; readonly status: number }
  | { readonly type: 'ping' };
