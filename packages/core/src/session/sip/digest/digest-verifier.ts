/**
 * The server's side of Digest for our own users (RFC 7616, RFC 8760): makes challenges and judges what is answered.
 *
 * Of a password it knows HA1 alone. Whoever asks cannot tell a user that does not exist from a wrong password, neither
 * by the answer nor by the work: an unknown one is compared with an HA1 that nothing has. It does not compare the
 * parameter `uri` with the Request-URI: proxies on the way may change that (RFC 3261 §22.4), and a count is good once.
 */
import { encodeUtf8, limitKey, toHex, type InstantMs } from '../../../base/index.js';
import type { Aor, SipUser } from '../../../domain/index.js';
import { formatChallenge, type DigestFields } from '../../../wire/sip/index.js';
import { AddressBudget } from '../../address-budget.js';
import type { SipCrypto } from '../machine.js';
import {
  algorithmTokens,
  digestResponse,
  isSameText,
  parseAlgorithm,
  type DigestAlgorithm,
} from './digest-response.js';
import { Nonces } from './nonces.js';

/** Wrong answers to challenges: who guesses passwords is not listened to for a while, nor is anybody once everybody guesses. */
export interface FailedLoginOptions {
  /** Each minute, of one address. */
  readonly perAddressMax: number;
  /** Each minute, of all. */
  readonly totalMax: number;
  readonly addressesMax: number;
}

export interface DigestVerifierOptions {
  readonly crypto: SipCrypto;
  /** 32 bytes that outlive the process. */
  readonly key: Uint8Array;
  /** What everybody is asked for, the best first; users have an HA1 of each. */
  readonly algorithms: readonly DigestAlgorithm[];
  findUser(aor: Aor): SipUser | undefined;
  /** A nonce is good for so long, ms. */
  readonly nonceMsMax: number;
  /** Nonces whose counts are remembered. */
  readonly noncesMax: number;
  readonly failedLogins: FailedLoginOptions;
}

export interface DigestAttempt {
  readonly method: string;
  /** Authorization or Proxy-Authorization. */
  readonly credentials: readonly DigestFields[];
  /** The domain of the user who is asked for. */
  readonly realm: string;
  /** IP address of the sender, for the limit of failures. */
  readonly address: string;
}

/**
 * Why an answer to a challenge proves nothing, for us alone: who answered must not hear of the difference.
 *
 * - `wrong`: of no user, by no algorithm that was asked for, or of another password.
 * - `no-hash`: of a user whose password is not kept for the algorithm. Right or wrong cannot be told.
 */
export type DigestFailure =
  | { readonly kind: 'wrong' }
  | { readonly kind: 'no-hash'; readonly user: SipUser; readonly algorithm: DigestAlgorithm };

export type DigestVerdict =
  | { readonly kind: 'proved'; readonly user: SipUser }
  /**
   * Ask (again), with `challenge`. `stale`: the nonce is too old, was used, or is not of this address; right or wrong was
   * not told, as RFC 7616 §3.3 allows.
   */
  | { readonly kind: 'challenge'; readonly stale: boolean; readonly failure: DigestFailure | undefined }
  /** 400: the credentials are not as RFC 7616 wants them. */
  | { readonly kind: 'malformed' }
  /** 403: too many failures; right or wrong was not looked at. */
  | { readonly kind: 'blocked' };

interface Credentials {
  readonly username: string;
  readonly nonce: string;
  readonly uri: string;
  readonly response: string;
  readonly nc: string;
  readonly cnonce: string;
  readonly algorithm: DigestAlgorithm | undefined;
}

export class DigestVerifier {
  readonly #options: DigestVerifierOptions;
  readonly #nonces: Nonces;
  readonly #failures: AddressBudget;

  constructor(options: DigestVerifierOptions) {
    this.#options = options;
    this.#nonces = new Nonces(options);
    const { perAddressMax, totalMax, addressesMax } = options.failedLogins;
    this.#failures = new AddressBudget(perAddressMax, totalMax, addressesMax);
  }

  /**
   * The values of WWW-Authenticate or Proxy-Authenticate, the best algorithm on top (RFC 8760 §2.3). They are the same for
   * everybody: they tell neither whether there is such a user nor what is kept of a password.
   */
  challenges(now: InstantMs, realm: string, address: string, stale: boolean): string[] {
    const nonce = this.#nonces.make(now, scopeOf(realm, address));
    return this.#options.algorithms.map((algorithm) => {
      const fields = new Map([
        ['realm', realm],
        ['nonce', nonce],
        ['algorithm', algorithmTokens[algorithm]],
        ['qop', 'auth'],
      ]);
      if (stale) fields.set('stale', 'true');
      return formatChallenge({ scheme: 'digest', fields });
    });
  }

  verify(now: InstantMs, attempt: DigestAttempt): DigestVerdict {
    const { realm } = attempt;
    const address = limitKey(attempt.address);
    const parameters = findCredentials(attempt.credentials, realm);
    if (parameters === undefined) return { kind: 'challenge', stale: false, failure: undefined };
    const credentials = readCredentials(parameters);
    if (credentials === undefined) return { kind: 'malformed' };
    const { nonce, nc } = credentials;
    const scope = scopeOf(realm, attempt.address);
    // Neither right nor wrong was looked at: a forged source, or one answer to a challenge sent again, fails for nobody.
    if (this.#nonces.check(now, nonce, scope) !== 'fresh') {
      return { kind: 'challenge', stale: true, failure: undefined };
    }
    if (this.#failures.isSpent(now, address)) return { kind: 'blocked' };

    const user = this.#options.findUser(`${credentials.username}@${realm}`);
    if (!this.#isRight(credentials, attempt, user) || user === undefined) {
      this.#failures.take(now, address);
      return { kind: 'challenge', stale: false, failure: this.#failureOf(credentials, user) };
    }
    const isFresh = this.#nonces.take(now, nonce, scope, Number.parseInt(nc, 16));
    return isFresh ? { kind: 'proved', user } : { kind: 'challenge', stale: true, failure: undefined };
  }

  #failureOf({ algorithm }: Credentials, user: SipUser | undefined): DigestFailure {
    const isKept = user === undefined || algorithm === undefined || user.ha1[algorithm] !== undefined;
    if (isKept || !this.#options.algorithms.includes(algorithm)) return { kind: 'wrong' };
    return { kind: 'no-hash', user, algorithm };
  }

  #isRight(credentials: Credentials, attempt: DigestAttempt, user: SipUser | undefined): boolean {
    const algorithm = credentials.algorithm ?? 'sha-256';
    // By what nobody was asked for, nothing is proved: a weaker one may have been written in on the way.
    const wasAsked = credentials.algorithm !== undefined && this.#options.algorithms.includes(algorithm);
    const kept = wasAsked ? user?.ha1[algorithm] : undefined;
    // Made in any case, so that the work is the same.
    const none = this.#noHa1(credentials.username, algorithm);
    const expected = digestResponse(this.#options.crypto, {
      algorithm,
      ha1: kept?.toLowerCase() ?? none,
      nonce: credentials.nonce,
      method: attempt.method,
      uri: credentials.uri,
      protection: credentials,
    });
    return isSameText(expected, credentials.response.toLowerCase()) && kept !== undefined;
  }

  /** Looks like an HA1 and is of no password. */
  #noHa1(username: string, algorithm: DigestAlgorithm): string {
    const mac = this.#options.crypto.hmacSha256(this.#options.key, encodeUtf8(`ha1\0${username}`));
    return toHex(algorithm === 'md5' ? mac.subarray(0, 16) : mac);
  }
}

/**
 * What a nonce is good for: a realm, asked from an address. So nobody can fail in the name of an address that is not his,
 * and what was overheard is of no use elsewhere.
 */
function scopeOf(realm: string, address: string): string {
  return `${realm}\0${limitKey(address)}`;
}

/** Those for our realm; credentials for other realms are for others (RFC 3261 §22.3). */
function findCredentials(
  credentials: readonly DigestFields[],
  realm: string,
): ReadonlyMap<string, string> | undefined {
  return credentials.find(
    ({ scheme, fields }) => scheme === 'digest' && fields.get('realm')?.toLowerCase() === realm,
  )?.fields;
}

function readCredentials(parameters: ReadonlyMap<string, string>): Credentials | undefined {
  const username = parameters.get('username');
  const nonce = parameters.get('nonce');
  const uri = parameters.get('uri');
  const response = parameters.get('response');
  const nc = parameters.get('nc');
  const cnonce = parameters.get('cnonce');
  if (username === undefined || nonce === undefined || uri === undefined || response === undefined) {
    return undefined;
  }
  // RFC 7616 §3.4: with `qop`, which every challenge of ours has, both must be there.
  if (nc === undefined || cnonce === undefined || !/^[0-9a-f]{8}$/i.test(nc)) return undefined;
  if (parameters.get('qop')?.toLowerCase() !== 'auth') return undefined;
  const algorithm = parseAlgorithm(parameters.get('algorithm'));
  return { username, nonce, uri, response, nc, cnonce, algorithm };
}
