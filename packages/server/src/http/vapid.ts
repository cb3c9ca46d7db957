/**
 * Who signed a push: VAPID, RFC 8292, in the form of the RFC (`vapid t=…, k=…`) and in that of the drafts before it
 * (`WebPush TOKEN`, with the key in Crypto-Key).
 *
 * A verification costs some 150 µs of processor time, half of it in another thread, once the key is imported, which costs as
 * much again. So imported keys are kept, and verified tokens too: many senders use one for hours. Only what was verified is
 * kept, so nobody fills the memory with forgeries.
 */
import { normalizeVapidKey } from '@wakeline/core/domain';
import type { CryptoKey, JWTPayload } from 'jose';
import { HttpError } from './errors.js';
import { LeastRecentlyUsed } from './least-recently-used.js';
import { pushLimits } from './push-limits.js';

export interface VapidHeaders {
  readonly authorization: string | undefined;
  readonly cryptoKey: string | undefined;
}

export interface VapidCredentials {
  /** A JWT by its form. */
  readonly token: string;
  /** As `normalizeVapidKey` has it. */
  readonly key: string;
}

export interface VapidOptions {
  /** What the token's `aud` must be: scheme, host and port of the endpoint. */
  origin(): string;
  /** Wall clock, ms. */
  now(): number;
}

/** Read when the first token comes. */
const loadJose = (): Promise<typeof import('jose')> => import('jose');

/** How far two clocks may be apart, seconds. */
const CLOCK_SKEW_SECONDS = 60;

/**
 * RFC 8292 §3, RFC 9110 §11.4: one parameter of the scheme, without space around it; a value may be quoted. No two parts that
 * may be empty take the same character: whoever pushes chooses the text, and must not choose how long reading it takes.
 */
const PARAMETER = /^([a-z\d]+)\s*=\s*(?:"([\w.=+/-]*)"|([\w.=+/-]+))$/i;

export class VapidVerifier {
  readonly #options: VapidOptions;
  /** Wall-clock seconds at which a verified token ends, by key and token. */
  readonly #tokens = new LeastRecentlyUsed<number>(pushLimits.vapidTokensMax);
  readonly #keys = new LeastRecentlyUsed<CryptoKey>(pushLimits.vapidKeysMax);

  constructor(options: VapidOptions) {
    this.#options = options;
  }

  /** Whether {@link verify} would answer at once, and with yes. */
  isVerified(credentials: VapidCredentials): boolean {
    const endSeconds = this.#tokens.get(nameOf(credentials));
    return endSeconds !== undefined && endSeconds + CLOCK_SKEW_SECONDS > this.#options.now() / 1_000;
  }

  /**
   * Resolves if the token is signed with the key, for this server and for now.
   * @throws HttpError vapid-malformed, vapid-key-malformed, vapid-signature-wrong, vapid-audience-wrong, vapid-expired,
   *   vapid-lifetime-too-long, vapid-claims-invalid
   */
  async verify(credentials: VapidCredentials): Promise<void> {
    if (this.isVerified(credentials)) return;
    const { token, key } = credentials;
    const { errors, jwtVerify } = await loadJose();
    const nowMs = this.#options.now();
    let payload: JWTPayload;
    try {
      ({ payload } = await jwtVerify(token, await this.#import(key), {
        algorithms: ['ES256'],
        audience: this.#options.origin(),
        clockTolerance: CLOCK_SKEW_SECONDS,
        currentDate: new Date(nowMs),
        requiredClaims: ['exp'],
      }));
    } catch (error) {
      throw errorOf(error, errors);
    }
    const endSeconds = payload.exp!;
    if (endSeconds > nowMs / 1_000 + pushLimits.vapidLifetimeSecondsMax + CLOCK_SKEW_SECONDS)
      throw new HttpError('vapid-lifetime-too-long');
    this.#tokens.set(nameOf(credentials), endSeconds);
  }

  async #import(key: string): Promise<CryptoKey> {
    const known = this.#keys.get(key);
    if (known !== undefined) return known;
    const point = Buffer.from(key, 'base64url');
    const x = point.subarray(1, 33).toString('base64url');
    const y = point.subarray(33).toString('base64url');
    const { importJWK } = await loadJose();
    let imported: CryptoKey;
    try {
      imported = (await importJWK({ kty: 'EC', crv: 'P-256', x, y }, 'ES256')) as CryptoKey;
    } catch {
      throw new HttpError('vapid-key-malformed', 'the key is no point of the curve P-256');
    }
    this.#keys.set(key, imported);
    return imported;
  }
}

function nameOf({ token, key }: VapidCredentials): string {
  return `${key} ${token}`;
}

/**
 * What a push says about who signed it; undefined: nothing. Nothing of it is verified.
 * @throws HttpError vapid-malformed, vapid-scheme-unknown, vapid-key-malformed
 */
export function readVapid({ authorization, cryptoKey }: VapidHeaders): VapidCredentials | undefined {
  if (authorization === undefined) return undefined;
  if (authorization.length > pushLimits.vapidCharactersMax) {
    throw new HttpError('vapid-malformed', 'the Authorization header is too long');
  }
  if (cryptoKey !== undefined && cryptoKey.length > pushLimits.headerCharactersMax) {
    throw new HttpError('vapid-malformed', 'the Crypto-Key header is too long');
  }
  const [scheme = '', rest = ''] = splitOnce(authorization.trim(), ' ');
  let token: string | undefined;
  let key: string | undefined;
  switch (scheme.toLowerCase()) {
    case 'vapid': {
      const parameters = readParameters(rest, ',');
      token = parameters.get('t');
      key = parameters.get('k');
      break;
    }
    case 'webpush':
      token = rest.trim();
      key = readParameters(cryptoKey ?? '', /[;,]/).get('p256ecdsa');
      break;
    default:
      throw new HttpError('vapid-scheme-unknown');
  }
  if (token === undefined || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) {
    throw new HttpError('vapid-malformed', 'there is no token of three parts in base64url');
  }
  if (key === undefined) throw new HttpError('vapid-malformed', 'there is no public key with the token');
  const normalized = normalizeVapidKey(key);
  if (normalized === undefined) throw new HttpError('vapid-key-malformed');
  return { token, key: normalized };
}

function readParameters(text: string, separator: string | RegExp): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const part of text.split(separator)) {
    const match = PARAMETER.exec(part.trim());
    if (match !== null) parameters.set(match[1]!.toLowerCase(), match[2] ?? match[3]!);
  }
  return parameters;
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const end = text.indexOf(separator);
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end + 1)];
}

function errorOf(error: unknown, errors: typeof import('jose').errors): unknown {
  if (error instanceof HttpError) return error;
  if (error instanceof errors.JWTExpired) return new HttpError('vapid-expired');
  if (error instanceof errors.JWSSignatureVerificationFailed) return new HttpError('vapid-signature-wrong');
  if (error instanceof errors.JOSEAlgNotAllowed)
    return new HttpError('vapid-malformed', 'the token is not signed with ES256');
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return new HttpError('vapid-audience-wrong');
    return new HttpError('vapid-claims-invalid', `the claim ${error.claim} is missing or invalid`);
  }
  if (error instanceof errors.JOSEError)
    return new HttpError('vapid-malformed', 'the token is no JSON Web Token');
  return error;
}
