/**
 * Every wrong input of the senders' half of Web Push, with the status and the code that answer it, and what is right.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { decodePushHeaders, Urgency } from '@wakeline/core/domain';
import { SignJWT } from 'jose';
import { httpErrors, pushLimits } from '../../src/http/index.js';
import type { HttpErrorCode, HubRequest } from '../../src/http/index.js';
import { mintEndpoint } from '../../src/http/index.js';
import { FakeHub } from './fake-hub.js';
import type { Answer, ScriptedReply } from './fake-hub.js';

const ORIGIN = 'https://push.example.org';
const place = { deviceNumber: 7, epoch: '0123456789abcdef', sequence: 9 };

let hub: FakeHub;
/** Wall clock of the server, ms. */
let nowMs = Date.UTC(2026, 0, 2);
let pushed: ScriptedReply;
let found: ScriptedReply;
before(async () => {
  hub = await FakeHub.start({ now: () => nowMs });
});
after(() => hub.stop());
beforeEach(() => {
  hub.requests.length = 0;
  pushed = { kind: 'pushed', place, messageId: undefined };
  found = { kind: 'done' };
  hub.reply = (request) => {
    switch (request.kind) {
      case 'get-seal-key':
        return { kind: 'seal-key', key: new Uint8Array(32).fill(1) };
      case 'find-endpoint':
        return found;
      case 'push':
        return pushed;
      case 'delete-push':
        return { kind: 'done' };
      default:
        throw new Error(request.kind);
    }
  };
});

const { url, tokenSha256 } = mintEndpoint(ORIGIN);
const path = url.slice(ORIGIN.length);
const fields = { ttl: '60' } as const;

function push(headers: OutgoingHttpHeaders = fields, body?: string | Uint8Array): Promise<Answer> {
  return hub.call('POST', path, { headers, ...(body === undefined ? {} : { body }) });
}

function pushRequest(): Extract<HubRequest, { kind: 'push' }> {
  const found = hub.requests.find((request) => request.kind === 'push');
  assert(found?.kind === 'push');
  return found;
}

// ---- VAPID -------------------------------------------------------------------------------------------------

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = publicKey.export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.from([4]), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')]);
  return { privateKey, publicKey: point.toString('base64url') };
}

const key = newKey();
const otherKey = newKey();

interface TokenOptions {
  readonly audience?: string | undefined;
  readonly lifetimeSeconds?: number | undefined;
  readonly signer?: KeyObject;
  readonly claims?: Record<string, unknown>;
}

function token({ audience = ORIGIN, lifetimeSeconds = 3_600, signer, claims = {} }: TokenOptions = {}) {
  const jwt = new SignJWT({ sub: 'mailto:sender@example.org', ...claims })
    .setProtectedHeader({ typ: 'JWT', alg: 'ES256' })
    .setExpirationTime(Math.floor(nowMs / 1_000) + lifetimeSeconds);
  return (audience === '' ? jwt : jwt.setAudience(audience)).sign(signer ?? key.privateKey);
}

/** Signed by hand, for what no library writes. */
function rawToken(header: object, claims: object): string {
  const parts = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  const input = parts.join('.');
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

const vapid = (jwt: string, publicKey = key.publicKey): OutgoingHttpHeaders => ({
  ...fields,
  authorization: `vapid t=${jwt}, k=${publicKey}`,
});

const soon = (): number => Math.floor(nowMs / 1_000) + 3_600;

// ---- what is wrong ------------------------------------------------------------------------------------------

interface Wrong {
  readonly title: string;
  readonly code: HttpErrorCode;
  readonly headers: OutgoingHttpHeaders | (() => OutgoingHttpHeaders | Promise<OutgoingHttpHeaders>);
  readonly body?: string | Uint8Array;
}

const aesgcm = {
  ...fields,
  'content-encoding': 'aesgcm',
  encryption: 'salt=AAAAAAAAAAAAAAAAAAAAAA',
  'crypto-key': 'dh=BAAA',
};

const wrong: readonly Wrong[] = [
  { title: 'no TTL', code: 'ttl-missing', headers: {} },
  { title: 'an empty TTL', code: 'ttl-invalid', headers: { ttl: '' } },
  { title: 'a negative TTL', code: 'ttl-invalid', headers: { ttl: '-1' } },
  { title: 'a fraction as TTL', code: 'ttl-invalid', headers: { ttl: '1.5' } },
  { title: 'a word as TTL', code: 'ttl-invalid', headers: { ttl: 'soon' } },
  { title: 'two TTLs', code: 'ttl-invalid', headers: { ttl: '1, 2' } },
  { title: 'an unknown Urgency', code: 'urgency-invalid', headers: { ...fields, urgency: 'urgent' } },
  { title: 'two Urgencies', code: 'urgency-invalid', headers: { ...fields, urgency: 'low, high' } },
  { title: 'an empty Topic', code: 'push-topic-invalid', headers: { ...fields, topic: '' } },
  {
    title: 'a Topic of 33 characters',
    code: 'push-topic-invalid',
    headers: { ...fields, topic: 'x'.repeat(33) },
  },
  { title: 'a Topic beyond base64url', code: 'push-topic-invalid', headers: { ...fields, topic: 'a/b' } },
  { title: 'a body in the clear', code: 'encoding-unsupported', headers: fields, body: 'hello' },
  {
    title: 'a body in gzip',
    code: 'encoding-unsupported',
    headers: { ...fields, 'content-encoding': 'gzip' },
    body: 'hello',
  },
  {
    title: 'aesgcm without Encryption',
    code: 'encoding-headers-invalid',
    headers: { ...aesgcm, encryption: 'rs=4096' },
    body: 'x',
  },
  {
    title: 'aesgcm without a key',
    code: 'encoding-headers-invalid',
    headers: { ...aesgcm, 'crypto-key': 'p256ecdsa=BAAA' },
    body: 'x',
  },
  {
    title: 'aesgcm with too long a header',
    code: 'encoding-headers-invalid',
    headers: { ...aesgcm, encryption: `salt=${'A'.repeat(pushLimits.headerCharactersMax)}` },
    body: 'x',
  },
  {
    title: 'a body of 4,097 bytes',
    code: 'body-too-large',
    headers: { ...fields, 'content-encoding': 'aes128gcm' },
    body: new Uint8Array(4_097),
  },
  {
    title: 'an API token',
    code: 'vapid-scheme-unknown',
    headers: { ...fields, authorization: 'Bearer wl_a_x' },
  },
  {
    // Reading it must not take time that grows with the square of its length.
    title: 'a key with more padding than base64 has',
    code: 'vapid-key-malformed',
    headers: { ...fields, authorization: `vapid t=a.b.c, k=${key.publicKey}==` },
  },
  {
    title: 'a Crypto-Key that is longer than any',
    code: 'vapid-malformed',
    headers: {
      ...fields,
      authorization: 'WebPush a.b.c',
      'crypto-key': `p256ecdsa=${key.publicKey};dh=${'A'.repeat(pushLimits.headerCharactersMax)}`,
    },
  },
  {
    title: 'a key that is space',
    code: 'vapid-malformed',
    headers: { ...fields, authorization: `vapid t=a.b.c, k=${' '.repeat(4_000)}, x=1` },
  },
  { title: 'a scheme alone', code: 'vapid-malformed', headers: { ...fields, authorization: 'vapid' } },
  {
    title: 'a header beyond its length',
    code: 'vapid-malformed',
    headers: { ...fields, authorization: `vapid t=${'A'.repeat(pushLimits.vapidCharactersMax)}` },
  },
  {
    title: 'a token that is none',
    code: 'vapid-malformed',
    headers: { ...fields, authorization: `vapid t=abc, k=${key.publicKey}` },
  },
  {
    title: 'a token of three parts that is none',
    code: 'vapid-malformed',
    headers: { ...fields, authorization: `vapid t=a.b.c, k=${key.publicKey}` },
  },
  {
    title: 'no key',
    code: 'vapid-malformed',
    headers: async () => ({ ...fields, authorization: `vapid t=${await token()}` }),
  },
  {
    title: 'the old form without its key',
    code: 'vapid-malformed',
    headers: async () => ({ ...fields, authorization: `WebPush ${await token()}` }),
  },
  {
    title: 'a key that is too short',
    code: 'vapid-key-malformed',
    headers: async () => vapid(await token(), 'BAAA'),
  },
  {
    title: 'a compressed key',
    code: 'vapid-key-malformed',
    headers: async () => vapid(await token(), `A${key.publicKey.slice(1)}`),
  },
  {
    title: 'a key beside the curve',
    code: 'vapid-key-malformed',
    headers: async () => vapid(await token(), `BP${'A'.repeat(85)}`),
  },
  {
    title: 'the key of somebody else',
    code: 'vapid-signature-wrong',
    headers: async () => vapid(await token(), otherKey.publicKey),
  },
  {
    title: 'a token that was changed',
    code: 'vapid-signature-wrong',
    headers: async () => {
      const [head, , signature] = (await token()).split('.');
      const claims = Buffer.from(JSON.stringify({ aud: ORIGIN, exp: soon() })).toString('base64url');
      return vapid(`${head}.${claims}.${signature}`);
    },
  },
  {
    title: 'a token that is not signed',
    code: 'vapid-malformed',
    headers: () => vapid(rawToken({ alg: 'none' }, { aud: ORIGIN, exp: soon() })),
  },
  {
    title: 'a token in HS256',
    code: 'vapid-malformed',
    headers: () => vapid(rawToken({ alg: 'HS256' }, { aud: ORIGIN, exp: soon() })),
  },
  {
    title: 'the audience of another server',
    code: 'vapid-audience-wrong',
    headers: async () => vapid(await token({ audience: 'https://push.example.com' })),
  },
  {
    title: 'the audience of another port',
    code: 'vapid-audience-wrong',
    headers: async () => vapid(await token({ audience: `${ORIGIN}:8443` })),
  },
  {
    title: 'no audience',
    code: 'vapid-audience-wrong',
    headers: async () => vapid(await token({ audience: '' })),
  },
  {
    title: 'a token that has expired',
    code: 'vapid-expired',
    headers: async () => vapid(await token({ lifetimeSeconds: -61 })),
  },
  {
    title: 'a token for more than 24 hours',
    code: 'vapid-lifetime-too-long',
    headers: async () => vapid(await token({ lifetimeSeconds: 86_400 + 61 })),
  },
  {
    title: 'a token without an end',
    code: 'vapid-claims-invalid',
    headers: () => vapid(rawToken({ alg: 'ES256' }, { aud: ORIGIN })),
  },
  {
    title: 'a token whose end is a text',
    code: 'vapid-claims-invalid',
    headers: () => vapid(rawToken({ alg: 'ES256' }, { aud: ORIGIN, exp: 'soon' })),
  },
];

/** What the hub says, as a sender hears it. */
const refused: readonly (readonly [HttpErrorCode, status: number, headers: Record<string, string>])[] = [
  ['unknown-endpoint', 404, { 'cache-control': 'max-age=300' }],
  ['endpoint-ended', 410, { 'cache-control': 'max-age=86400' }],
  ['vapid-required', 401, { 'www-authenticate': 'vapid' }],
  ['vapid-key-wrong', 403, {}],
  ['inbox-full', 429, { 'retry-after': '60' }],
  ['quota-exceeded', 429, { 'retry-after': '60' }],
  ['storage-failed', 503, { 'retry-after': '5' }],
  ['storage-full', 507, { 'retry-after': '60' }],
  ['draining', 503, { 'retry-after': '5' }],
  ['hub-away', 503, { 'retry-after': '1' }],
];

const statuses: Readonly<Record<string, number>> = {
  'encoding-unsupported': 415,
  'body-too-large': 413,
};

describe('[PU-21] what a sender does wrong is answered with a status and a code, and changes nothing', () => {
  for (const { title, code, headers, body } of wrong) {
    test(title, async () => {
      const answer = await push(typeof headers === 'function' ? await headers() : headers, body);
      assert.equal(answer.json.error.code, code);
      assert.equal(answer.status, statuses[code] ?? (code.startsWith('vapid-') ? 403 : 400));
      assert.equal(answer.status, httpErrors[code].status);
      assert.equal(answer.headers['cache-control'], 'no-store');
      assert.deepEqual(
        hub.requests.filter(({ kind }) => kind === 'push'),
        [],
      );
    });
  }

  for (const [code, status, headers] of refused) {
    test(`the hub refuses with ${code}`, async () => {
      pushed = { kind: 'refused', reason: code as never };
      const answer = await push();
      assert.equal(answer.status, status);
      assert.equal(answer.json.error.code, code);
      for (const [name, value] of Object.entries(headers)) assert.equal(answer.headers[name], value);
    });
  }

  test('[PU-28] a push to no endpoint makes nobody verify its signature; one to an endpoint does, once', async (t) => {
    const verify = t.mock.method(crypto.subtle, 'verify');
    const signed = vapid(await token({ claims: { jti: 'fresh' } }));
    for (const [code, status] of [
      ['unknown-endpoint', 404],
      ['endpoint-ended', 410],
      ['draining', 503],
    ] as const) {
      found = { kind: 'refused', reason: code };
      for (const headers of [signed, vapid(await token(), otherKey.publicKey)]) {
        const answer = await push(headers);
        assert.deepEqual([answer.status, answer.json.error.code], [status, code]);
        assert.equal(answer.headers['cache-control'] === 'no-store', code === 'draining');
      }
    }
    assert.equal(verify.mock.callCount(), 0);
    // Asked for by the endpoint alone: what is said about the key depends on a signature that is right.
    for (const request of hub.requests) assert.deepEqual(request, { kind: 'find-endpoint', tokenSha256 });
    found = { kind: 'done' };
    assert.equal(
      (await push(vapid(await token(), otherKey.publicKey))).json.error.code,
      'vapid-signature-wrong',
    );
    assert.equal((await push(signed)).status, 201);
    assert.equal(verify.mock.callCount(), 2);
    hub.requests.length = 0;
    assert.equal((await push(signed)).status, 201);
    assert.equal(verify.mock.callCount(), 2);
    assert.deepEqual(
      hub.requests.map(({ kind }) => kind),
      ['push'],
      'a token that is remembered costs no question either',
    );
  });

  test('a token that no endpoint can have is not even asked about', async () => {
    for (const wrongPath of ['/push/x', `/push/${'a'.repeat(25)}`, `${path}%20`, '/push/%00']) {
      const answer = await hub.call('POST', wrongPath, { headers: fields });
      assert.deepEqual([answer.status, answer.json.error.code], [404, 'unknown-endpoint'], wrongPath);
    }
    assert.deepEqual(hub.requests, []);
  });

  test('another method, a query, a path below', async () => {
    const get = await hub.call('GET', path);
    assert.deepEqual([get.status, get.headers.allow], [405, 'POST']);
    const query = await hub.call('POST', `${path}?ttl=5`, { headers: fields });
    assert.deepEqual([query.status, query.json.error.code], [400, 'query-invalid']);
    assert.equal((await hub.call('POST', `${path}/x`, { headers: fields })).status, 404);
  });
});

describe('[PU-22] a push that is right', () => {
  test('is handed on as it is: body and encryption untouched, TTL, Urgency and Topic understood', async () => {
    const body = new Uint8Array(4_096).map((_, index) => index);
    const answer = await push(
      {
        ttl: '120',
        urgency: 'high',
        topic: 'upd_-9',
        'content-encoding': 'aes128gcm',
        'content-type': 'application/json',
      },
      body,
    );
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.ttl, '120');
    assert.equal(answer.text, '');
    assert.match(answer.headers.location!, /^https:\/\/push\.example\.org\/message\/[\w-]{43}$/);
    const { tokenSha256: asked, vapidKey, wantsReceipt, message } = pushRequest();
    assert.deepEqual([asked, vapidKey, wantsReceipt], [tokenSha256, undefined, false]);
    assert.deepEqual(Buffer.from(message.body), Buffer.from(body));
    assert.deepEqual(
      [message.expirySeconds, message.urgency, message.replaceKey, message.qos],
      [120, Urgency.high, 'upd_-9', 1],
    );
    assert.deepEqual(decodePushHeaders(message.properties), {
      encoding: 'aes128gcm',
      encryption: undefined,
      cryptoKey: undefined,
    });
  });

  test('in aesgcm brings its headers along', async () => {
    const answer = await push(aesgcm, 'x');
    assert.equal(answer.status, 201);
    assert.deepEqual(decodePushHeaders(pushRequest().message.properties), {
      encoding: 'aesgcm',
      encryption: aesgcm.encryption,
      cryptoKey: aesgcm['crypto-key'],
    });
  });

  test('without a body has none of that', async () => {
    assert.equal((await push({ ttl: '0', 'content-encoding': 'aes128gcm' })).status, 201);
    const { message } = pushRequest();
    assert.deepEqual([message.body.length, message.properties.length, message.expirySeconds], [0, 0, 0]);
  });

  test('is kept for 30 days at most, and the sender told', async () => {
    const answer = await push({ ttl: '99999999999999999999' });
    assert.equal(answer.headers.ttl, '2592000');
    assert.equal(pushRequest().message.expirySeconds, 2_592_000);
  });

  test('is not logged: neither its body nor any URL', async () => {
    hub.logged.length = 0;
    const answer = await push({ ...fields, 'content-encoding': 'aes128gcm' }, 'secret-body');
    const log = hub.logged.join('\n');
    assert.match(log, /\/push\/:token/);
    for (const secret of ['secret-body', path.slice(6), tokenSha256, answer.headers.location!.slice(-43)])
      assert(!log.includes(secret), log);
  });
});

describe('[PU-23] VAPID', () => {
  test('in the form of the RFC and in the older one, in either alphabet, in any order and case', async () => {
    const jwt = await token();
    const padded = Buffer.from(key.publicKey, 'base64url').toString('base64');
    const forms: OutgoingHttpHeaders[] = [
      vapid(jwt),
      { ...fields, authorization: `Vapid k="${padded}",t="${jwt}"` },
      { ...fields, authorization: `vapid \t t =  ${jwt} ,  k  = "${key.publicKey}"  ` },
      { ...fields, authorization: `WebPush ${jwt}`, 'crypto-key': `p256ecdsa=${key.publicKey}` },
      { ...fields, authorization: `webpush ${jwt}`, 'crypto-key': `dh=BAAA;p256ecdsa=${padded}` },
    ];
    for (const headers of forms) {
      hub.requests.length = 0;
      assert.equal((await push(headers)).status, 201, String(headers.authorization));
      assert.equal(pushRequest().vapidKey, key.publicKey);
    }
  });

  test('a token that was verified is one until it ends, whoever else comes with another key', async () => {
    const jwt = await token({ lifetimeSeconds: 600 });
    assert.equal((await push(vapid(jwt))).status, 201);
    assert.equal((await push(vapid(jwt))).status, 201);
    const stolen = await push(vapid(jwt, otherKey.publicKey));
    assert.equal(stolen.json.error.code, 'vapid-signature-wrong');
    nowMs += 661_000;
    assert.equal((await push(vapid(jwt))).json.error.code, 'vapid-expired');
    assert.equal((await push(vapid(jwt))).json.error.code, 'vapid-expired');
  });

  test('a clock may be a minute off', async () => {
    assert.equal((await push(vapid(await token({ lifetimeSeconds: -50 })))).status, 201);
    assert.equal((await push(vapid(await token({ lifetimeSeconds: 86_400 + 50 })))).status, 201);
  });
});
