/**
 * What decrypting a Web Push message needs of a host: five primitives, no more, so that a host without WebCrypto can
 * bring its own. {@link webCrypto} is the one of browsers and Node.
 */

import { fromBase64Url, toBase64Url } from '@wakeline/core/base';

/** A key pair of P-256. */
export interface EcKeyPair {
  /** The uncompressed point, 65 bytes: 0x04, x, y (SEC 1 §2.3.3). */
  readonly publicKey: Uint8Array;
  /** The scalar, 32 bytes, big-endian. Secret. */
  readonly privateKey: Uint8Array;
}

/** Each may reject for input that the primitive does not take, such as a point that is not on the curve. */
export interface PushCrypto {
  generateKeyPair(): Promise<EcKeyPair>;
  /** `bytes` of them, unpredictable. */
  randomBytes(bytes: number): Uint8Array;
  /** ECDH on P-256: the x coordinate, 32 bytes. `peer` is an uncompressed point. */
  deriveShared(own: EcKeyPair, peer: Uint8Array): Promise<Uint8Array>;
  /** HMAC with SHA-256, 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Promise<Uint8Array>;
  /** AES-128-GCM; the last 16 bytes of `sealed` are the tag. Rejects when it does not fit. */
  openAes128Gcm(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Promise<Uint8Array>;
}

/** As much of `SubtleCrypto` as is used, so that these sources need neither the types of browsers nor those of Node. */
export interface SubtleCryptoLike {
  generateKey(algorithm: object, extractable: boolean, usages: string[]): Promise<unknown>;
  importKey(
    format: string,
    data: unknown,
    algorithm: object,
    extractable: boolean,
    usages: string[],
  ): Promise<unknown>;
  exportKey(format: string, key: never): Promise<unknown>;
  deriveBits(algorithm: object, key: never, length: number): Promise<ArrayBuffer>;
  sign(algorithm: string, key: never, data: Uint8Array): Promise<ArrayBuffer>;
  decrypt(algorithm: object, key: never, data: Uint8Array): Promise<ArrayBuffer>;
}

export interface CryptoLike {
  readonly subtle: SubtleCryptoLike;
  getRandomValues(array: Uint8Array): unknown;
}

const curve = { name: 'ECDH', namedCurve: 'P-256' };
const POINT_BYTES = 65;

interface Jwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly d?: string;
}

/** The primitives of WebCrypto. A page has them in a secure context only: https, or the machine itself. */
export function webCrypto(crypto: CryptoLike): PushCrypto {
  const { subtle } = crypto;
  return {
    async generateKeyPair() {
      const pair = (await subtle.generateKey(curve, true, ['deriveBits'])) as {
        readonly publicKey: never;
        readonly privateKey: never;
      };
      const publicKey = new Uint8Array((await subtle.exportKey('raw', pair.publicKey)) as ArrayBuffer);
      const { d } = (await subtle.exportKey('jwk', pair.privateKey)) as Jwk;
      return { publicKey, privateKey: fromBase64Url(d!)! };
    },
    randomBytes(bytes) {
      const array = new Uint8Array(bytes);
      crypto.getRandomValues(array);
      return array;
    },
    async deriveShared(own, peer) {
      const privateKey = await subtle.importKey('jwk', jwkOf(own), curve, false, ['deriveBits']);
      const publicKey = await subtle.importKey('raw', peer, curve, false, []);
      const algorithm = { name: 'ECDH', public: publicKey };
      return new Uint8Array(await subtle.deriveBits(algorithm, privateKey as never, 256));
    },
    async hmacSha256(key, data) {
      const algorithm = { name: 'HMAC', hash: 'SHA-256' };
      const imported = await subtle.importKey('raw', key, algorithm, false, ['sign']);
      return new Uint8Array(await subtle.sign('HMAC', imported as never, data));
    },
    async openAes128Gcm(key, nonce, sealed) {
      const imported = await subtle.importKey('raw', key, { name: 'AES-GCM' }, false, ['decrypt']);
      const algorithm = { name: 'AES-GCM', iv: nonce, tagLength: 128 };
      return new Uint8Array(await subtle.decrypt(algorithm, imported as never, sealed));
    },
  };
}

function jwkOf({ publicKey, privateKey }: EcKeyPair): Jwk {
  const x = toBase64Url(publicKey.subarray(1, 33));
  const y = toBase64Url(publicKey.subarray(33, POINT_BYTES));
  return { kty: 'EC', crv: 'P-256', x, y, d: toBase64Url(privateKey) };
}
