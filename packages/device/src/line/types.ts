/** The public shapes of a line: what an app gives, and what it gets. */
import type { CallEnd, KeepalivePolicy, Status } from '@wakeline/core/device';
import type { DeviceError } from '../errors.js';
import type { Platform, Storage, Transport } from '../ports/index.js';
import type { PushCrypto } from '../push/push-crypto.js';
import type { PushChannels, PushOutcome } from '../push/types.js';

/** A length of time: ms, or a text such as `500ms`, `10s`, `4m`, `2h`, `7d`. */
export type Duration = number | string;

/** How a dead path is found: see docs/spec/keepalive.md. */
export type Keepalive =
  /** Learns what each network allows, and asks as rarely as that. The default. */
  | 'adaptive'
  /** Never asks. */
  | 'none'
  /** Never lets the device sleep: warns with KEEPALIVE_COSTLY. */
  | 'keepAwake'
  /** Asks after the same silence everywhere. */
  | { readonly fixed: Duration }
  | KeepalivePolicy;

/** What an app says of its line, on every platform. */
export interface LineOptions {
  /** Of the server: `mqtts://host`, `mqtt://host:port`, `wss://host/mqtt`, `ws://…`; which of them, the platform says. */
  readonly url: string | URL;
  /** Client id; with a device token, the device's own id. */
  readonly deviceId: string;
  /** A device token (`wl_d_…`). */
  readonly token?: string;
  /** Instead of a token. */
  readonly username?: string;
  readonly password?: string;
  /** Default: `adaptive`. */
  readonly keepalive?: Keepalive;
  /** How long the server keeps session and inbox of a device that does not come. Default: `30d`. */
  readonly sessionExpiry?: Duration;
  /** Whether the messages addressed to the device are subscribed to. Default: true. */
  readonly inbox?: boolean;
  /** Ends the line as {@link Line.close} does. */
  readonly signal?: AbortSignal;
  /** Told what goes wrong without ending the line: HANDLER_FAILED, KEEPALIVE_COSTLY, STORAGE_FAILED, REFUSED. Default: `console.warn`. */
  readonly onWarning?: (warning: DeviceError) => void;
}

/** What a line stands on. Each platform's `openLine` has its own; here an app can bring others. */
export interface LineParts {
  readonly transports: readonly Transport[];
  readonly storage: Storage;
  readonly platform: Platform;
  /** For Web Push. Undefined: there is none, and `push` rejects with CRYPTO_MISSING. */
  readonly crypto: PushCrypto | undefined;
}

/** A message for the app. It is the app's until `ack` or `giveBack`, whichever comes first. */
export interface Message {
  readonly topic: string;
  /** Of the device's inbox, when the message is addressed to the device itself; undefined: it was published to a topic. */
  readonly channel: string | undefined;
  readonly body: Uint8Array;
  /** The body as UTF-8. */
  text(): string;
  /** The body as JSON. @throws SyntaxError */
  json(): unknown;
  readonly contentType: string | undefined;
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
  /** As the sender wrote them, in order; a name may come twice. */
  readonly userProperties: readonly (readonly [name: string, value: string])[];
  readonly qos: 0 | 1;
  readonly retain: boolean;
  /** Of its life, seconds, when it came; undefined: it does not expire. */
  readonly expirySeconds: number | undefined;
  /** Epoch and number within the device's inbox: the same for a message that comes again. Undefined: QoS 0. */
  readonly place: { readonly epoch: string; readonly sequence: number } | undefined;
  /** Of a Web Push message that came encrypted, on a channel that `push` has subscribed; undefined: of any other. */
  readonly encryption: PushOutcome | undefined;
  /**
   * Handled: it never comes again once that is stored, which is when the promise resolves (of QoS 0, at once). Rejects with
   * CLOSED if the line is closed before; nobody need wait for it.
   */
  ack(): Promise<void>;
  /** Not handled: it comes again with a later connection. */
  giveBack(): void;
}

/** A call, or another request, that waits for a SIP phone of this user to come. docs/spec/calls.md has what the server does. */
export interface Call {
  /** The server's id of it. */
  readonly id: string;
  /** request: something that is no call waits for the phone to register. */
  readonly kind: 'call' | 'request';
  /** The called user. */
  readonly aor: string;
  readonly sipCallId: string | undefined;
  /** The caller's address and name, where they are told. */
  readonly from: string | undefined;
  readonly fromName: string | undefined;
  readonly started: Date | undefined;
  /** Until when it waits; it may move. */
  readonly deadline: Date;
  /** Aborted when the call is over, whoever ended it; from the start for one that was missed while the device was away. */
  readonly over: AbortSignal;
  /** How it ended; undefined: it has not. */
  readonly end: CallEnd | undefined;
  /** Why it was missed, in a sentence. */
  readonly reason: string | undefined;
  /**
   * The phone rings: the server need not tell this device of it again. Said by {@link answer}, by {@link decline}, and when a handler
   * returns, too.
   */
  ack(): void;
  /** The user takes it: the server waits longer for the phone to register. Rejects with CLOSED, REFUSED, TOO_MANY. */
  answer(): Promise<CallOutcome>;
  /** The user does not: the caller hears it at once, before any INVITE has come here. Rejects as {@link answer}. */
  decline(): Promise<CallOutcome>;
}

/** done: as said. over: the call had ended. unknown: the server knows of no such call for this device. */
export type CallOutcome = 'done' | 'over' | 'unknown';

export interface PublishOptions {
  /** 1, the default: waits for a connection, and resolves when the server has it. 0: resolves when it is written. */
  readonly qos?: 0 | 1;
  /** When it is worth nothing any more. Default: never. */
  readonly expiry?: Duration;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  readonly userProperties?: readonly (readonly [name: string, value: string])[];
  /** No longer waited for; the server may get it all the same. */
  readonly signal?: AbortSignal;
}

export interface SubscribeOptions {
  /** Default: 1. */
  readonly qos?: 0 | 1;
  readonly signal?: AbortSignal;
}

export interface ConsumeOptions {
  /** Ends the loop. */
  readonly signal?: AbortSignal;
}

export interface OnlineOptions extends ConsumeOptions {
  /** No longer waited for, from 1 ms on. Default: as long as the line lives. */
  readonly timeout?: Duration;
}

export interface HandleOptions extends ConsumeOptions {
  /** Messages handled at the same time, 1 … 50. Default: 1, which keeps their order. */
  readonly concurrency?: number;
}

/** The line of a device. It lives as long as the app does, over all connections. */
export interface Line {
  /** Where it is now. */
  readonly status: Status;
  /**
   * Why the last connection ended, or could not be had, for people: what the platform says of the network, else a DeviceError with what the
   * server did. Undefined: there was none.
   */
  readonly lastError: unknown;
  /** Resolves when the line has ended: with undefined when the app closed it, else with what made it impossible. */
  readonly closed: Promise<DeviceError | undefined>;
  /** The end of the wake window in which the sleeping device runs; undefined: there is none. */
  readonly windowEnd: Date | undefined;
  /** From the present status on. Of statuses that follow each other faster than they are read the last ones are seen. */
  statuses(options?: ConsumeOptions): AsyncIterableIterator<Status>;
  /**
   * Resolves when it is connected. Rejects with CLOSED or REFUSED when it will not be; with NOT_CONNECTED after `timeout`, with why the
   * last attempt failed; with the signal's reason.
   */
  online(options?: OnlineOptions): Promise<void>;
  /** Each must be acknowledged or given back by the loop. @throws DeviceError CONSUMER_TAKEN */
  messages(options?: ConsumeOptions): AsyncIterableIterator<Message>;
  /**
   * Each message is acknowledged when the handler returns (or its promise resolves), unless it was already; a throw gives it back,
   * with the warning HANDLER_FAILED. @throws DeviceError CONSUMER_TAKEN
   */
  onMessage(handler: (message: Message) => void | Promise<void>, options?: HandleOptions): void;
  /** Calls as they come, each once; and those that were missed while the device was away. @throws DeviceError CONSUMER_TAKEN */
  calls(options?: ConsumeOptions): AsyncIterableIterator<Call>;
  /** As {@link calls}; each is acknowledged when the handler returns, a throw tells HANDLER_FAILED. @throws DeviceError CONSUMER_TAKEN */
  onCall(handler: (call: Call) => void | Promise<void>, options?: ConsumeOptions): void;
  /** Resolves when the server has it; it holds for later connections. Rejects with REFUSED, TOO_MANY, CLOSED, or the signal's reason. */
  subscribe(filter: string, options?: SubscribeOptions): Promise<void>;
  /** Rejects with REFUSED, NOT_CONNECTED, TOO_MANY, CLOSED, or the signal's reason. */
  publish(topic: string, body: string | Uint8Array, options?: PublishOptions): Promise<void>;
  /** Web Push to this device. */
  readonly push: PushChannels;
  /** Tries again a server that has refused the device (status `refused`), once the reason is mended. */
  retry(): void;
  /** Says goodbye, stores what is to be stored, and lets go of everything. Idempotent. Never rejects. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
