/**
 * Who is at the other end? Turns what a CONNECT presents into an {@link Identity}, or refuses it.
 *
 * A device token is only hashed here: the hub knows whose it is. So is the secret of a user agent of Web Push, which comes
 * by MQTT, too. A user's password is checked here, one at a time,
 * because each check keeps a thread of the pool busy that the store's commits need too. Whether a name exists can
 * be told neither from the answer nor from the time it takes.
 */
import type { Identity, Refusal } from '@wakeline/core/domain';
import type { UserConfig } from '../config/config.js';
import { verifyPassword } from '../config/password.js';
import { hashSecret, isAgentSecret } from './agent-identity.js';
import type { Clock } from './clock.js';
import { FailedLogins } from './failed-logins.js';
import type { RuntimeLimits } from './limits.js';

/** What a CONNECT presented, and from where. */
export interface Credentials {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** Peer address without port. */
  readonly address: string;
}

export type Decision =
  | { readonly kind: 'authenticated'; readonly identity: Identity }
  | { readonly kind: 'denied'; readonly reason: Refusal };

export interface AuthenticatorOptions {
  readonly users: readonly UserConfig[];
  readonly anonymousDevices: boolean;
  readonly limits: RuntimeLimits;
  readonly clock: Clock;
  /** Tests count and delay it. Default: {@link verifyPassword}. */
  readonly verify?: (password: string, line: string) => Promise<boolean>;
}

/** Every device token begins so: it needs no user name to be recognised. */
export const deviceTokenPrefix = 'wl_d_';

export class Authenticator {
  readonly #limits: RuntimeLimits;
  readonly #clock: Clock;
  readonly #anonymousDevices: boolean;
  readonly #users = new Map<string, UserConfig>();
  /** What an unknown user's password is compared with: undefined only when there are no users at all. */
  readonly #straw: UserConfig | undefined;
  readonly #failed: FailedLogins;
  readonly #verify: (password: string, line: string) => Promise<boolean>;
  #queue: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor(options: AuthenticatorOptions) {
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#anonymousDevices = options.anonymousDevices;
    for (const user of options.users) this.#users.set(user.name, user);
    this.#straw = options.users[0];
    this.#failed = new FailedLogins(options.limits);
    this.#verify = options.verify ?? verifyPassword;
  }

  /** Answers at once unless a password has to be hashed. Never rejects for what the peer sent. */
  authenticate(credentials: Credentials): Decision | Promise<Decision> {
    const { username, password } = credentials;
    if (password !== undefined && (isDeviceToken(password) || this.#isAgent(username, password))) {
      return { kind: 'authenticated', identity: { kind: 'token', sha256: hashSecret(password) } };
    }
    if (username === undefined && password === undefined) {
      return this.#anonymousDevices && !this.#belongsToUser(credentials.clientId)
        ? anonymous
        : badCredentials;
    }
    if (username === undefined || password === undefined || this.#users.size === 0) return badCredentials;
    if (password.length > this.#limits.passwordBytesMax) return badCredentials;
    return this.#checkUser(credentials.clientId, username, password, credentials.address);
  }

  /** A user may have a password that looks like such a secret. */
  #isAgent(username: string | undefined, password: Uint8Array): boolean {
    if (username !== undefined && this.#users.has(username)) return false;
    return isAgentSecret(Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString());
  }

  /** A user's devices are reached with the user's password only. */
  #belongsToUser(clientId: string): boolean {
    if (clientId === '') return false;
    for (const name of this.#users.keys()) if (isDeviceOfUser(clientId, name)) return true;
    return false;
  }

  #checkUser(
    clientId: string,
    name: string,
    password: Uint8Array,
    address: string,
  ): Decision | Promise<Decision> {
    if (this.#failed.isBlocked(address, this.#clock().monotonic)) return quotaExceeded;
    if (this.#queued >= this.#limits.passwordQueueMax) return quotaExceeded;
    this.#queued += 1;
    const text = Buffer.from(password.buffer, password.byteOffset, password.byteLength).toString('utf8');
    const decision = this.#queue.then(() => this.#hashAndCompare(clientId, name, text, address));
    this.#queue = decision.catch(() => undefined);
    return decision.finally(() => {
      this.#queued -= 1;
    });
  }

  async #hashAndCompare(
    clientId: string,
    name: string,
    password: string,
    address: string,
  ): Promise<Decision> {
    // Those ahead in the queue may have used up what the address was allowed.
    if (this.#failed.isBlocked(address, this.#clock().monotonic)) return quotaExceeded;
    const user = this.#users.get(name);
    const line = (user ?? this.#straw)?.passwordScrypt ?? '';
    const isMatch = await this.#verify(password, line);
    if (user === undefined || !isMatch) {
      this.#failed.note(address, this.#clock().monotonic);
      return badCredentials;
    }
    if (!isDeviceOfUser(clientId, name)) return badDeviceId;
    return { kind: 'authenticated', identity: { kind: 'user', name, access: user.access } };
  }
}

const anonymous: Decision = { kind: 'authenticated', identity: { kind: 'anonymous' } };
const badCredentials: Decision = { kind: 'denied', reason: 'bad-credentials' };
const badDeviceId: Decision = { kind: 'denied', reason: 'bad-device-id' };
const quotaExceeded: Decision = { kind: 'denied', reason: 'quota-exceeded' };

/**
 * A user's devices are called like the user or `<name>-…`; an empty id is left to the hub, which assigns one.
 */
export function isDeviceOfUser(clientId: string, name: string): boolean {
  return clientId === '' || clientId === name || clientId.startsWith(`${name}-`);
}

function isDeviceToken(password: Uint8Array): boolean {
  if (password.length < deviceTokenPrefix.length) return false;
  for (let index = 0; index < deviceTokenPrefix.length; index += 1) {
    if (password[index] !== deviceTokenPrefix.charCodeAt(index)) return false;
  }
  return true;
}
