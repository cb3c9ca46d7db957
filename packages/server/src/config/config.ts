/**
 * What a server is told at its start, after file, environment and flags were read, checked and merged.
 *
 * Everything here is final: no string is left to be parsed, no default to be filled in. Whoever takes a
 * `ServerConfig` may rely on the rules of docs/configuration.md (a public listener has TLS and credentials, or
 * `insecure` was said).
 */
import type { limits } from '@wakeline/core/base';
import type { AccessRules, PasswordAlgorithm, SipUser } from '@wakeline/core/domain';

/** The protocols that a listener may speak; the HTTP ones also carry WebSockets, `sips` is SIP over TLS. */
export const listenerProtocols = ['http', 'https', 'mqtt', 'mqtts', 'sip+tcp', 'sip+udp', 'sips'] as const;
export type ListenerProtocol = (typeof listenerProtocols)[number];

export function isTlsProtocol(protocol: ListenerProtocol): boolean {
  return protocol === 'https' || protocol === 'mqtts' || protocol === 'sips';
}

/** What is spoken there in place of a protocol without TLS. */
export function secureProtocolOf(protocol: ListenerProtocol): ListenerProtocol {
  if (protocol === 'http') return 'https';
  return protocol === 'mqtt' ? 'mqtts' : 'sips';
}

/** SIP alone; SIP over WebSocket is a matter of the HTTP listeners. */
export function isSipProtocol(protocol: ListenerProtocol): protocol is 'sip+tcp' | 'sip+udp' | 'sips' {
  return protocol === 'sip+tcp' || protocol === 'sip+udp' || protocol === 'sips';
}

/** Certificate and key of a TLS listener: PEM files, read when the listener opens. */
export interface TlsFiles {
  /** Certificate chain, leaf first. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** One address on which the server accepts connections. */
export interface ListenerConfig {
  readonly protocol: ListenerProtocol;
  /** Address or name, without the brackets of IPv6. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Reachable from this machine only: `localhost`, 127.0.0.0/8 or ::1. */
  readonly isLoopback: boolean;
  /** Set exactly when the protocol is `https`, `mqtts` or `sips`. */
  readonly tls: TlsFiles | undefined;
  /** How others reach it for SIP; undefined: as {@link host} and the port say. Port 0: the listener's own. */
  readonly advertised?: { readonly host: string; readonly port: number } | undefined;
  /** SIP: only for trunks by their addresses. Default: false. */
  readonly trunksOnly?: boolean;
}

/** A person or program that connects to MQTT with a name and a password. */
export interface UserConfig {
  readonly name: string;
  /** `scrypt$N$r$p$salt$hash`, salt and hash in base64url; made by `wakeline password hash`. */
  readonly passwordScrypt: string;
  readonly access: AccessRules;
}

export const logLevels = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Names of core's limits. */
export type LimitName = keyof typeof limits;

export interface MqttConfig {
  /** Largest packet taken from a client, fixed header included. */
  readonly packetBytesMax: number;
  /** A longer session expiry is cut to this; 4,294,967,295: sessions may live for ever. */
  readonly sessionExpirySecondsMax: number;
  /** From accepting the socket to a finished CONNECT. */
  readonly connectTimeoutMs: number;
  /** Keep alive told to MQTT 5 clients in place of their own; undefined: theirs is taken. */
  readonly serverKeepAliveSeconds: number | undefined;
  /** Longest keep alive of an MQTT 5 client, which is told; undefined: whatever it asks. */
  readonly keepAliveSecondsMax: number | undefined;
  /** An MQTT 5 client that asks for no keep alive gets the longest all the same. */
  readonly keepAliveRequired: boolean;
  /** A 3.1.1 client may be silent so long while TCP keepalives watch the path; undefined: as the standard says. */
  readonly silenceMsMax: number | undefined;
  /** Silence after which TCP keepalives are sent on MQTT connections; undefined: none are. */
  readonly tcpKeepAliveMs: number | undefined;
}

export interface WebPushConfig {
  /** File with a map from broadcast ids to versions; undefined: there are no broadcasts. */
  readonly broadcastsFile: string | undefined;
  /** Silence of a user agent after which its WebSocket is pinged; undefined: it never is. */
  readonly pingAfterMs: number | undefined;
  /** New user agents of one address, a minute. */
  readonly newAgentsPerAddressMax: number;
  /** New user agents of all addresses, a minute. */
  readonly newAgentsMax: number;
}

/** A PBX or provider beside us: where calls come from and go to. */
export interface SipTrunkConfig {
  readonly name: string;
  /** `sip:HOST[:PORT][;transport=tcp|udp|tls]` or `sips:…`. */
  readonly uri: string;
  /** Addresses whose requests are this trunk's. */
  readonly from: readonly string[];
  /** We register there, and calls come back on that flow. */
  readonly register: { readonly address: string; readonly password: string } | undefined;
  /** Targets that go out by it: patterns of a user part or an address-of-record, `*` for any characters. */
  readonly numbers: readonly string[];
}

export interface SipConfig {
  /** In small letters. Empty: SIP is not spoken. */
  readonly domains: readonly string[];
  readonly users: readonly SipUser[];
  /** What all users are asked for, the best first; each has a hash of each. */
  readonly challenge: readonly PasswordAlgorithm[];
  /** In the order in which they are tried. */
  readonly trunks: readonly SipTrunkConfig[];
  /** How long a call waits for a sleeping phone, at most 180,000. */
  readonly parkMs: number;
  /** Shorter registrations are refused. */
  readonly registrationSecondsMin: number;
  /** Longer registrations are cut. */
  readonly registrationSecondsMax: number;
  /** Told to phones as Flow-Timer (RFC 5626). */
  readonly flowTimerSeconds: number;
  /** Beginnings of push endpoints that may be on private addresses; without a slash at their ends. */
  readonly pushEndpoints: readonly string[];
}

export interface ServerConfig {
  /** Absolute path. Made with mode 0700 when it does not exist. */
  readonly dataDirectory: string;
  /** At least one. */
  readonly listeners: readonly ListenerConfig[];
  /** Public listeners without TLS or credentials were asked for. */
  readonly insecure: boolean;
  /** Addresses (or `address/prefix`) that may speak PROXY protocol v1/v2 or X-Forwarded-For. */
  readonly behindProxy: readonly string[];
  /** How the HTTP listeners are reached from outside, without a slash at its end; undefined: as the first of them says. */
  readonly publicUrl: string | undefined;
  /** MQTT clients without a credential are let in. Default: true exactly when every listener is loopback. */
  readonly anonymousDevices: boolean;
  /** The HTTP API answers without a bearer token. Default: true exactly when every listener is loopback. */
  readonly openApi: boolean;
  readonly users: readonly UserConfig[];
  readonly logLevel: LogLevel;
  readonly mqtt: MqttConfig;
  readonly webpush: WebPushConfig;
  readonly sip: SipConfig;
  /** Overrides of core's limits, by name; what is absent keeps its default. */
  readonly limits: Partial<Record<LimitName, number>>;
  /** Connections of all listeners from one peer address. */
  readonly connectionsPerAddressMax: number;
  readonly connectsPerSecondPerAddressMax: number;
  /** New connections of all addresses together; those beyond wait for their turn. */
  readonly connectsPerSecondMax: number;
  /** Connections without a finished CONNECT, in all. */
  readonly handshakesMax: number;
  /** Processes that hold the sockets; 0: all in one process. */
  readonly lines: number;
  /** Connections that a restart of the lines closes each second: each wakes a device. */
  readonly restartFlowsPerSecond: number;
}
