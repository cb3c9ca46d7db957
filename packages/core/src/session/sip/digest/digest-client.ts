/**
 * The client's side of Digest, for one trunk that asks who we are (RFC 7616 §3.4, RFC 3261 §22).
 *
 * Keeps the last challenge, so that later requests carry credentials unasked. Refused with a nonce that was fresh, the
 * password is wrong, and repeating it would only lock us out; refused with one that was used before, it may be too old,
 * whether or not the trunk says so.
 */
import { toHex } from '../../../base/index.js';
import {
  formatCredentials,
  offeredQops,
  parseChallenge,
  type DigestFields,
} from '../../../wire/sip/index.js';
import type { SipCrypto } from '../machine.js';
import {
  algorithmTokens,
  digestResponse,
  ha1Of,
  hashHex,
  parseAlgorithm,
  type DigestAlgorithm,
} from './digest-response.js';

export interface DigestClientOptions {
  readonly crypto: SipCrypto;
  readonly username: string;
  readonly password: string;
}

interface Challenge {
  readonly realm: string;
  readonly nonce: string;
  readonly opaque: string | undefined;
  readonly algorithm: DigestAlgorithm;
  /** `MD5-sess`, `SHA-256-sess`: HA1 is made anew with each nonce. */
  readonly isSession: boolean;
  readonly algorithmToken: string | undefined;
  readonly hasQop: boolean;
}

const NC_MAX = 0xffff_ffff;
const CNONCE_BYTES = 16;

export class DigestClient {
  readonly #options: DigestClientOptions;
  #challenge: Challenge | undefined;
  #count = 0;

  constructor(options: DigestClientOptions) {
    this.#options = options;
  }

  /** Whether `authorize` has anything to say. */
  get hasChallenge(): boolean {
    return this.#challenge !== undefined;
  }

  /**
   * A 401 or 407 came. True: repeat the request with `authorize`. False: the password is not taken, or nothing that was
   * offered is known here.
   *
   * @param challenges values of WWW-Authenticate or Proxy-Authenticate.
   * @param wasAuthorized the request carried credentials.
   */
  handleChallenge(challenges: readonly string[], wasAuthorized: boolean): boolean {
    for (const value of challenges) {
      const offered = parseChallenge(value);
      // RFC 8760 §2.4: the first one that is known here.
      const challenge = offered && readChallenge(offered);
      if (challenge === undefined) continue;
      const isStale = offered!.fields.get('stale')?.toLowerCase() === 'true';
      if (wasAuthorized && !isStale && this.#count <= 1) {
        this.#challenge = undefined;
        return false;
      }
      this.#challenge = challenge;
      this.#count = 0;
      return true;
    }
    return false;
  }

  /** The value of Authorization or Proxy-Authorization; undefined: nobody has asked yet. */
  authorize(method: string, uri: string): string | undefined {
    const challenge = this.#challenge;
    if (challenge === undefined || this.#count === NC_MAX) return undefined;
    const { crypto, username, password } = this.#options;
    const { realm, nonce, algorithm } = challenge;
    this.#count += 1;
    const nc = this.#count.toString(16).padStart(8, '0');
    const cnonce = toHex(crypto.randomBytes(CNONCE_BYTES));
    const plain = ha1Of(crypto, algorithm, username, realm, password);
    const response = digestResponse(crypto, {
      algorithm,
      ha1: challenge.isSession ? hashHex(crypto, algorithm, `${plain}:${nonce}:${cnonce}`) : plain,
      nonce,
      method,
      uri,
      protection: challenge.hasQop ? { nc, cnonce } : undefined,
    });
    const fields = new Map([
      ['username', username],
      ['realm', realm],
      ['nonce', nonce],
      ['uri', uri],
      ['response', response],
    ]);
    if (challenge.algorithmToken !== undefined) fields.set('algorithm', challenge.algorithmToken);
    if (challenge.opaque !== undefined) fields.set('opaque', challenge.opaque);
    if (challenge.hasQop) fields.set('qop', 'auth').set('nc', nc);
    if (challenge.hasQop || challenge.isSession) fields.set('cnonce', cnonce);
    return formatCredentials({ scheme: 'digest', fields });
  }
}

function readChallenge(offered: DigestFields): Challenge | undefined {
  const { scheme, fields } = offered;
  if (scheme !== 'digest') return undefined;
  const realm = fields.get('realm');
  const nonce = fields.get('nonce');
  const token = fields.get('algorithm');
  const isSession = token?.toLowerCase().endsWith('-sess') ?? false;
  const algorithm = parseAlgorithm(isSession ? token!.slice(0, -'-sess'.length) : token);
  const hasQop = fields.has('qop');
  if (realm === undefined || nonce === undefined || algorithm === undefined) return undefined;
  // Offered `auth-int` alone: not spoken here.
  if (hasQop && !offeredQops(offered).includes('auth')) return undefined;
  return {
    realm,
    nonce,
    opaque: fields.get('opaque'),
    algorithm,
    isSession,
    algorithmToken: token === undefined ? undefined : algorithmTokens[algorithm] + (isSession ? '-sess' : ''),
    hasQop,
  };
}
