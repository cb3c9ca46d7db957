/** What an MQTT session is given and what it asks for. */
import type { Identity, LinkCommand, LinkEvent, Refusal } from '../../domain/index.js';

/** One object shared by all sessions of a listener. */
export interface MqttSessionOptions {
  /** Largest packet taken after CONNECT, fixed header included, bytes. Advertised and enforced. */
  readonly maxPacketBytes: number;
  /** QoS 1 and 2 messages of a 5.0 client under way at once, 1 … 65,535. Advertised and enforced. */
  readonly maxInflightInbound: number;
  /** Longest session expiry granted; `SESSION_NEVER_EXPIRES`: whatever is asked. */
  readonly sessionExpirySecondsMax: number;
  /** Time for the whole CONNECT. Default: `mqttLimits.connectTimeoutMsMax`. */
  readonly connectTimeoutMs?: number;
  /** Longest keep alive granted to a 5.0 client, which then also may not go without. */
  readonly keepAliveMsMax?: number;
  /** Keep alive given to every 5.0 client, whatever it asks; 1 … 65,535. */
  readonly serverKeepAliveSeconds?: number;
}

/** In. */
export type MqttSessionInput =
  /** What one read of the socket gave; may be reused by the host after the call. */
  | { readonly kind: 'bytes'; readonly chunk: Uint8Array }
  | { readonly kind: 'events'; readonly events: readonly LinkEvent[] }
  /** Answers to `authenticate`. */
  | { readonly kind: 'authenticated'; readonly identity: Identity }
  | { readonly kind: 'denied'; readonly reason: Refusal }
  /** The peer or the network ended the connection. Last input. */
  | { readonly kind: 'socket-closed' }
  | { readonly kind: 'socket-full' }
  | { readonly kind: 'socket-drained' }
  /** The server is going: say so, and close. */
  | { readonly kind: 'shutdown' };

/** Out, in the order in which it is to be done. */
export type MqttSessionOutput =
  /** Check the credentials; answer with `authenticated` or `denied`. At most once. */
  | {
      readonly kind: 'authenticate';
      readonly clientId: string;
      readonly username: string | undefined;
      readonly password: Uint8Array | undefined;
    }
  /** For the hub, in order; one batch per input. */
  | { readonly kind: 'commands'; readonly commands: readonly LinkCommand[] }
  /** Everything to send for this input; the bytes belong to the receiver. */
  | { readonly kind: 'write'; readonly bytes: Uint8Array }
  /** Send what was written, then end the connection. Last output. `reason` is for logs and counters. */
  | { readonly kind: 'close'; readonly reason: Refusal | undefined };
