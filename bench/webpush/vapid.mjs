/** VAPID (RFC 8292) as application servers make it and as a push service of one's own would check it; Node's ES256. */
import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';

const HEADER = base64Url({ typ: 'JWT', alg: 'ES256' });
/** Of a P-256 point: the byte that says it is not compressed, and two coordinates. */
const POINT_BYTES = 65;

/** One application server with its key. */
export class ApplicationServer {
  #privateKey;
  #count = 0;
  /** base64url, as `applicationServerKey` and as `k` of the header. */
  publicKey;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#privateKey = privateKey;
    const { x, y } = publicKey.export({ format: 'jwk' });
    const point = Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]);
    this.publicKey = point.toString('base64url');
  }

  /** The value of `Authorization`; each call makes another token, valid for twelve hours. */
  authorization(audience) {
    const exp = Math.floor(Date.now() / 1000) + 12 * 3600;
    const claims = { aud: audience, exp, sub: 'mailto:bench@example.org', jti: String(this.#count++) };
    const signed = `${HEADER}.${base64Url(claims)}`;
    const signature = sign('sha256', Buffer.from(signed), {
      key: this.#privateKey,
      dsaEncoding: 'ieee-p1363',
    });
    return `vapid t=${signed}.${signature.toString('base64url')},k=${this.publicKey}`;
  }
}

/** Whether the header is signed by the key that it names, in time, and for this audience. */
export function isAuthorized(header, audience) {
  const [, token, key] = /^vapid t=([^,]+),k=(.+)$/.exec(header ?? '') ?? [];
  if (token === undefined) return false;
  const end = token.lastIndexOf('.');
  const claims = JSON.parse(Buffer.from(token.slice(token.indexOf('.') + 1, end), 'base64url'));
  if (claims.aud !== audience || claims.exp * 1000 < Date.now()) return false;
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  const settings = { key: publicKeyOf(key), dsaEncoding: 'ieee-p1363' };
  return verify('sha256', Buffer.from(token.slice(0, end)), settings, signature);
}

function publicKeyOf(text) {
  const point = Buffer.from(text, 'base64url');
  if (point.length !== POINT_BYTES) throw new Error('no point of P-256');
  const x = point.subarray(1, 33).toString('base64url');
  const y = point.subarray(33).toString('base64url');
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
}

function base64Url(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
