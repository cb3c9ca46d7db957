/**
 * The primitives of push decryption from a module that has the functions of Node's `crypto`, as react-native-quick-crypto
 * does: React Native has no WebCrypto of its own.
 */
import type { EcKeyPair, PushCrypto } from '../../push/push-crypto.js';

export interface NodeCryptoShape {
  createECDH(curve: string): {
    generateKeys(): Uint8Array;
    getPrivateKey(): Uint8Array;
    setPrivateKey(privateKey: Uint8Array): unknown;
    computeSecret(peer: Uint8Array): Uint8Array;
  };
  createHmac(algorithm: string, key: Uint8Array): HmacShape;
  createDecipheriv(algorithm: string, key: Uint8Array, nonce: Uint8Array): DecipherShape;
  randomBytes(bytes: number): Uint8Array;
}

interface HmacShape {
  update(data: Uint8Array): unknown;
  digest(): Uint8Array;
}

interface DecipherShape {
  setAuthTag(tag: Uint8Array): unknown;
  update(data: Uint8Array): Uint8Array;
  final(): Uint8Array;
}

const CURVE = 'prime256v1';
const PRIVATE_KEY_BYTES = 32;
const TAG_BYTES = 16;

/** For the option `crypto` of a device. */
export function nodeCryptoShape(crypto: NodeCryptoShape): PushCrypto {
  return {
    async generateKeyPair(): Promise<EcKeyPair> {
      const pair = crypto.createECDH(CURVE);
      const publicKey = plainBytes(pair.generateKeys());
      // Leading zeros of the number are not part of what it gives.
      const scalar = plainBytes(pair.getPrivateKey());
      const privateKey = new Uint8Array(PRIVATE_KEY_BYTES);
      privateKey.set(scalar, PRIVATE_KEY_BYTES - scalar.length);
      return { publicKey, privateKey };
    },
    randomBytes: (bytes) => plainBytes(crypto.randomBytes(bytes)),
    async deriveShared({ privateKey }, peer) {
      const pair = crypto.createECDH(CURVE);
      pair.setPrivateKey(privateKey);
      return plainBytes(pair.computeSecret(peer));
    },
    async hmacSha256(key, data) {
      const hmac = crypto.createHmac('sha256', key);
      hmac.update(data);
      return plainBytes(hmac.digest());
    },
    async openAes128Gcm(key, nonce, sealed) {
      const end = sealed.length - TAG_BYTES;
      if (end < 0) throw new RangeError('shorter than its tag');
      const decipher = crypto.createDecipheriv('aes-128-gcm', key, nonce);
      decipher.setAuthTag(sealed.subarray(end));
      const text = plainBytes(decipher.update(sealed.subarray(0, end)));
      decipher.final();
      return text;
    },
  };
}

/** A copy without the ways of a Buffer. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
