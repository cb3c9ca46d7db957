/**
 * The torture messages of RFC 4475 and RFC 5118 as a proxy and a registrar meet them. They come by a trunk, so that
 * nothing stands between them and what the RFCs say, and every user of their domains is known.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from '../../../src/base/index.js';
import type { SipUser } from '../../../src/domain/index.js';
import { parseMessage, type SipMessage } from '../../../src/wire/sip/index.js';
import { tortureMessages } from '../../wire/sip/torture.js';
import { World } from './world.js';

const domains = [
  'home.test',
  'example.com',
  'example.org',
  'example.net',
  'company.com',
  'chair-dnrc.example.com',
  '[2001:db8::9:1]',
  '[2001:db8::10]',
  '[2001:db8::20]',
  '[2001:db8::c000:201]',
];

function findUser(aor: string): SipUser {
  const at = aor.lastIndexOf('@');
  const name = aor.slice(0, at);
  const ha1 = createHash('sha256')
    .update(`${name}:${aor.slice(at + 1)}:secret-${name}`)
    .digest('hex');
  return { aor, ha1: { 'sha-256': ha1 }, devices: [] };
}

/** What a proxy of the RFC would forward and our rules refuse. Name to status. */
const ownRules: Readonly<Record<string, number>> = {
  // In a dialog that we have nothing to do with.
  wsinv: 481,
  'via-received-param-with-delim': 481,
  'mult-ip-in-header': 481,
  // Routes of others.
  mpart01: 403,
  // For a host that is not ours.
  esc02: 403,
};

function stage(): World {
  return new World({ domains, findUser });
}

/** Sends it as its topmost Via says, and gives the statuses of what was said to it, and the challenge. */
function send(world: World, bytes: Uint8Array): { statuses: number[]; challenge: SipMessage | undefined } {
  const statuses: number[] = [];
  let challenge: SipMessage | undefined;
  world.onSend = (sent) => {
    // What was malformed is so in the answer, too.
    const status = /^SIP\/2\.0 (\d{3}) /.exec(decodeUtf8(sent, 0, sent.length) ?? '')?.[1];
    if (status !== undefined) statuses.push(Number(status));
    const message = parseMessage(sent);
    if (status === '401' && message.kind !== 'fault') challenge = message;
  };
  const via = /^(?:via|v)\s*:\s*SIP\s*\/\s*2\.0\s*\/\s*(\w+)/im.exec(
    decodeUtf8(bytes, 0, bytes.length) ?? '',
  );
  const remote = { address: '192.0.2.10', port: 7 };
  if (via?.[1] === 'TCP') {
    const connection = 1_000;
    world.input({ kind: 'connection-opened', connection, listener: 0, transport: 'tcp', remote });
    world.input({ kind: 'bytes', connection, chunk: bytes });
  } else world.input({ kind: 'datagram', listener: 2, remote, bytes });
  return { statuses, challenge };
}

describe('[SI-126] torture messages at the proxy', () => {
  for (const message of tortureMessages) {
    const { rfc, section, name, about, bytes, proxy } = message;
    if (proxy === undefined) continue;
    test(`RFC ${rfc} §${section} ${name}: ${about}`, () => {
      const world = stage();
      const { statuses } = send(world, bytes);
      if (name in ownRules) assert.deepEqual(statuses, [ownRules[name]]);
      else if (proxy === 'discard') assert.deepEqual(statuses, []);
      else if (proxy === 'forward') {
        const parsed = parseMessage(bytes);
        assert.notEqual(parsed.kind, 'fault');
        const method = parsed.kind === 'request' ? parsed.method : undefined;
        // OPTIONS is answered here; other requests are for phones, and there are none.
        const expected =
          method === undefined ? [] : [method === 'INVITE' ? 100 : method === 'OPTIONS' ? 200 : 480];
        assert.deepEqual(statuses, expected);
        assert.equal(world.hub.take('call').length, method === 'INVITE' ? 1 : 0);
      } else {
        assert.equal(statuses.length, 1, String(statuses));
        assert.ok((proxy as readonly number[]).includes(statuses[0]!), String(statuses));
      }
    });
  }
});

/** The same REGISTER with credentials, as another request. */
function authorized(world: World, bytes: Uint8Array, challenge: SipMessage): Uint8Array {
  const request = parseMessage(bytes);
  assert.ok(request.kind === 'request' && request.to.uri?.kind === 'sip' && challenge.kind === 'response');
  const name = request.to.uri.user!;
  const phone = world.datagrams('192.0.2.20');
  const credentials = phone.credentials(name, 'REGISTER', { uri: request.uri }, challenge);
  const text = decodeUtf8(bytes, 0, bytes.length)!;
  const end = text.indexOf('\r\n') + 2;
  const again = text
    .slice(end)
    .replace('z9hG4bK', 'z9hG4bKagain')
    .replace(/CSeq: (\d+)/i, (_, number: string) => `CSeq: ${Number(number) + 1}`);
  return encodeUtf8(`${text.slice(0, end)}${credentials}\r\n${again}`);
}

describe('[SI-126] torture messages at the registrar', () => {
  for (const { rfc, section, name, about, bytes, registrar } of tortureMessages) {
    if (registrar === undefined) continue;
    test(`RFC ${rfc} §${section} ${name}: ${about}`, () => {
      const world = stage();
      const first = send(world, bytes);
      if (name in ownRules) return assert.deepEqual(first.statuses, [ownRules[name]]);
      if (registrar === 'discard') return assert.deepEqual(first.statuses, []);
      const { challenge } = first;
      const last = challenge === undefined ? first : send(world, authorized(world, bytes, challenge));
      const [status] = last.statuses;
      if (registrar === 'accept') {
        assert.equal(status, 200);
        assert.equal(world.hub.take('bind').length, 1);
      } else {
        const allowed = registrar as readonly number[];
        const isExpected = allowed.includes(status!) || (challenge !== undefined && allowed.includes(401));
        assert.ok(isExpected, `${challenge === undefined ? '' : '401, '}${status}`);
      }
    });
  }
});

test('[SI-121] what the torture messages are refused for is counted by name', () => {
  const world = stage();
  for (const name of ['unkscm', 'bext01', 'multi01']) {
    send(world, tortureMessages.find((message) => message.name === name)!.bytes);
  }
  assert.deepEqual(world.refusals, ['sip-scheme', 'sip-bad-extension', 'sip-bad-request']);
});
