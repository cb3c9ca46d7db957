import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ladder } from '../src/calls/ladder.js';
import type { CallTrace, TraceEvent } from '../src/calls/ladder.js';
import { FakeServer, wakeline } from './cli-runner.js';

const server = new FakeServer();
before(() => server.start());
after(() => server.stop());
beforeEach(() => {
  server.requests.length = 0;
});
const ask = (argv: readonly string[], input = '') => wakeline([...argv, '--server', server.url], {}, input);

const event = (
  atMs: number,
  kind: string,
  text: string,
  { leg = null, status = null }: { leg?: number | null; status?: number | null } = {},
): TraceEvent => ({ atMs, kind, leg, attempt: leg === null ? null : 1, status, text });

const leg = (number: number, userAgent: string | null, state: string) => ({
  leg: number,
  instance: `urn:uuid:${number}`,
  contact: `sip:bob@192.0.2.${number}:5060;transport=tcp`,
  userAgent,
  state,
});

const missed: CallTrace = {
  id: '3f2a91c04b7d5e6f3f2a91c04b7d5e6f',
  user: 'bob@example.org',
  caller: { uri: 'sip:alice@example.org', displayName: 'Alice', user: 'alice@example.org', trunk: null },
  sipCallId: 'x1@192.0.2.1',
  state: 'expired',
  missed: true,
  startedAt: '2026-01-02T03:04:05.250Z',
  endedAt: '2026-01-02T03:04:50.260Z',
  status: 480,
  reason: 'leg 1 was woken and did not come back; leg 2 rang and nobody answered',
  wakes: 2,
  legs: [leg(1, null, 'gone'), leg(2, 'baresip v1.0.0', 'cancelled')],
  events: [
    event(0, 'call', 'for bob@example.org, at most 45 s'),
    event(1.4, 'journaled', 'on disk with 2 legs'),
    event(1.4, 'wake', 'by webpush, until 45 s', { leg: 1 }),
    event(2.1, 'offer', 'on flow 7', { leg: 2 }),
    event(3.9, 'provisional', 'it rings', { leg: 2, status: 180 }),
    event(80, 'wake-result', 'the push service took it', { leg: 1 }),
    event(900, 'flow-lost', 'its connection ended', { leg: 2 }),
    event(2_000, 'restart', 'the server was started again'),
    event(2_500, 'register', 'back on flow 9, same run', { leg: 2 }),
    event(9_000, 'note', 'no media relay was offered'),
    event(45_000, 'withdraw', 'the time is over', { leg: 2 }),
    event(45_010, 'finish', 'Temporarily Unavailable', { status: 480 }),
    event(45_010, 'tell', 'missed call, to bob-phone'),
  ],
  eventsDropped: 3,
};

describe('the ladder of a call', () => {
  test('says who said what to whom, when, and at last why', () => {
    assert.equal(
      ladder(missed, false),
      `Call 3f2a91c04b7d5e6f3f2a91c04b7d5e6f
  from     "Alice" alice@example.org
  to       bob@example.org
  started  2026-01-02 03:04:05.250 UTC
  Call-ID  x1@192.0.2.1
  leg 1    unnamed, gone: urn:uuid:1, sip:bob@192.0.2.1:5060;transport=tcp
  leg 2    baresip v1.0.0, cancelled: urn:uuid:2, sip:bob@192.0.2.2:5060;transport=tcp

             caller          server           leg 1           leg 2
    0.000 s     │─── INVITE ───▶│               │               │      for bob@example.org, at most 45 s
    0.001 s     │◀──── 100 ─────│               │               │      on disk with 2 legs
                │               │╌╌╌╌ wake ╌╌╌╌▶│               │      by webpush, until 45 s
    0.002 s     │               │─────────── INVITE ───────────▶│      on flow 7
    0.004 s     │               │◀──────────── 180 ─────────────│      it rings
    0.080 s     │               │◀╌╌╌ push ╌╌╌╌╌│               │      the push service took it
    0.900 s     │               │               │               ✕      its connection ended
    2.000 s     ════════════ restart ════════════════════════════      the server was started again
    2.500 s     │               │◀───────── REGISTER ───────────│      back on flow 9, same run
    9.000 s     │               •               │               │      no media relay was offered
   45.000 s     │               │─────────── CANCEL ───────────▶│      the time is over
   45.010 s     │◀──── 480 ─────│               │               │      Temporarily Unavailable
                │               •               │               │      missed call, to bob-phone
… and 3 events that found no room

Missed after 45.0 s and 2 wakes, the caller got 480: leg 1 was woken and did not come back; leg 2 rang and nobody answered
`,
    );
  });

  test('ends with how it ended', () => {
    const last = (changes: Partial<CallTrace>): string | undefined =>
      ladder({ ...missed, ...changes }, false)
        .trimEnd()
        .split('\n')
        .at(-1);
    assert.equal(
      last({}),
      'Missed after 45.0 s and 2 wakes, the caller got 480: leg 1 was woken and did not come back; leg 2 rang and nobody answered',
    );
    assert.equal(
      last({ state: 'answered', missed: false, status: 200, reason: 'leg 2 answered', wakes: 1 }),
      'Answered after 45.0 s and 1 wake: leg 2 answered',
    );
    const answered = {
      state: 'answered',
      missed: false,
      status: 200,
      reason: 'answered by leg 2 after 2.3 s',
    };
    assert.equal(
      last({ ...answered, wakes: 0 }),
      'Answered by leg 2 after 2.3 s, with no wake but the INVITE.',
    );
    assert.equal(last({ ...answered, wakes: 2 }), 'Answered by leg 2 after 2.3 s, woken 2 times.');
    assert.equal(
      last({ state: 'ringing', missed: false, endedAt: null }),
      'It goes on: ringing, 2 wakes so far.',
    );
  });

  test('has colours for who wants them, and no control characters of strangers', () => {
    const text = ladder({ ...missed, sipCallId: 'a\u001b[2Jb' }, true);
    assert.ok(text.includes('\u001b[31mMissed after'));
    assert.ok(text.includes('Call-ID  a?[2Jb'));
    assert.ok(!ladder(missed, false).includes('\u001b'));
  });
});

describe('wakeline calls', () => {
  const row = {
    id: missed.id,
    user: 'bob@example.org',
    caller: missed.caller,
    state: 'expired',
    missed: true,
    startedAt: missed.startedAt,
    status: 480,
    reason: 'nobody came',
    wakes: 2,
  };

  test('prints a table', async () => {
    server.answer = () => ({ status: 200, json: { calls: [row], next: null } });
    const { code, out, err } = await ask(['calls', '--missed', '--address', 'bob@example.org']);
    assert.deepEqual([code, err], [0, '']);
    assert.equal(
      out,
      `CALL          STARTED              FROM               TO               STATE            STATUS  WAKES  WHY
3f2a91c04b7d  2026-01-02 03:04:05  alice@example.org  bob@example.org  expired, missed  480     2      nobody came
`,
    );
    assert.equal(server.requests[0]!.url, '/v1/calls?count=50&address=bob%40example.org&missed=true');
  });

  test('goes on from page to page until it has enough', async () => {
    let pages = 0;
    server.answer = () => {
      pages += 1;
      return { status: 200, json: { calls: [row, row], next: pages < 3 ? 'f'.repeat(32) : null } };
    };
    const { out } = await ask(['calls', 'list', '--json', '--count', '4']);
    assert.equal(out.trim().split('\n').length, 4);
    assert.deepEqual(
      server.requests.map(({ url }) => url),
      ['/v1/calls?count=4', `/v1/calls?count=2&after=${'f'.repeat(32)}`],
    );
  });

  test('says that there is none', async () => {
    server.answer = () => ({ status: 200, json: { calls: [], next: null } });
    assert.equal((await ask(['calls'])).out, 'no calls yet\n');
    assert.equal((await ask(['calls', '--missed'])).out, 'no missed calls\n');
    assert.equal(
      (await ask(['calls', '--address', 'bob@example.org'])).out,
      'no calls to bob@example.org yet\n',
    );
  });

  test('show finds a call by its first digits', async () => {
    server.answer = ({ url }) =>
      url.startsWith('/v1/calls?')
        ? { status: 200, json: { calls: [row], next: null } }
        : { status: 200, json: missed };
    const { code, out } = await ask(['calls', 'show', '3f2a']);
    assert.equal(code, 0);
    assert.equal(out, ladder(missed, false));
    assert.equal(server.requests.at(-1)!.url, `/v1/calls/${missed.id}`);
    const json = await ask(['calls', 'show', missed.id, '--json']);
    assert.deepEqual(JSON.parse(json.out), missed);
  });

  test('show refuses what names no call, or several', async () => {
    server.answer = () => ({
      status: 200,
      json: { calls: [row, { ...row, id: `3f2a${'0'.repeat(28)}` }], next: null },
    });
    const several = await ask(['calls', 'show', '3f2a']);
    assert.deepEqual([several.code, several.out], [2, '']);
    assert.match(several.err, /several calls begin with 3f2a/);
    const none = await ask(['calls', 'show', 'ffff']);
    assert.equal(none.code, 1);
    assert.match(none.err, /no such call, or it is no longer kept: ffff/);
    const wrong = await ask(['calls', 'show', 'xyz']);
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /"xyz" is no id of a call/);
    assert.match((await ask(['calls', '--count', '0'])).err, /--count must be from 1 to 999999, not "0"/);
  });
});

describe('wakeline users', () => {
  const user = {
    address: 'bob@example.org',
    devices: ['bob@example.org'],
    algorithms: ['sha-256'],
    missingAlgorithms: [],
    configured: false,
    bindings: 2,
    liveBindings: 1,
  };

  test('lists them', async () => {
    server.answer = () => ({ status: 200, json: { users: [user], next: null } });
    assert.equal(
      (await ask(['users'])).out,
      `ADDRESS          PHONES  CONNECTED  DEVICES          PASSWORD  FROM
bob@example.org  2       1          bob@example.org  sha-256   wakeline users
`,
    );
    server.answer = () => ({ status: 200, json: { users: [], next: null } });
    assert.match((await ask(['users'])).out, /no users yet/);
  });

  test('tells which cannot log in, and what to do', async () => {
    const lockedOut = { ...user, algorithms: ['md5'], missingAlgorithms: ['sha-256'] };
    server.answer = () => ({ status: 200, json: { users: [lockedOut], next: null } });
    assert.match((await ask(['users'])).out, /^bob@example\.org .* md5, no sha-256 {2}wakeline users$/m);
    server.answer = ({ url }) => ({
      status: 200,
      json: url?.endsWith('/bindings') === true ? { bindings: [] } : lockedOut,
    });
    const { out } = await ask(['users', 'show', 'bob@example.org']);
    assert.match(out, /^password {7}md5, no sha-256$/m);
    assert.match(out, /^A phone that logs in by sha-256 is refused: the password was made without it/m);
    assert.match(out, /^Make it again: wakeline users add bob@example\.org$/m);
  });

  test('add prints the password alone', async () => {
    server.answer = () => ({ status: 200, json: { ...user, password: 'abc' } });
    const { code, out, err } = await ask(['users', 'add', 'bob@example.org', '--md5', '--device', 'phone-1']);
    assert.deepEqual([code, out], [0, 'abc\n']);
    assert.match(err, /not shown again/);
    const [request] = server.requests;
    assert.deepEqual(
      [request!.method, request!.url, request!.json],
      ['PUT', '/v1/users/bob%40example.org', { algorithms: ['md5'], devices: ['phone-1'] }],
    );
    await ask(['users', 'add', 'bob@example.org']);
    assert.deepEqual(server.requests[1]!.json, {});
    await ask(['users', 'add', 'bob@example.org', '--both']);
    assert.deepEqual(server.requests[2]!.json, { algorithms: ['sha-256', 'md5'] });
    assert.match(
      (await ask(['users', 'add', 'bob@example.org', '--both', '--md5'])).err,
      /one of --md5 and --both/,
    );
    assert.match((await ask(['users', 'add', 'bob'])).err, /"bob" is no address of a user/);
  });

  test('show has the user and its phones', async () => {
    server.answer = ({ url }) => ({
      status: 200,
      json: url?.endsWith('/bindings') === true ? { bindings: [] } : user,
    });
    assert.equal(
      (await ask(['users', 'show', 'bob@example.org'])).out,
      `address        bob@example.org
password       sha-256
told of calls  bob@example.org
made in        wakeline users

no phone has registered
`,
    );
    const { out } = await ask(['users', 'show', 'bob@example.org', '--json']);
    assert.deepEqual(JSON.parse(out), { ...user, phones: [] });
  });

  test('remove and bindings', async () => {
    server.answer = () => ({ status: 204 });
    assert.equal((await ask(['users', 'remove', 'bob@example.org'])).out, 'bob@example.org removed\n');
    assert.equal(server.requests[0]!.method, 'DELETE');
    const binding = {
      instance: 'urn:uuid:1',
      contact: 'sip:bob@192.0.2.9',
      connected: true,
      expiresAt: '2026-01-02T03:04:05.000Z',
      push: null,
      userAgent: 'baresip v1.0.0',
    };
    server.answer = () => ({ status: 200, json: { bindings: [binding] } });
    assert.equal(
      (await ask(['users', 'bindings', 'bob@example.org'])).out,
      `PHONE           STATE      WAKE  EXPIRES              INSTANCE    CONTACT
baresip v1.0.0  connected  -     2026-01-02 03:04:05  urn:uuid:1  sip:bob@192.0.2.9
`,
    );
    server.answer = () => ({ status: 200, json: { bindings: [] } });
    assert.equal((await ask(['users', 'bindings', 'bob@example.org'])).out, 'no phone has registered\n');
  });
});

describe('wakeline password sip', () => {
  test('prints the line for the configuration', async () => {
    const run = (...argv: readonly string[]) =>
      wakeline(['password', 'sip', ...argv], {}, 'Circle of Life\n').then(({ out }) => out);
    const address = 'Mufasa@http-auth.example.org';
    assert.equal(
      await run(address),
      'sha-256:24e863a11f480cbfe66cd9d46688068565950d62abf3809212715927b8eec102\n',
    );
    assert.equal(await run(address, '--md5'), 'md5:c461bb829191a439a1a0a3b758ef88d2\n');
    assert.equal(
      await run(address, '--both'),
      'sha-256:24e863a11f480cbfe66cd9d46688068565950d62abf3809212715927b8eec102,md5:c461bb829191a439a1a0a3b758ef88d2\n',
    );
    assert.deepEqual(JSON.parse(await run('Mufasa@HTTP-AUTH.example.org', '--md5', '--json')), {
      address,
      password: 'md5:c461bb829191a439a1a0a3b758ef88d2',
    });
  });

  test('wants an address and a password', async () => {
    const wrong = await wakeline(['password', 'sip', 'alice'], {}, 'x');
    assert.equal(wrong.code, 2);
    assert.match(wrong.err, /"alice" is no address of a user/);
    assert.match((await wakeline(['password', 'sip', 'a@b.c'], {}, '\n')).err, /the password is empty/);
  });
});
