/** What Web Push senders seal, opened: the RFC's own example, and two libraries that senders use. */
import assert from 'node:assert/strict';
import * as nodeCrypto from 'node:crypto';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import { encodeUtf8, fromBase64Url, toBase64Url } from '@wakeline/core/base';
import fc from 'fast-check';
import webPush from 'web-push';
import { decryptPush, type PushKeys, type SealedPush } from '../../src/push/decrypt.js';
import { webCrypto, type CryptoLike, type PushCrypto } from '../../src/push/push-crypto.js';
import { makePushKeys } from '../../src/push/stored-subscription.js';
import { nodeCryptoShape, type NodeCryptoShape } from '../../src/platform/react-native/node-crypto-shape.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
/** Where what is chosen at random begins: the same each time in the gate. */
const seed = Number(process.env['WAKELINE_SEED'] ?? (isLong ? Date.now() % 1_000_000 : 1));

/** The part of http_ece that is used; it comes without types. */
interface HttpEce {
  encrypt(text: Buffer, parameters: Readonly<Record<string, unknown>>): Buffer;
}
const httpEce = createRequire(import.meta.url)('http_ece') as HttpEce;

const cryptos: Readonly<Record<string, PushCrypto>> = {
  WebCrypto: webCrypto(globalThis.crypto as unknown as CryptoLike),
  "a module like Node's crypto": nodeCryptoShape(nodeCrypto as unknown as NodeCryptoShape),
};

const bytes = (text: string): Uint8Array => fromBase64Url(text)!;
const textOf = (outcome: Uint8Array | string): string => {
  assert(typeof outcome !== 'string', `not decrypted: ${String(outcome)}`);
  return Buffer.from(outcome).toString();
};
const coded = (contentEncoding: string, body: Uint8Array): SealedPush => ({
  body,
  contentEncoding,
  encryption: undefined,
  cryptoKey: undefined,
});

/** RFC 8291 appendix A. */
const example = {
  keys: {
    privateKey: bytes('q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94'),
    publicKey: bytes(
      'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4',
    ),
    auth: bytes('BTBZMqHH6r4Tts7J_aSIgg'),
  },
  body: bytes(
    'DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz' +
      'AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN',
  ),
  text: 'When I grow up, I want to be a watermelon',
};

for (const [name, crypto] of Object.entries(cryptos)) {
  describe(`decryption with ${name}`, () => {
    test('opens the example of RFC 8291', async () => {
      const { keys, body, text } = example;
      assert.equal(textOf(await decryptPush(crypto, keys, coded('aes128gcm', body))), text);
    });

    test('opens what web-push seals, in both codings, of any length', async () => {
      const keys = await makePushKeys(crypto);
      for (const text of ['', 'x', 'Zwölf Boxkämpfer', 'y'.repeat(3_900)]) {
        for (const coding of ['aes128gcm', 'aesgcm'] as const) {
          assert.equal(textOf(await decryptPush(crypto, keys, sealedByWebPush(keys, text, coding))), text);
        }
      }
    });

    test('opens what http_ece seals, with padding', async () => {
      const keys = await makePushKeys(crypto);
      for (const pad of [0, 1, 700]) {
        for (const version of ['aes128gcm', 'aesgcm']) {
          const push = sealedByHttpEce(keys, 'padded', version, pad);
          assert.equal(textOf(await decryptPush(crypto, keys, push)), 'padded');
        }
      }
    });

    test('refuses what was sealed for somebody else', async () => {
      const [keys, others] = [await makePushKeys(crypto), await makePushKeys(crypto)];
      for (const coding of ['aes128gcm', 'aesgcm'] as const) {
        const push = sealedByWebPush(keys, 'not for all', coding);
        assert.equal(await decryptPush(crypto, others, push), 'cannot-decrypt');
        assert.equal(await decryptPush(crypto, { ...keys, auth: others.auth }, push), 'cannot-decrypt');
      }
    });

    test('a sender key that is no point of the curve opens nothing', async () => {
      const body = example.body.slice();
      body.fill(0xff, 22, 22 + 64);
      assert.equal(await decryptPush(crypto, example.keys, coded('aes128gcm', body)), 'cannot-decrypt');
    });

    test('a key pair is one of P-256, and its private key has 32 bytes', async () => {
      for (let count = 0; count < 20; count += 1) {
        const { publicKey, privateKey, auth } = await makePushKeys(crypto);
        assert.deepEqual([publicKey.length, publicKey[0], privateKey.length, auth.length], [65, 4, 32, 16]);
        const check = nodeCrypto.createECDH('prime256v1');
        check.setPrivateKey(privateKey);
        assert.equal(check.getPublicKey('base64url'), toBase64Url(publicKey));
      }
    });
  });
}

const crypto = cryptos.WebCrypto!;

test('a message that is changed anywhere, or cut, is never opened', async () => {
  const { keys, body } = example;
  await fc.assert(
    fc.asyncProperty(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const changed = body.slice();
      changed[at]! ^= change;
      const outcome = await decryptPush(crypto, keys, coded('aes128gcm', changed));
      // The record size alone is not sealed: a larger one changes nothing (RFC 8188 §2).
      if (at >= 16 && at < 20) assert(typeof outcome === 'string' || textOf(outcome) === example.text);
      else assert.equal(typeof outcome, 'string');
      const cut = await decryptPush(crypto, keys, coded('aes128gcm', body.subarray(0, at)));
      assert.equal(typeof cut, 'string');
    }),
    { numRuns: 300, seed },
  );
});

test('padding that is not as the RFC wants it is refused, though it was sealed with the right key', async () => {
  const keys = await makePushKeys(crypto);
  const records = {
    'no delimiter': new Uint8Array(8),
    'the delimiter of a record that is not the last': Uint8Array.of(65, 1, 0),
  };
  for (const [what, record] of Object.entries(records)) {
    const body = await sealRecord(keys, record);
    assert.equal(await decryptPush(crypto, keys, coded('aes128gcm', body)), 'cannot-decrypt', what);
  }
  const body = await sealRecord(keys, Uint8Array.of(65, 2, 0));
  assert.equal(textOf(await decryptPush(crypto, keys, coded('aes128gcm', body))), 'A');
});

test('more than one record is refused: a push has one', async () => {
  const keys = await makePushKeys(crypto);
  const sealed = sealedByHttpEce(keys, 'z'.repeat(100), 'aes128gcm', 0, 40);
  assert.equal(await decryptPush(crypto, keys, sealed), 'header-invalid');
  const old = sealedByHttpEce(keys, 'z'.repeat(100), 'aesgcm', 0, 40);
  assert.equal(await decryptPush(crypto, keys, old), 'header-invalid');
});

test('a coding that is missing or unknown is told as such', async () => {
  const { keys, body } = example;
  assert.equal(await decryptPush(crypto, keys, coded('gzip', body)), 'encoding-unknown');
  const none = { ...coded('', body), contentEncoding: undefined };
  assert.equal(await decryptPush(crypto, keys, none), 'encoding-unknown');
});

test('headers of aesgcm: order, quotes, padding, other items and key ids', async () => {
  const keys = await makePushKeys(crypto);
  const push = sealedByWebPush(keys, 'old', 'aesgcm');
  const salt = /salt=([\w-]+)/.exec(push.encryption!)![1]!;
  const dh = /dh=([\w-]+)/.exec(push.cryptoKey!)![1]!;
  const open = (encryption: string | undefined, cryptoKey: string | undefined) =>
    decryptPush(crypto, keys, { ...push, encryption, cryptoKey });
  for (const [encryption, cryptoKey] of [
    [`salt=${salt}`, `dh=${dh}`],
    [`SALT="${salt}=="; rs=4096`, `p256ecdsa=BAAA; dh="${dh}="`],
    [`keyid=a;salt=${salt}`, `p256ecdsa=BAAA,keyid=b;dh=BBBB, keyid=a;dh=${dh}`],
  ] as const) {
    assert.equal(textOf(await open(encryption, cryptoKey)), 'old');
  }
  for (const [encryption, cryptoKey] of [
    [undefined, `dh=${dh}`],
    [`salt=${salt}`, undefined],
    [`salt=${salt.slice(2)}`, `dh=${dh}`],
    [`salt=${salt}`, `dh=${dh.slice(4)}`],
    [`salt=${salt};rs=no`, `dh=${dh}`],
    [`keyid=a;salt=${salt}`, `keyid=b;dh=${dh}`],
  ] as const) {
    assert.equal(await open(encryption, cryptoKey), 'header-invalid');
  }
});

function sealedByWebPush(keys: PushKeys, text: string, coding: 'aes128gcm' | 'aesgcm'): SealedPush {
  const { publicKey, auth } = keys;
  const subscription = {
    endpoint: 'https://push.example/push/x',
    keys: { p256dh: toBase64Url(publicKey), auth: toBase64Url(auth) },
  };
  // Without a body web-push seals nothing; a sender of an empty text gives an empty buffer.
  const { headers, body } = webPush.generateRequestDetails(subscription, Buffer.from(text), {
    contentEncoding: coding,
  }) as { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer };
  return {
    body,
    contentEncoding: headers['Content-Encoding'],
    encryption: headers.Encryption,
    cryptoKey: headers['Crypto-Key'],
  };
}

function sealedByHttpEce(keys: PushKeys, text: string, version: string, pad: number, rs = 4_096): SealedPush {
  const sender = nodeCrypto.createECDH('prime256v1');
  const senderKey = sender.generateKeys();
  const salt = nodeCrypto.randomBytes(16);
  const body = httpEce.encrypt(Buffer.from(text), {
    version,
    privateKey: sender,
    dh: toBase64Url(keys.publicKey),
    authSecret: toBase64Url(keys.auth),
    salt: salt.toString('base64url'),
    pad,
    rs,
  });
  return {
    body,
    contentEncoding: version,
    encryption: `salt=${toBase64Url(salt)};rs=${rs}`,
    cryptoKey: `dh=${toBase64Url(senderKey)}`,
  };
}

/** A message whose only record has these bytes, sealed as RFC 8291 §3 says, by means of Node alone. */
async function sealRecord(keys: PushKeys, record: Uint8Array): Promise<Uint8Array> {
  const sender = nodeCrypto.createECDH('prime256v1');
  const senderKey = sender.generateKeys();
  const derive = (salt: Uint8Array, secret: Uint8Array, info: Uint8Array, length: number): Buffer =>
    Buffer.from(nodeCrypto.hkdfSync('sha256', secret, salt, info, length));
  const info = Buffer.concat([encodeUtf8('WebPush: info\0'), keys.publicKey, senderKey]);
  const secret = derive(keys.auth, sender.computeSecret(keys.publicKey), info, 32);
  const salt = nodeCrypto.randomBytes(16);
  const key = derive(salt, secret, encodeUtf8('Content-Encoding: aes128gcm\0'), 16);
  const nonce = derive(salt, secret, encodeUtf8('Content-Encoding: nonce\0'), 12);
  const cipher = nodeCrypto.createCipheriv('aes-128-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(record), cipher.final(), cipher.getAuthTag()]);
  const header = Buffer.from([0, 0, 16, 0, senderKey.length]);
  return Buffer.concat([salt, header, senderKey, sealed]);
}
