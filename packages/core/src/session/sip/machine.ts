/**
 * What goes into the SIP stack and what comes out of it. Unlike the sessions of other links it is one machine for a whole
 * process: transactions outlive the connections they began on, and a call joins two of them.
 */
import type { CallCommand, CallEvent } from '../../domain/call.js';
import type { RefusalDetail, SipRefusal } from './screening/refusals.js';

export type StreamTransport = 'tcp' | 'tls' | 'ws' | 'wss';
export type SipTransport = StreamTransport | 'udp';

export interface SipAddress {
  /** IP address in text, without brackets. */
  readonly address: string;
  readonly port: number;
}

/** A listener as the stack knows it: what it writes into Via and Record-Route. */
export interface SipListener {
  /** Index into the stack's list of listeners. */
  readonly transport: SipTransport;
  /** Host or address and port under which others reach it. */
  readonly advertised: { readonly host: string; readonly port: number };
  /** Only for trunks by address: whoever else sends here is refused. */
  readonly trunksOnly: boolean;
}

export type SipInput =
  | {
      /** Somebody connected, or a `connect` succeeded. */
      readonly kind: 'connection-opened';
      /** Positive numbers for those that came, the stack's own negative ones for those that it asked for. */
      readonly connection: number;
      readonly listener: number;
      readonly transport: StreamTransport;
      readonly remote: SipAddress;
    }
  /** What one read gave; may be reused by the host after the call. A WebSocket frame is one chunk and one message. */
  | { readonly kind: 'bytes'; readonly connection: number; readonly chunk: Uint8Array }
  /** Gone by whichever side, or a `connect` that failed. Last input of a connection. */
  | { readonly kind: 'connection-closed'; readonly connection: number }
  | {
      readonly kind: 'datagram';
      readonly listener: number;
      readonly remote: SipAddress;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'events'; readonly events: readonly CallEvent[] }
  | {
      readonly kind: 'resolved';
      readonly ticket: number;
      /** In order of preference (RFC 3263); empty: nothing was found. */
      readonly targets: readonly ResolvedTarget[];
    }
  /** The server is leaving: new calls get 503, parked ones stay on disk. */
  | { readonly kind: 'drain' };

export interface ResolvedTarget {
  readonly transport: SipTransport;
  readonly remote: SipAddress;
}

export type SipOutput =
  | { readonly kind: 'commands'; readonly commands: readonly CallCommand[] }
  /** The bytes belong to the receiver. On a WebSocket one write is one text or binary frame. */
  | { readonly kind: 'write'; readonly connection: number; readonly bytes: Uint8Array }
  | {
      readonly kind: 'send';
      readonly listener: number;
      readonly remote: SipAddress;
      readonly bytes: Uint8Array;
    }
  /** Answered by `connection-opened` or `connection-closed` with the same number. */
  | {
      readonly kind: 'connect';
      readonly connection: number;
      readonly transport: 'tcp' | 'tls';
      readonly remote: SipAddress;
      /** Name to verify the certificate against; undefined: none. */
      readonly serverName: string | undefined;
    }
  /** Find where a host is (RFC 3263). Answered by `resolved`. Never for an address. */
  | {
      readonly kind: 'resolve';
      readonly ticket: number;
      readonly host: string;
      /** undefined: not named, look for SRV. */
      readonly port: number | undefined;
      /** undefined: not named. */
      readonly transport: SipTransport | undefined;
      readonly isSecure: boolean;
    }
  /** Somebody was refused something before anybody was asked: for counters and logs. */
  | {
      readonly kind: 'refused';
      readonly refusal: SipRefusal;
      readonly address: string;
      /** More, for logs alone. */
      readonly detail: RefusalDetail | undefined;
    }
  /** Somebody on this connection has been let in: it is no stranger's any more. At most once. */
  | { readonly kind: 'admitted'; readonly connection: number }
  /** Send what was written, then end the connection. `reason` is for logs and counters. */
  | { readonly kind: 'close'; readonly connection: number; readonly reason: string };

/** Hashes and random bytes of the host: a session has none of its own. */
export interface SipCrypto {
  sha256(data: Uint8Array): Uint8Array;
  md5(data: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  randomBytes(count: number): Uint8Array;
}
