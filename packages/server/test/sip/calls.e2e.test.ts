import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { hashSipPassword } from '../../src/config/index.js';
import type { ServerConfig } from '../../src/config/index.js';
import type { ListenerConfig } from '../../src/config/config.js';
import type { ServerDependencies } from '../../src/runtime/server.js';
import {
  connectClient,
  Inbox,
  listener,
  startTestServer,
  temporaryDirectory,
  tlsFiles,
} from '../listeners/harness.js';
import type { TestServer } from '../listeners/harness.js';
import { randomInstance, RawPhone } from './raw-phone.js';

const users = ['alice', 'bob'].map((name) => {
  const aor = `${name}@example.org`;
  return { aor, ha1: hashSipPassword(aor, name, ['sha-256']), devices: [`${name}-phone`] };
});

async function start(
  t: TestContext,
  config: Partial<ServerConfig> = {},
  dependencies: ServerDependencies = {},
): Promise<TestServer> {
  return startTestServer(
    t,
    {
      listeners: [
        listener('sip+tcp'),
        listener('sip+udp'),
        listener('sips'),
        listener('http'),
        listener('mqtt'),
      ],
      ...config,
      sip: { ...sip, ...config.sip },
    },
    { limits: { sipLeaveMs: 1 }, ...dependencies },
  );
}

const sip: ServerConfig['sip'] = {
  domains: ['example.org'],
  users,
  challenge: ['sha-256'],
  trunks: [],
  parkMs: 45_000,
  registrationSecondsMin: 60,
  registrationSecondsMax: 86_400,
  flowTimerSeconds: 672,
  pushEndpoints: [],
};

/** A phone of each transport. */
function phoneOf(t: TestContext, server: TestServer, transport: string, user: string): Promise<RawPhone> {
  switch (transport) {
    case 'tcp':
      return RawPhone.tcp(t, user, server.port('sip+tcp'));
    case 'udp':
      return RawPhone.udp(t, user, server.port('sip+udp'));
    case 'tls':
      return RawPhone.tls(t, user, server.port('sips'), readFileSync(tlsFiles('first').certFile));
    default:
      return RawPhone.webSocket(t, user, server.url('http').replace('http', 'ws'));
  }
}

async function callsOf(
  server: TestServer,
  query = '',
): Promise<{ state: string; missed: boolean; status: number }[]> {
  const response = await fetch(`${server.url('http')}/v1/calls${query}`);
  return ((await response.json()) as { calls: [] }).calls;
}

describe('calls between raw phones', () => {
  for (const [caller, callee] of [
    ['tcp', 'tcp'],
    ['udp', 'udp'],
    ['udp', 'tcp'],
    ['tls', 'ws'],
    ['ws', 'tls'],
  ] as const) {
    it(`from ${caller} to ${callee}: challenged, rung, answered, ended`, async (t) => {
      const server = await start(t);
      const alice = await phoneOf(t, server, caller, 'alice');
      const bob = await phoneOf(t, server, callee, 'bob');
      assert.equal((await alice.register()).status, 200);
      const registered = await bob.register();
      assert.equal(registered.status, 200);
      assert.match(registered.header('contact'), /sip:bob@/);
      if (callee !== 'udp') assert.match(registered.header('flow-timer'), /^672$/);

      const answered = alice.invite('bob@example.org');
      const invite = await bob.request('INVITE');
      assert.match(invite.text, /v=0\r\n$/);
      await alice.response('INVITE', 100);
      bob.respond(invite, 180, 'Ringing');
      await alice.response('INVITE', 180);
      bob.respond(invite, 200, 'OK');
      const answer = await answered;
      assert.equal(answer.status, 200);
      alice.within(answer, 'ACK');
      assert.equal((await bob.request('ACK')).header('call-id'), answer.header('call-id'));
      alice.within(answer, 'BYE');
      bob.respond(await bob.request('BYE'), 200, 'OK');
      await alice.response('BYE', 200);
      const [call] = await callsOf(server);
      assert.deepEqual([call!.state, call!.missed, call!.status], ['answered', false, 200]);
    });
  }

  it('a wrong password, an unknown user and a stranger get nowhere', async (t) => {
    const server = await start(t);
    const mallory = await RawPhone.tcp(t, 'mallory', server.port('sip+tcp'));
    assert.ok([401, 403].includes((await mallory.register()).status));
    const guest = await RawPhone.tcp(t, 'guest', server.port('sip+tcp'));
    assert.ok((await guest.invite('bob@example.org')).status >= 400);
    assert.deepEqual(await callsOf(server), []);
  });

  it('[CA-41] users made before others were asked for are refused, told at the start, and well when made again', async (t) => {
    const dataDirectory = await temporaryDirectory(t);
    const made = { dataDirectory, sip: { ...sip, users: [], challenge: ['md5'] as const } };
    const put = async (server: TestServer, name: string): Promise<Response> =>
      fetch(`${server.url('http')}/v1/users/${name}%40example.org`, {
        method: 'PUT',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ password: name }),
      });
    const warnings = ({ log }: TestServer) =>
      log.entries.filter(({ message }) => message.includes('of some users of SIP'));
    const first = await start(t, made);
    for (const name of ['bob', 'carol']) assert.equal((await put(first, name)).status, 200);
    assert.deepEqual(warnings(first), []);
    await first.server.stop();
    const second = await start(t, { ...made, sip: { ...made.sip, challenge: ['sha-256'] } });
    assert.deepEqual(
      warnings(second).map(({ fields }) => fields),
      [{ count: 2, first: ['bob@example.org', 'carol@example.org'], challenge: ['sha-256'] }],
    );
    const bob = await RawPhone.tcp(t, 'bob', second.port('sip+tcp'));
    assert.equal((await bob.register()).status, 401);
    const shown = async (): Promise<unknown> => {
      const answer = await fetch(`${second.url('http')}/v1/users/bob%40example.org`);
      const { algorithms, missingAlgorithms } = (await answer.json()) as Record<string, unknown>;
      return [algorithms, missingAlgorithms];
    };
    assert.deepEqual(await shown(), [['md5'], ['sha-256']]);
    assert.equal((await put(second, 'bob')).status, 200);
    assert.deepEqual(await shown(), [['sha-256'], []]);
    const again = await RawPhone.tcp(t, 'bob', second.port('sip+tcp'));
    assert.equal((await again.register()).status, 200);
    await second.server.stop();
    // Of a domain that is not served any more nobody is told.
    const third = await start(t, { ...made, sip: { ...sip, users: [], domains: ['example.net'] } });
    assert.deepEqual(warnings(third), []);
  });

  it('what is no SIP costs its own connection', async (t) => {
    const server = await start(t);
    const phone = await RawPhone.tcp(t, 'alice', server.port('sip+tcp'));
    phone.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const socket = new WebSocket(`${server.url('http').replace('http', 'ws')}/sip`, 'mqtt');
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(error.message, /400/);
    const alice = await RawPhone.tcp(t, 'alice', server.port('sip+tcp'));
    assert.equal((await alice.register()).status, 200);
  });
});

describe('a call to a phone that is not there', () => {
  it('waits, tells the device by its inbox, and rings when the phone comes', async (t) => {
    const server = await start(t);
    const client = await connectClient(t, server.url('mqtt'), { clientId: 'bob-phone', clean: false });
    const inbox = new Inbox(client);
    await client.subscribeAsync('$line/inbox/calls', { qos: 1 });
    const bob = await RawPhone.tcp(t, 'bob', server.port('sip+tcp'));
    await bob.register();
    bob.close();
    const alice = await RawPhone.udp(t, 'alice', server.port('sip+udp'));
    const answered = alice.invite('bob@example.org');
    await alice.response('INVITE', 100);
    const [wake] = await inbox.take(1);
    assert.equal(wake!.topic, '$line/inbox/calls');
    const again = await RawPhone.tcp(t, 'bob', server.port('sip+tcp'), bob.instance);
    assert.equal((await again.register()).status, 200);
    const invite = await again.request('INVITE');
    again.respond(invite, 200, 'OK');
    assert.equal((await answered).status, 200);
  });

  it('[CA-35] is declined by the device before the INVITE has come: the caller hears 603 at once', async (t) => {
    const server = await start(t);
    const client = await connectClient(t, server.url('mqtt'), { clientId: 'bob-phone', clean: false });
    const inbox = new Inbox(client);
    await client.subscribeAsync('$line/inbox/calls', { qos: 1 });
    const bob = await RawPhone.tcp(t, 'bob', server.port('sip+tcp'));
    await bob.register();
    bob.close();
    const alice = await RawPhone.udp(t, 'alice', server.port('sip+udp'));
    const declined = alice.invite('bob@example.org');
    const [wake] = await inbox.take(1);
    const { call, deadlineMs } = JSON.parse(wake!.text) as { call: string; deadlineMs: number };
    assert.ok(deadlineMs > 0);
    const eve = await connectClient(t, server.url('mqtt'), { clientId: 'eve' });
    const toEve = new Inbox(eve);
    const intent = JSON.stringify({ call, intent: 'decline' });
    await eve.publishAsync('$line/call', intent, { qos: 1 });
    assert.deepEqual(JSON.parse((await toEve.take(1))[0]!.text), { call, outcome: 'unknown' });
    const [parked] = await callsOf(server);
    assert.equal(parked!.state, 'parked');
    await client.publishAsync('$line/call', intent, { qos: 1 });
    assert.equal((await declined).status, 603);
    // The answer, and how the call ended, in either order.
    const told = await inbox.take(2);
    const answer = told.find(({ topic }) => topic === '$line/call');
    assert.deepEqual(JSON.parse(answer!.text), { call, outcome: 'done' });
    const end = told.find(({ topic }) => topic === '$line/inbox/calls');
    assert.equal((JSON.parse(end!.text) as { state: string }).state, 'declined-elsewhere');
    await client.publishAsync('$line/call', intent);
    assert.deepEqual(JSON.parse((await inbox.take(1))[0]!.text), { call, outcome: 'over' });
  });

  it('is still there after the server has left in good order and was started again', async (t) => {
    const dataDirectory = await temporaryDirectory(t);
    const udp: ListenerConfig = listener('sip+udp');
    const first = await start(t, { dataDirectory });
    const ports = Object.fromEntries(
      first.server.addresses.map(({ protocol, url }) => [protocol, Number(new URL(url).port)]),
    );
    const instance = randomInstance();
    const bob = await RawPhone.tcp(t, 'bob', first.port('sip+tcp'), instance);
    await bob.register();
    bob.close();
    const alice = await RawPhone.udp(t, 'alice', first.port('sip+udp'));
    const answered = alice.invite('bob@example.org');
    await alice.response('INVITE', 100);
    await first.server.stop();
    const second = await start(t, {
      dataDirectory,
      listeners: [
        { ...listener('sip+tcp'), port: ports['sip+tcp']! },
        { ...udp, port: ports['sip+udp']! },
        listener('http'),
      ],
    });
    const [parked] = await callsOf(second);
    assert.equal(parked!.state, 'parked');
    const again = await RawPhone.tcp(t, 'bob', second.port('sip+tcp'), instance);
    assert.equal((await again.register()).status, 200);
    again.respond(await again.request('INVITE'), 200, 'OK');
    assert.equal((await answered).status, 200);
  });

  it('ends as missed when nobody came', async (t) => {
    const server = await start(t, { sip: { ...sip, parkMs: 1_000 } });
    const bob = await RawPhone.tcp(t, 'bob', server.port('sip+tcp'));
    await bob.register();
    bob.close();
    const alice = await RawPhone.udp(t, 'alice', server.port('sip+udp'));
    assert.equal((await alice.invite('bob@example.org')).status, 480);
    const [call] = await callsOf(server, '?missed=true&address=bob@example.org');
    assert.deepEqual([call!.state, call!.missed, call!.status], ['expired', true, 480]);
  });
});

describe('a server that leaves', () => {
  it('answers new calls with 503, and is gone in time', async (t) => {
    const server = await start(t, {}, { limits: { sipLeaveMs: 3_000 } });
    const alice = await RawPhone.udp(t, 'alice', server.port('sip+udp'));
    const bob = await RawPhone.tcp(t, 'bob', server.port('sip+tcp'));
    await alice.register();
    await bob.register();
    const stopped = server.server.stop();
    const refused = await alice.invite('bob@example.org');
    assert.equal(refused.status, 503);
    assert.notEqual(refused.header('retry-after'), '');
    await stopped;
    await assert.rejects(bob.request('INVITE'));
  });

  it('stops itself when its stack breaks', async (t) => {
    const server = await start(
      t,
      {},
      {
        createSipStack: () => ({
          handleInput: () => {
            throw new Error('broken on purpose');
          },
          handleTimeout: () => {},
          pollOutput: () => undefined,
          nextTimeoutMs: () => Infinity,
        }),
      },
    );
    const failure = (await server.server.failed) as Error & { code: string };
    assert.deepEqual(
      [failure.code, failure.message],
      ['SIP_STACK_FAILED', 'the SIP stack failed: broken on purpose'],
    );
  });
});
