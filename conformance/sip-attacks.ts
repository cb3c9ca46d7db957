/**
 * What hostile programs send to a SIP server, in rounds that a test repeats: torture messages, halves and mutations, floods
 * of every method, answers that nobody asked for, connections that say nothing, and an insider who has a password.
 *
 * Nothing here is judged: a test looks at how others fare meanwhile.
 */
import { createSocket } from 'node:dgram';
import type { Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import WebSocket from 'ws';
import { RawSip, token } from './raw-sip.js';
import type { RawRequest } from './raw-sip.js';
import { DOMAIN } from './sip-server.js';
import { sleep } from './support.js';

export interface AttackTarget {
  readonly tcpPort: number;
  readonly udpPort: number;
  /** SIP over WebSocket is at `/sip` there. */
  readonly httpPort: number;
  /** Numbers from 0 (inclusive) to 1. */
  readonly random: () => number;
  /** Messages that are odd each in its way, as they would be on the wire. */
  readonly oddMessages: readonly Uint8Array[];
  /** A user whose password the attacker has. */
  readonly insider: string;
  /** Users that it calls and would like to be taken for. */
  readonly victims: readonly string[];
}

/** One round takes some tens of milliseconds, and returns how many messages or connections it was. */
export interface Attack {
  readonly name: string;
  round(): Promise<number>;
  end(): void;
}

type Make = (target: AttackTarget) => Promise<Attack>;

const METHODS = ['ACK', 'BYE', 'CANCEL', 'INFO', 'INVITE', 'MESSAGE', 'NOTIFY', 'OPTIONS', 'PRACK'];
const MORE_METHODS = ['PUBLISH', 'REFER', 'REGISTER', 'SUBSCRIBE', 'UPDATE', 'XYZZY'];

const FLOOD = 40;

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)]!;
}

/** An address of the attacker's own; those who behave are at 127.0.0.1. */
function anyAddress(random: () => number): string {
  const byte = (): number => Math.floor(random() * 250) + 2;
  return `127.66.${byte()}.${byte()}`;
}

/** Does not keep the process from ending. */
async function udpSocket(address: string): Promise<DatagramSocket> {
  const socket = createSocket('udp4').bind(0, address);
  socket.on('error', () => {});
  socket.on('message', () => {});
  await once(socket, 'listening');
  return socket.unref();
}

/** Waits for an answer, but not for long: what is lost on the way is not sent again. */
async function soon<T>(answer: Promise<T>): Promise<T | undefined> {
  return Promise.race([answer.catch(() => undefined), sleep(1_000).then(() => undefined)]);
}

function tcpSocket({ tcpPort: port }: AttackTarget, localAddress: string): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  socket.resume();
  return socket;
}

function webSocket({ httpPort }: AttackTarget, localAddress: string, protocol = 'sip'): WebSocket {
  const socket = new WebSocket(`ws://127.0.0.1:${httpPort}/sip`, protocol, { localAddress });
  socket.on('error', () => {});
  return socket;
}

/** Sends each of these on a WebSocket of its own that is closed afterwards. */
function sayOnWebSocket(target: AttackTarget, messages: readonly Uint8Array[]): void {
  const socket = webSocket(target, anyAddress(target.random));
  socket.on('open', () => {
    for (const message of messages) socket.send(message);
    setTimeout(() => socket.terminate(), 200);
  });
}

interface RequestOptions extends RawRequest {
  readonly address?: string;
  readonly transport?: string;
}

/** As {@link RawSip.request}, without a socket. */
function textOf(method: string, request: RequestOptions = {}): string {
  const { address = '127.66.0.1', transport = 'UDP', from = 'alice', to = 'bob', callId = token() } = request;
  const { headers = [], body = '', cseq = 1, toTag } = request;
  return [
    `${method} ${request.uri ?? `sip:${to}@${DOMAIN}`} SIP/2.0`,
    `Via: SIP/2.0/${request.via ?? `${transport} ${address}:5060;branch=z9hG4bK${token()};rport`}`,
    'Max-Forwards: 70',
    `From: <sip:${from}@${DOMAIN}>;tag=${token()}`,
    `To: <sip:${to}@${DOMAIN}>${toTag === undefined ? '' : `;tag=${toTag}`}`,
    `Call-ID: ${callId}`,
    `CSeq: ${cseq} ${method}`,
    `Contact: <sip:${token()}@${address}:5060>`,
    ...headers,
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

/** A round that is `count` datagrams from one socket. */
function datagramFlood(name: string, makeText: (target: AttackTarget, index: number) => string): Make {
  return async (target) => {
    const socket = await udpSocket(anyAddress(target.random));
    return {
      name,
      round: async () => {
        for (let index = 0; index < FLOOD; index++) {
          socket.send(makeText(target, index), target.udpPort, '127.0.0.1');
        }
        await sleep(20);
        return FLOOD;
      },
      end: () => socket.close(),
    };
  };
}

/** The odd messages, by datagram, stream and WebSocket. */
const torture: Make = async (target) => {
  const socket = await udpSocket(anyAddress(target.random));
  return {
    name: 'torture messages',
    round: async () => {
      const { oddMessages } = target;
      for (const message of oddMessages) socket.send(message, target.udpPort, '127.0.0.1');
      const stream = tcpSocket(target, anyAddress(target.random));
      stream.write(pick(target.random, oddMessages));
      stream.write(pick(target.random, oddMessages));
      setTimeout(() => stream.destroy(), 300);
      sayOnWebSocket(
        target,
        oddMessages.filter(() => target.random() < 0.2),
      );
      await sleep(300);
      return oddMessages.length;
    },
    end: () => socket.close(),
  };
};

/** A message as some program would write it, of a kind by chance. */
function anyMessage({ random, victims, oddMessages }: AttackTarget): Uint8Array {
  const method = pick(random, [...METHODS, ...MORE_METHODS]);
  const digest = `Digest username="${pick(random, victims)}", realm="${DOMAIN}", nonce="${token()}", uri="sip:x", response="${token()}"`;
  const lines = [
    `Route: <sip:${token()}@127.0.0.1;lr>, <sip:${token()}@${DOMAIN};lr>`,
    `Record-Route: <sip:${token()}@127.0.0.1;lr>`,
    `Authorization: ${digest}, algorithm=MD5, qop=auth, nc=00000001, cnonce="x"`,
    `Proxy-Authorization: ${digest}`,
    'Require: outbound, 100rel',
    'Proxy-Require: nothing',
    `Expires: ${Math.floor(random() * 2 ** 33)}`,
    'Max-Breadth: 0',
    'Supported: path, outbound',
    `Path: <sip:${token()}@127.0.0.1;lr;ob>`,
    'Max-Forwards: 0',
    `v: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK${token()}`,
    'Identity: x',
    `Replaces: ${token()};to-tag=1;from-tag=2`,
  ];
  const text = textOf(method, {
    to: pick(random, [...victims, 'nobody', '', '%00', '+4930']),
    from: pick(random, [...victims, 'nobody']),
    headers: lines.filter(() => random() < 0.15),
    body: random() < 0.3 ? 'v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n' : '',
    ...(random() < 0.3 && { toTag: token() }),
  });
  return random() < 0.2 ? pick(random, oddMessages) : Buffer.from(text, 'latin1');
}

const SPECIAL = '\0\r\n\t "<>;:@,=%\\[]()?&/\u007f\u00ff';

/** Changed at some places, cut, doubled or turned around. */
function mutate(message: Uint8Array, random: () => number): Buffer {
  let bytes = Buffer.from(message);
  const at = (): number => Math.floor(random() * bytes.length);
  for (let count = Math.ceil(random() * 4); count > 0; count--) {
    const [a, b] = [at(), at()].toSorted((x, y) => x - y) as [number, number];
    switch (Math.floor(random() * 6)) {
      case 0:
        bytes[a] = Math.floor(random() * 256);
        break;
      case 1:
        bytes[a] = SPECIAL.charCodeAt(Math.floor(random() * SPECIAL.length));
        break;
      case 2:
        bytes = bytes.subarray(0, b);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, a), bytes.subarray(b)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, b), bytes.subarray(a)]);
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, a), Buffer.from('9'.repeat(20)), bytes.subarray(a)]);
    }
    if (bytes.length === 0) bytes = Buffer.of(0);
  }
  return bytes;
}

const mutations: Make = async (target) => {
  const socket = await udpSocket(anyAddress(target.random));
  return {
    name: 'mutated and truncated messages',
    round: async () => {
      const { random } = target;
      const messages = Array.from({ length: FLOOD }, () => mutate(anyMessage(target), random));
      for (const message of messages) socket.send(message, target.udpPort, '127.0.0.1');
      const stream = tcpSocket(target, anyAddress(random));
      for (const message of messages) stream.write(message);
      // Some leave in the middle of a message.
      setTimeout(() => (random() < 0.5 ? stream.destroy() : stream.end()), random() * 200);
      sayOnWebSocket(target, messages.slice(0, 5));
      await sleep(100);
      return 2 * FLOOD + 5;
    },
    end: () => socket.close(),
  };
};

const huge: Make = async (target) => {
  const socket = await udpSocket(anyAddress(target.random));
  const vias = Array.from(
    { length: 700 },
    (_, n) => `Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK${n}${token()}`,
  );
  const long = [`Subject: ${'x'.repeat(200_000)}`];
  const folded = Array.from({ length: 3_000 }, () => ' x');
  return {
    name: 'huge messages',
    round: async () => {
      socket.send(textOf('OPTIONS', { headers: vias }).slice(0, 65_000), target.udpPort, '127.0.0.1');
      socket.send(Buffer.alloc(65_000, 'x'), target.udpPort, '127.0.0.1');
      const texts = [
        textOf('OPTIONS', { headers: long, transport: 'TCP' }),
        textOf('OPTIONS', { headers: folded, transport: 'TCP' }),
        textOf('MESSAGE', { body: 'x'.repeat(300_000), transport: 'TCP' }),
        textOf('OPTIONS', { transport: 'TCP' }).replace('Content-Length: 0', 'Content-Length: 4294967295'),
        textOf('INVITE', { uri: `sip:${'x;'.repeat(10_000)}@${DOMAIN}`, transport: 'TCP' }),
      ];
      for (const text of texts) {
        const stream = tcpSocket(target, anyAddress(target.random));
        stream.write(text);
        setTimeout(() => stream.destroy(), 500);
      }
      const wide = webSocket(target, anyAddress(target.random));
      wide.on('open', () => wide.send(Buffer.alloc(10_000_000, 'x')));
      setTimeout(() => wide.terminate(), 500);
      await sleep(500);
      return 2 + texts.length + 1;
    },
    end: () => socket.close(),
  };
};

/** Connections that say a byte now and then, and some that say nothing. */
const slow: Make = (target) => {
  const streams: { readonly socket: Socket; readonly text: string; at: number }[] = [];
  return Promise.resolve({
    name: 'slow and silent connections',
    round: async () => {
      if (streams.length < 200) {
        const socket = tcpSocket(target, anyAddress(target.random));
        const text = target.random() < 0.3 ? '' : textOf('OPTIONS', { transport: 'TCP' }).slice(0, -2);
        const stream = { socket, text, at: 0 };
        streams.push(stream);
        socket.on('close', () => streams.splice(streams.indexOf(stream), 1));
      }
      for (const stream of streams) {
        if (stream.at < stream.text.length) stream.socket.write(stream.text[stream.at++]!);
      }
      await sleep(50);
      return 1;
    },
    end: () => {
      for (const { socket } of streams) socket.destroy();
    },
  });
};

/** Opened and gone: at once, by RST, in the middle of an upgrade, or half closed. */
const churn: Make = (target) => {
  const left = new Set<Socket>();
  return Promise.resolve({
    name: 'connections that come and go',
    round: async () => {
      for (let index = 0; index < 10; index++) {
        const socket = tcpSocket(target, anyAddress(target.random));
        left.add(socket);
        socket.on('close', () => left.delete(socket));
        socket.on('connect', () => {
          if (index % 3 === 0) socket.resetAndDestroy();
          else if (index % 3 === 1) socket.end(textOf('INVITE', { transport: 'TCP' }));
          else {
            socket.write('\r\n\r\n'.repeat(100));
            setTimeout(() => socket.resetAndDestroy(), 300);
          }
        });
      }
      const { httpPort: port, random } = target;
      const http = connect({ port, host: '127.0.0.1', localAddress: anyAddress(random) });
      left.add(http);
      http.on('error', () => {});
      http.on('close', () => left.delete(http));
      http.resume();
      const key = 'dGhlIHNhbXBsZSBub25jZQ==';
      const upgrade = `GET /sip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n`;
      http.write(random() < 0.5 ? upgrade.slice(0, Math.floor(random() * upgrade.length)) : upgrade);
      // Frames that are none: not masked, reserved bits, fragments without an end.
      http.write(Buffer.from(Array.from({ length: 100 }, () => Math.floor(random() * 256))));
      setTimeout(() => http.destroy(), 300);
      const text = webSocket(target, anyAddress(random), random() < 0.5 ? 'sip' : 'mqtt');
      text.on('open', () => {
        text.send(textOf('OPTIONS', { transport: 'WS' }));
        text.send('\r\n\r\n');
        text.ping();
        setTimeout(() => text.close(), 100);
      });
      await sleep(100);
      return 12;
    },
    end: () => {
      for (const socket of left) socket.destroy();
    },
  });
};

function responseText({ random }: AttackTarget): string {
  const branch = pick(random, [`z9hG4bK${token()}`, `z9hG4bK-${token()}${token()}.1.1`, '', 'z9hG4bK']);
  const status = pick(random, [100, 180, 183, 200, 202, 302, 401, 407, 408, 487, 503, 600, 699, 999]);
  const method = pick(random, METHODS);
  return [
    `SIP/2.0 ${status} Whatever`,
    `Via: SIP/2.0/UDP 127.0.0.1:5060;branch=${branch};received=127.0.0.1;rport=5060`,
    ...(random() < 0.5 ? [`Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK${token()}`] : []),
    `From: <sip:alice@${DOMAIN}>;tag=${token()}`,
    `To: <sip:bob@${DOMAIN}>;tag=${token()}`,
    `Call-ID: ${token()}`,
    `CSeq: ${Math.floor(random() * 2 ** 31)} ${method}`,
    `Contact: <sip:x@127.66.0.1>`,
    'Content-Length: 0',
    '',
    '',
  ].join('\r\n');
}

/** From a new address and port each time. */
const sources: Make = (target) =>
  Promise.resolve({
    name: 'many sources',
    round: async () => {
      const sockets = await Promise.all(
        Array.from({ length: 20 }, () => udpSocket(anyAddress(target.random))),
      );
      for (const socket of sockets) {
        const method = pick(target.random, [...METHODS, ...MORE_METHODS]);
        socket.send(textOf(method), target.udpPort, '127.0.0.1');
        socket.send('\r\n\r\n', target.udpPort, '127.0.0.1');
      }
      await sleep(50);
      for (const socket of sockets) socket.close();
      return 40;
    },
    end: () => {},
  });

const stun = datagramFlood('STUN and noise', ({ random }, index) => {
  const noise = Array.from({ length: 60 }, () => Math.floor(random() * 256));
  const head = [0, 1, 0, index % 4 === 0 ? 0 : Math.floor(random() * 64), 0x21, 0x12, 0xa4, 0x42];
  return String.fromCharCode(...(index % 2 === 0 ? head : []), ...noise);
});

/** Wrong passwords, and credentials that are none. */
const credentials: Make = async (target) => {
  const raw = await RawSip.udp(target.udpPort, anyAddress(target.random));
  return {
    name: 'wrong passwords',
    round: async () => {
      const { random, victims } = target;
      const user = pick(random, [...victims, token()]);
      await soon(raw.prove(user, 'REGISTER', { uri: `sip:${DOMAIN}`, from: user, to: user }, token()));
      const broken = `Authorization: Digest ${mutate(
        Buffer.from(
          `username="${user}", realm="${DOMAIN}", nonce="AAAA", uri="x", qop=auth, nc=1, response="x"`,
        ),
        random,
      )
        .toString('latin1')
        .replaceAll(/[\r\n]/g, '')}`;
      raw.send(raw.request('REGISTER', { uri: `sip:${DOMAIN}`, from: user, to: user, headers: [broken] }));
      raw.received.length = 0;
      await sleep(20);
      return 3;
    },
    end: () => void raw.end(),
  };
};

/** An insider binds and unbinds contacts of every sort, from many ports, and sends again what it once proved. */
const registrations: Make = async (target) => {
  const { insider, random } = target;
  return Promise.resolve({
    name: 'registrations of an insider',
    round: async () => {
      const raw = await RawSip.udp(target.udpPort, anyAddress(random));
      const contacts = Array.from(
        { length: 1 + Math.floor(random() * 11) },
        () =>
          `<sip:${token()}@${anyAddress(random)}:${Math.floor(random() * 70_000)};transport=${pick(random, ['udp', 'tcp', 'ws', 'x'])};pn-provider=webpush;pn-prid=https://127.0.0.1/${token()}>;+sip.instance="<urn:uuid:${crypto.randomUUID()}>";reg-id=${Math.floor(random() * 5)};q=${random().toFixed(1)}`,
      );
      const request = {
        uri: `sip:${DOMAIN}`,
        from: insider,
        to: insider,
        contact: random() < 0.1 ? '*' : contacts.join(', '),
        headers: [`Expires: ${pick(random, ['0', '60', '3600', '99999999999', 'x'])}`],
      };
      await soon(raw.prove(insider, 'REGISTER', request));
      for (let index = 0; index < 10; index++) raw.send(raw.request('REGISTER', request));
      await sleep(50);
      void raw.end();
      return 12;
    },
    end: () => {},
  });
};

/** An insider calls everybody and hangs up at once, from many ports, and answers its own calls, for tokens. */
const calls: Make = async (target) => {
  const { insider, random, victims } = target;
  return Promise.resolve({
    name: 'calls of an insider',
    round: async () => {
      const raw = await RawSip.udp(target.udpPort, anyAddress(random));
      raw.onRequest = (request) => {
        if (request.method !== 'ACK') raw.respond(request, pick(random, [200, 480, 603]), 'Whatever');
      };
      const to = pick(random, [...victims, insider, 'nobody', '+49301', 'sleeper']);
      const callId = token();
      const via = `UDP ${raw.address}:${raw.port};branch=z9hG4bK${token()};rport`;
      const request: RawRequest = { from: insider, to, callId, via };
      // The branch is that of its first INVITE: a CANCEL for it names the right one or none.
      const proof = raw.prove(insider, 'INVITE', request);
      const ringMs = random() * 100;
      for (let index = 0; index < 10; index++) {
        await sleep(ringMs / 10);
        raw.send(raw.request('CANCEL', { ...request, cseq: 1 + (index % 3) }));
        raw.send(raw.request('ACK', { ...request, cseq: 2, toTag: token() }));
      }
      const routes = (await soon(proof))?.all('Record-Route').toReversed() ?? [];
      const inDialog = {
        ...request,
        via: undefined,
        toTag: 'callee',
        headers: [`Route: ${routes.join(', ')}`],
      };
      for (const method of ['INFO', 'UPDATE', 'INVITE', 'BYE', 'BYE'] as const) {
        const { via: _via, ...more } = inDialog;
        if (routes.length > 0) raw.send(raw.request(method, { ...more, cseq: 3 }));
      }
      await sleep(20);
      setTimeout(() => void raw.end(), 1_000);
      return 22;
    },
    end: () => {},
  });
};

/** Proved once, sent again and again, from there and from elsewhere. */
const replay: Make = async (target) => {
  const { insider } = target;
  const raw = await RawSip.udp(target.udpPort, anyAddress(target.random));
  const other = await RawSip.udp(target.udpPort, anyAddress(target.random));
  const sent: string[] = [];
  const { request } = raw;
  raw.request = (method, parts) => {
    const text = request.call(raw, method, parts);
    sent.push(text);
    return text;
  };
  await soon(raw.register(insider));
  await soon(raw.prove(insider, 'OPTIONS', { from: insider, to: insider }));
  return {
    name: 'what was proved once, again',
    round: async () => {
      for (const text of sent) {
        raw.send(text);
        const again = text.replace(/branch=[^;]*/, `branch=z9hG4bK${token()}`);
        raw.send(again);
        other.send(again.replace(/CSeq: 2/, 'CSeq: 9'));
      }
      raw.received.length = 0;
      other.received.length = 0;
      await sleep(50);
      return sent.length * 3;
    },
    end: () => {
      void raw.end();
      void other.end();
    },
  };
};

const attacks: readonly Make[] = [
  torture,
  mutations,
  huge,
  slow,
  churn,
  sources,
  stun,
  credentials,
  registrations,
  calls,
  replay,
  datagramFlood('answers to nobody', responseText),
  datagramFlood('CANCEL', () => textOf('CANCEL')),
  datagramFlood('ACK', ({ random }) => textOf('ACK', random() < 0.5 ? { toTag: token() } : {})),
  datagramFlood('REGISTER of strangers', ({ random, victims }) => {
    const user = pick(random, [...victims, token()]);
    return textOf('REGISTER', { uri: `sip:${DOMAIN}`, from: user, to: user });
  }),
  datagramFlood('INVITE of strangers', ({ random, victims }) =>
    textOf('INVITE', { from: token(), to: pick(random, victims) }),
  ),
  datagramFlood('requests of dialogs that are none', ({ random }) =>
    textOf(pick(random, [...METHODS, ...MORE_METHODS]), {
      toTag: token(),
      headers: random() < 0.5 ? [`Route: <sip:${token()}${token()}@127.0.0.1;lr>`] : [],
    }),
  ),
];

/** All of them, ready for their first round. */
export function makeAttacks(target: AttackTarget): Promise<Attack[]> {
  return Promise.all(attacks.map((make) => make(target)));
}
