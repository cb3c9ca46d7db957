/** What a device keeps for a channel that senders push to. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { encodeUtf8, toBase64Url } from '@wakeline/core/base';
import { webCrypto, type CryptoLike } from '../../src/push/push-crypto.js';
import type { PushKeys, SealedPush } from '../../src/push/decrypt.js';
import {
  decodeSubscriptions,
  encodeSubscriptions,
  makePushKeys,
  openPush,
  type StoredSubscription,
} from '../../src/push/stored-subscription.js';

const httpEce = createRequire(import.meta.url)('http_ece') as {
  encrypt(text: Buffer, parameters: Readonly<Record<string, unknown>>): Buffer;
};
const nodeCrypto = createRequire(import.meta.url)('node:crypto') as typeof import('node:crypto');
const crypto = webCrypto(globalThis.crypto as unknown as CryptoLike);

function seal({ publicKey, auth }: PushKeys, text: string): SealedPush {
  const sender = nodeCrypto.createECDH('prime256v1');
  sender.generateKeys();
  const body = httpEce.encrypt(Buffer.from(text), {
    version: 'aes128gcm',
    privateKey: sender,
    dh: toBase64Url(publicKey),
    authSecret: toBase64Url(auth),
  });
  return { body, contentEncoding: 'aes128gcm', encryption: undefined, cryptoKey: undefined };
}

test('what is stored comes back, and opens what it opened before', async () => {
  const keys = [await makePushKeys(crypto), await makePushKeys(crypto)];
  const kept = new Map<string, StoredSubscription>([
    ['news', { endpoint: 'https://a.example/push/x', applicationServerKey: 'BA', keys }],
    ['ended', { endpoint: undefined, applicationServerKey: undefined, keys: [] }],
  ]);
  const read = decodeSubscriptions(encodeSubscriptions(kept))!;
  assert.deepEqual(read, kept);
  for (const set of keys) {
    assert.deepEqual(await openPush(crypto, read.get('news')!, seal(set, 'again')), encodeUtf8('again'));
  }
});

test('what is sealed for keys that are gone is not opened, nor anything without keys', async () => {
  const [current, gone] = [await makePushKeys(crypto), await makePushKeys(crypto)];
  const kept = { endpoint: undefined, applicationServerKey: undefined, keys: [current] };
  assert.equal(await openPush(crypto, kept, seal(gone, 'late')), 'cannot-decrypt');
  assert.equal(await openPush(crypto, { ...kept, keys: [] }, seal(gone, 'late')), 'cannot-decrypt');
});

test('what is no list of subscriptions is read as none', async () => {
  const keys = [await makePushKeys(crypto)];
  const good = encodeSubscriptions(
    new Map([['news', { endpoint: undefined, applicationServerKey: undefined, keys }]]),
  );
  for (const bad of [
    '',
    '7',
    'null',
    '[7]',
    '[{}]',
    '[{"channel":"news"}]',
    '[{"channel":"news","keys":[7]}]',
    '[{"channel":"news","keys":[],"endpoint":7}]',
    good.slice(0, -1),
    good.replace('"auth":"', '"auth":"A'),
    good.replace('"privateKey"', '"private"'),
  ]) {
    assert.equal(decodeSubscriptions(bad), undefined, bad);
  }
});
