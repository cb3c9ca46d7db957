/** What the API needs of the process around it. */
import type { ApiToken, ControlReply, ControlRequest, PasswordAlgorithm } from '@wakeline/core/domain';

/** `Omit` for each member of a union. */
export type DistributiveOmit<Union, Key extends PropertyKey> = Union extends unknown
  ? Omit<Union, Key>
  : never;

/** A request without its ticket, which belongs to whoever carries it to the hub. */
export type HubRequest = DistributiveOmit<ControlRequest, 'ticket'>;

/** The part of a pino logger that is used. Neither bodies nor tokens are ever handed to it. */
export interface HttpLog {
  debug(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface BackupMade {
  /** Absolute, on the server's machine. */
  readonly directory: string;
  /** Size of the copied data. */
  readonly bytes: number;
}

export interface BackupRefused {
  readonly refused: 'backup-running' | 'backup-no-room';
}

export interface HttpApiOptions {
  /** To the hub and back. Resolves after the cause of the reply is synced; rejects only for faults of ours. */
  request(request: HubRequest): Promise<ControlReply>;
  /** The token whose secret has this SHA-256. Asked for every request; at once where the hub is in this process. */
  findApiToken(sha256Hex: string): ApiToken | undefined | Promise<ApiToken | undefined>;
  /** No token is needed; then requests of web pages are refused. */
  readonly openApi: boolean;
  /** False until all listeners accept, and again while draining. */
  isReady(): boolean;
  /** How the server is reached from outside, without a slash at its end; undefined: by HTTP it is not. */
  publicUrl(): string | undefined;
  /** Domains whose users are served; empty: SIP is not spoken. */
  readonly sipDomains: readonly string[];
  /** The algorithms that every user of SIP needs a hash of. */
  readonly sipChallenge: readonly PasswordAlgorithm[];
  /** The Prometheus text for /metrics. */
  metricsText(): Promise<string>;
  /**
   * Copies the store to a place that it chooses itself; resolves when the copy is synced. Rejects for faults of ours.
   * Undefined: the store cannot be backed up.
   */
  readonly backup?: (() => Promise<BackupMade | BackupRefused>) | undefined;
  /** Unpredictable bytes. */
  random(bytes: number): Uint8Array;
  /** Wall clock, ms. */
  now(): number;
  readonly log: HttpLog;
  /** Addresses whose X-Forwarded-For is believed. */
  readonly behindProxy: readonly string[];
  /** Default: `limits.messageBytesMax`. */
  readonly messageBytesMax?: number | undefined;
  /** From the request's head to the end of its body, and for the hub's answer; default 30 s. */
  readonly requestTimeoutMs?: number | undefined;
}
