/**
 * Abuse of SIP against a real server: each refused by name and bounded, while others call each other and notice nothing.
 *
 * The abuser comes from an address of its own; those who behave come from 127.0.0.1.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { runProgram, residentMiB } from './program.js';
import { authorize, RawSip, token } from './raw-sip.js';
import type { RawMessage } from './raw-sip.js';
import { DOMAIN } from './sip-server.js';
import { OTHER_TRUNK_ADDRESS, SipStage, TRUNK_ADDRESS } from './sip-stage.js';
import { until, wakelineBin } from './support.js';

const ABUSER = '127.0.0.66';
const GUESSER = '127.0.0.67';
const CONNECTIONS_MAX = 60;
/** Wrong passwords that an address may send a minute (docs/limits.md), and the time in which one of them comes back, ms. */
const LOGINS_MAX = 20;
const LOGIN_RENEWED_MS = 60_000 / LOGINS_MAX;

interface Trace {
  readonly id: string;
  readonly wakes: number;
  readonly events: readonly { readonly kind: string; readonly text: string }[];
}

describe('abuse of SIP', { timeout: 600_000 }, () => {
  let stage: SipStage;
  let alice: RawSip;
  let bob: RawSip;
  let trunk: RawSip;
  /** The INVITE that bob got last. */
  let offered: RawMessage | undefined;

  before(async () => {
    trunk = await RawSip.udp(9, OTHER_TRUNK_ADDRESS);
    stage = await SipStage.open({
      users: ['alice', 'bob', 'carol', 'dave'],
      trunks: [
        { name: 'callers', uri: `sip:${TRUNK_ADDRESS}:9;transport=udp`, from: [TRUNK_ADDRESS] },
        {
          name: 'pbx',
          uri: `sip:${OTHER_TRUNK_ADDRESS}:${trunk.port};transport=udp`,
          from: [OTHER_TRUNK_ADDRESS],
          numbers: ['+*'],
        },
      ],
      park: '8s',
      more: { logLevel: 'debug', connectionsPerAddressMax: CONNECTIONS_MAX },
    });
    stage.keep(trunk);
    alice = stage.keep(await RawSip.tcp(stage.server.tcpPort));
    bob = stage.keep(await RawSip.tcp(stage.server.tcpPort));
    bob.onRequest = (request) => {
      if (request.method === 'INVITE') {
        offered = request;
        bob.respond(request, 180, 'Ringing');
      }
      if (request.method !== 'ACK') bob.respond(request, 200, 'OK');
    };
    assert.equal((await alice.register('alice')).status, 200);
    assert.equal((await bob.register('bob')).status, 200);
  });

  after(() => stage.close());

  const abuser = async (transport: 'tcp' | 'udp', address = ABUSER): Promise<RawSip> => {
    const { tcpPort, udpPort } = stage.server;
    return stage.keep(
      await (transport === 'tcp' ? RawSip.tcp(tcpPort, address) : RawSip.udp(udpPort, address)),
    );
  };

  /** What it costs nobody: alice calls bob, and he answers. */
  const othersDoNotNotice = async (): Promise<RawMessage> => {
    const answer = await alice.prove('alice', 'INVITE', { to: 'bob' });
    assert.equal(answer.answer, '200 OK', stage.server.tell());
    return answer;
  };

  /** The names under which the server logged refusals of an address since `from`. */
  const refusedBy = (from: number, address = ABUSER): string[] =>
    stage.server.log
      .slice(from)
      .split('\n')
      .filter((line) => line.includes('"refusal"') && line.includes(`"${address}"`))
      .map((line) => (JSON.parse(line) as { refusal: string }).refusal);

  /** Runs `abuse`, sees that others did not notice, and that it was refused by this name. */
  const refused = async (name: string, abuse: () => Promise<void>): Promise<void> => {
    const from = stage.server.log.length;
    const before = await stage.server.metric('wakeline_sip_refused_total');
    await Promise.all([abuse(), othersDoNotNotice()]);
    await until(
      () => refusedBy(from).includes(name),
      60_000,
      () => `${name} is logged; there is: ${refusedBy(from).join()}`,
    );
    assert.ok((await stage.server.metric('wakeline_sip_refused_total')) > before);
  };

  it('a caller without credentials is challenged, for users, messages, trunks and nobody alike, and no call is made', async () => {
    const stranger = await abuser('udp');
    const calls = (await stage.server.calls()).length;
    for (const [method, to] of [
      ['INVITE', 'bob'],
      ['INVITE', 'nobody'],
      ['INVITE', '+4930123'],
      ['MESSAGE', 'bob'],
      ['SUBSCRIBE', 'bob'],
      ['OPTIONS', 'bob'],
    ] as const) {
      const answer = await stranger.ask(method, { to, body: method === 'MESSAGE' ? 'hi' : '' });
      assert.equal(answer.answer, '407 Proxy Authentication Required', `${method} ${to}`);
    }
    const wrong = await stranger.prove('nobody', 'INVITE', { from: 'nobody' });
    assert.equal(wrong.status, 407, 'a user that does not exist answers as a wrong password does');
    assert.equal((await stage.server.calls()).length, calls);
    assert.deepEqual(trunk.received, []);
  });

  it('a forged source is written to once for each datagram, with little more than was sent', async () => {
    const victim = await abuser('udp');
    let sentBytes = 0;
    const count = 40;
    for (let index = 0; index < count; index++) {
      const text = victim.request(index % 2 === 0 ? 'INVITE' : 'REGISTER', { to: 'alice' });
      sentBytes += text.length;
      victim.send(text);
    }
    const stun = Buffer.from('000100002112a442000102030405060708090a0b', 'hex');
    for (let index = 0; index < count; index++) victim.send(stun);
    sentBytes += count * stun.length;
    await until(
      () => victim.received.length >= 2 * count,
      60_000,
      () => `${victim.received.length} of ${2 * count} answers`,
    );
    await othersDoNotNotice();
    // Timer G would have sent each of the INVITE's again by then.
    const parked = await alice.prove('alice', 'INVITE', { to: 'dave' });
    assert.equal(parked.status, 480);
    assert.equal(victim.received.length, 2 * count);
    assert.ok(victim.receivedBytes < 2 * sentBytes, `${victim.receivedBytes} for ${sentBytes}`);
  });

  it('a Via that names somebody else changes nothing: the answer goes where the request came from', async () => {
    const other = await abuser('udp', GUESSER);
    const stranger = await abuser('udp');
    const via = `UDP ${GUESSER}:${other.port};branch=z9hG4bK${token()};rport;maddr=${GUESSER};received=${GUESSER}`;
    assert.equal((await stranger.ask('OPTIONS', { via })).status, 407);
    const stream = await abuser('tcp');
    const elsewhere = `TCP ${GUESSER}:${other.port};branch=z9hG4bK${token()};maddr=${GUESSER}`;
    assert.equal((await stream.ask('OPTIONS', { via: elsewhere })).status, 407);
    assert.deepEqual(other.received, []);
  });

  it("a stranger's Route: 403 Route Not Ours", async () => {
    await refused('sip-foreign-route', async () => {
      const stranger = await abuser('udp');
      const target = await abuser('udp', GUESSER);
      const headers = [`Route: <sip:${GUESSER}:${target.port};lr>`];
      const answer = await stranger.ask('INVITE', { headers });
      assert.equal(answer.answer, '403 Route Not Ours');
      assert.deepEqual(target.received, []);
    });
  });

  it('a Route token that was changed: 403 Route Token Not Ours, for each of its letters', async () => {
    await othersDoNotNotice();
    const route = offered!.header('Record-Route').replace(/^<([^>]*)>.*$/, '$1');
    const [, user = '', rest = ''] = /^sip:([^@]*)(@.*)$/.exec(route) ?? [];
    assert.ok(user.length > 20, route);
    await refused('sip-token', async () => {
      const stranger = await abuser('tcp');
      for (let at = 0; at < user.length; at += 7) {
        const changed = user.slice(0, at) + (user[at] === 'A' ? 'B' : 'A') + user.slice(at + 1);
        const headers = [`Route: <sip:${changed}${rest}>`];
        const answer = await stranger.ask('BYE', { toTag: 'callee', headers });
        assert.equal(answer.answer, '403 Route Token Not Ours', changed);
      }
    });
  });

  it('maddr is ignored', async () => {
    const elsewhere = await abuser('udp');
    offered = undefined;
    const uri = `sip:bob@${DOMAIN};maddr=${ABUSER}:${elsewhere.port}`;
    const answer = await alice.prove('alice', 'INVITE', { uri: uri.replace(/:\d+$/, '') });
    assert.equal(answer.status, 200);
    assert.ok(offered !== undefined, 'bob got it');
    assert.deepEqual(elsewhere.received, []);
  });

  it('a From that is not the user’s: 403 From Is Not Yours; P-Asserted-Identity is taken out', async () => {
    await refused('sip-from-mismatch', async () => {
      const dave = await abuser('udp');
      const answer = await dave.prove('dave', 'INVITE', { from: 'alice' });
      assert.equal(answer.answer, '403 From Is Not Yours');
      const foreign = await dave.ask('INVITE', { from: 'sip:president@elsewhere.test' });
      assert.equal(foreign.answer, '403 From Is Not Yours');
    });
    await alice.prove('alice', 'INVITE', { headers: [`P-Asserted-Identity: <sip:president@${DOMAIN}>`] });
    assert.deepEqual(offered!.all('P-Asserted-Identity'), []);
  });

  it('a binding for somebody else: 403 Not Your Address, and his stays', async () => {
    await refused('sip-third-party', async () => {
      const dave = await abuser('udp');
      const request = { uri: `sip:${DOMAIN}`, from: 'bob', to: 'bob' };
      assert.equal((await dave.prove('dave', 'REGISTER', request)).answer, '403 Not Your Address');
    });
  });

  it('a digest that was overheard is worth nothing, here or elsewhere', async () => {
    const uri = `sip:${DOMAIN}`;
    const request = { uri, from: 'dave', to: 'dave' };
    const dave = await abuser('udp', '127.0.0.1');
    const credentials = authorize(await dave.ask('REGISTER', request), 'dave', 'REGISTER', uri);
    const signed = { ...request, cseq: 2, headers: [credentials, 'Expires: 0'] };
    const first = await dave.ask('REGISTER', { ...signed, contact: '*' });
    assert.equal(first.status, 200);
    for (const thief of [dave, await abuser('udp')]) {
      const answer = await thief.ask('REGISTER', { ...signed, cseq: 3 });
      assert.equal(answer.status, 401);
      assert.match(answer.header('WWW-Authenticate'), /stale="?true/);
    }
  });

  it('guessed passwords: 403 Too Many Failed Logins for that address; a forged source locks out nobody', async () => {
    const guesser = await abuser('tcp', GUESSER);
    const from = stage.server.log.length;
    const statuses: number[] = [];
    const login = async (password?: string): Promise<RawMessage> => {
      const answer = await guesser.prove('carol', 'REGISTER', carolRegisters, password);
      if (password !== undefined) statuses.push(answer.status);
      return answer;
    };
    const beginMs = performance.now();
    const guess = async (): Promise<number> => (await login(`guess ${statuses.length}`)).status;
    const guessUntilRefused = async (): Promise<void> => {
      while ((await guess()) !== 403) assert.ok(statuses.length < 100, statuses.join());
    };
    await guessUntilRefused();
    // The budget comes back meanwhile, and a slow machine takes long for so many logins.
    const renewed = Math.ceil((performance.now() - beginMs) / LOGIN_RENEWED_MS);
    assert.ok(statuses.length <= LOGINS_MAX + renewed + 1, statuses.join());
    // Where a guess behind it is refused, too, nothing had come back in between: right or wrong was not looked at.
    let right = await login();
    while ((await guess()) !== 403) {
      await guessUntilRefused();
      right = await login();
    }
    assert.equal(right.answer, '403 Too Many Failed Logins', 'right or wrong is not looked at');
    await until(
      () => refusedBy(from, GUESSER).includes('sip-login-rate'),
      60_000,
      () => `sip-login-rate is logged; there is: ${refusedBy(from, GUESSER).join()}`,
    );
    await othersDoNotNotice();
    // What somebody was asked at one address is of no use at another, nor against it.
    const challenge = await guesser.ask('REGISTER', carolRegisters);
    const forger = await abuser('udp');
    for (let count = 0; count < 30; count++) {
      const credentials = authorize(challenge, 'carol', 'REGISTER', `sip:${DOMAIN}`, `guess ${count}`);
      const answer = await forger.ask('REGISTER', { ...carolRegisters, headers: [credentials] });
      assert.equal(answer.status, 401);
    }
    assert.equal((await forger.prove('carol', 'REGISTER', carolRegisters)).status, 200);
  });

  it('a flood of INVITEs to a sleeping phone with a push endpoint at loopback: 486, wakes bounded, nothing connects', async () => {
    let connects = 0;
    const inside = createServer(() => (connects += 1)).listen(0, '127.0.0.1');
    await once(inside, 'listening');
    stage.keep({ end: () => new Promise<void>((resolve) => void inside.close(() => resolve())) });
    const { port } = inside.address() as AddressInfo;
    const phone = await abuser('tcp', '127.0.0.1');
    const push = `;pn-provider=webpush;pn-prid=https://127.0.0.1%3A${port}/x`;
    assert.equal((await phone.register('carol', push)).status, 200);
    await phone.end();
    const dave = await abuser('udp');
    const answers = Array.from({ length: 80 }, () =>
      dave.prove('dave', 'INVITE', { from: 'dave', to: 'carol' }),
    );
    await othersDoNotNotice();
    const found = new Map<string, number>();
    for (const { answer } of await Promise.all(answers)) found.set(answer, (found.get(answer) ?? 0) + 1);
    const shown = JSON.stringify([...found]);
    assert.deepEqual(
      [...found.keys()].map((answer) => answer.slice(0, 3)).toSorted(),
      ['480', '486', '486'],
      shown,
    );
    assert.ok((found.get('486 Too Many Calls') ?? 0) >= 15, shown);
    const calls = (await stage.server.calls()).filter(({ user }) => user === `carol@${DOMAIN}`);
    assert.ok(calls.length > 0 && calls.length <= 10, `${calls.length} calls were parked`);
    const wakes = calls.reduce((sum, call) => sum + call.wakes, 0);
    assert.ok(wakes <= 60, `${wakes} wakes`);
    const trace = (await stage.server.get(`/v1/calls/${calls[0]!.id}`)) as Trace;
    const results = trace.events.filter(({ kind }) => kind === 'wake-result').map(({ text }) => text);
    assert.ok(results.length > 0 && results.every((text) => text.includes('wakes nobody')), results.join());
    assert.match(stage.server.log, /address-not-public/);
    assert.equal(connects, 0);
  });

  it('what is too large or never ends: refused or closed, in little memory', async () => {
    const before = residentMiB(stage.server.pid).now;
    const long = await abuser('tcp');
    long.send(long.request('OPTIONS', { headers: [`Subject: ${'x'.repeat(100_000)}`] }));
    const vias = Array.from(
      { length: 1_000 },
      (_, n) => `Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK${n}${'y'.repeat(40)}`,
    );
    const many = await abuser('tcp');
    many.send(many.request('OPTIONS', { headers: vias }));
    const promised = await abuser('tcp');
    promised.send(promised.request('OPTIONS', {}).replace('Content-Length: 0', 'Content-Length: 4294967295'));
    for (const one of [long, many, promised]) {
      await until(
        () => one.isClosed,
        60_000,
        () => 'its connection ends',
      );
    }
    const datagram = await abuser('udp');
    datagram.send(datagram.request('OPTIONS', { headers: vias.slice(0, 700) }).slice(0, 60_000));
    // Slow ones: a head that never ends.
    const slow = await Promise.all(Array.from({ length: 20 }, () => abuser('tcp')));
    for (const one of slow) one.send(one.request('OPTIONS', {}).slice(0, -4));
    const pings = await abuser('tcp');
    const lineEnds = '\r\n\r\n'.repeat(50_000);
    pings.send(lineEnds);
    await until(
      () => pings.receivedBytes === lineEnds.length / 2,
      60_000,
      () => `${pings.receivedBytes} bytes of answers to pings`,
    );
    await othersDoNotNotice();
    const grown = residentMiB(stage.server.pid).now - before;
    assert.ok(grown < 150, `${grown} MiB more`);
    for (const one of slow) await one.end();
  });

  it('connections beyond the share of an address are closed, and others come in', async () => {
    const all = await Promise.all(
      Array.from({ length: 2 * CONNECTIONS_MAX }, () => abuser('tcp', '127.0.0.68')),
    );
    const isOpen = (): number => all.filter((one) => !one.isClosed).length;
    await until(
      () => isOpen() <= CONNECTIONS_MAX,
      60_000,
      () => `${isOpen()} are open`,
    );
    const newcomer = await abuser('tcp', '127.0.0.1');
    assert.equal((await newcomer.register('dave')).status, 200);
    await othersDoNotNotice();
    for (const one of all) await one.end();
  });

  it('nothing that a caller writes reaches a terminal or another header as more than text', async () => {
    const displayName = '"\u001b[2J\u001b]0;owned\u0007 \u009b31m" ';
    const headers = ['User-Agent: x\u001b[31m', 'Reason: SIP;text="\u001b[2J"'];
    const callId = token();
    const answer = await alice.prove('alice', 'INVITE', { to: 'dave', displayName, headers, callId });
    assert.equal(answer.status, 480);
    const call = (await stage.server.calls()).find(({ sipCallId }) => sipCallId === callId);
    assert.ok(call !== undefined);
    for (const args of [['calls'], ['calls', 'show', call.id]]) {
      const told = await runProgram(process.execPath, [wakelineBin, ...args, '--server', stage.server.url]);
      assert.equal(told.code, 0, told.stderr);
      assert.match(told.stdout, /alice/);
      assert.doesNotMatch(told.stdout, /(?!\n)\p{Cc}/u);
    }
    const split = await abuser('tcp');
    split.send(split.request('OPTIONS', { headers: ['Subject: a\rRoute: <sip:x;lr>'] }));
    await until(
      () => split.isClosed,
      60_000,
      () => 'a CR alone ends the connection',
    );
    await othersDoNotNotice();
  });
});

const carolRegisters = {
  uri: `sip:${DOMAIN}`,
  from: 'carol',
  to: 'carol',
  headers: ['Expires: 0'],
  contact: '*',
};
