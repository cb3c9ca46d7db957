/** What a SIP stack is told when it is made: who it is, whom it serves and how much it bears. */
import type { Aor, SipUser } from '../../domain/index.js';
import type { DigestAlgorithm } from './digest/index.js';
import type { SipLimits } from './limits.js';
import type { SipCrypto, SipListener } from './machine.js';

/** Another SIP server beside ours, which may send us calls and gets those that its numbers name. */
export interface SipTrunk {
  /** 1 … 64 of letters, digits, `-` and `_`. */
  readonly name: string;
  /** Where requests to it go: a SIP URI with a host, and a port and a transport where they are not the usual ones. */
  readonly uri: string;
  /** IP addresses whose requests are this trunk's: by TCP and TLS, or UDP on a listener of trunks only. Empty: none. */
  readonly addresses: readonly string[];
  /** Targets that go out by it: patterns of a user part or, with `@`, of an AOR, in which `*` stands for anything. */
  readonly numbers: readonly string[];
  /** We register there, and calls come back on that flow. */
  readonly registration: SipTrunkRegistration | undefined;
}

export interface SipTrunkRegistration {
  /** `user@host`: the AOR at the trunk; its user part is the user name of the digest. */
  readonly address: string;
  readonly password: string;
}

export interface SipStackOptions {
  readonly listeners: readonly SipListener[];
  /** Domains whose users are ours, in small letters; at least one. The realm of a challenge is one of them. */
  readonly domains: readonly string[];
  /** Looked up for each challenge that is answered. Undefined: there is no such user. */
  findUser(aor: Aor): SipUser | undefined;
  /** What users are asked for, the best first; each has an HA1 of each. Default SHA-256 alone. */
  readonly algorithms?: readonly DigestAlgorithm[];
  readonly trunks: readonly SipTrunk[];
  readonly crypto: SipCrypto;
  /** 32 random bytes that outlive the process: sign Route tokens, nonces and To-tags. */
  readonly key: Uint8Array;
  /** How long a call waits for a sleeping device when the caller does not say, ms; at most Timer C. */
  readonly parkMs: number;
  /** Shorter registrations get 423, seconds. Default {@link sipLimits.registrationSecondsMin}. */
  readonly registrationSecondsMin?: number;
  /** Longer ones are cut, seconds. Default {@link sipLimits.registrationSecondsMax}. */
  readonly registrationSecondsMax?: number;
  /** What phones on streams are told of how often to ping (RFC 5626 §4.4), seconds. Default {@link sipLimits.flowTimerSeconds}. */
  readonly flowTimerSeconds?: number;
  /** Other bounds than {@link sipLimits}. */
  readonly limits?: Partial<SipLimits>;
  /** The server's public key for pushes (RFC 8292), for `+sip.vapid`; undefined: not told. */
  readonly vapidPublicKey?: string;
}
