/**
 * Everything that should not be sent, to a real server: malformed, oversized, slow, of another protocol, or nothing
 * at all. Meanwhile and afterwards an ordinary device is served, memory stays bounded and the log has no stack trace.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LedgerClient } from './ledger-client.js';
import { PATIENCE_MS, Program, residentMiB, startWakeline, wakeline } from './program.js';
import { sleep, temporaryDirectory, until } from './support.js';

/** A generous bound: the largest that was seen is below half of it. */
const RESIDENT_MIB_MAX = 400;
const SILENT_CONNECTIONS = 10_000;
const SLOW_CONNECTIONS = 50;

const directory = temporaryDirectory('wakeline-bad-input');
let server: Program;
let mqttPort: number;
let httpPort: number;
let httpUrl: string;
let ordinary: LedgerClient;
let pulse: Pulse;

before(async () => {
  const listen = ['--listen', 'mqtt://127.0.0.1:0', '--listen', 'http://127.0.0.1:0'];
  const started = await startWakeline(['--data', join(directory.path, 'data'), ...listen], {
    env: { WAKELINE_MQTT_CONNECT_TIMEOUT: '2s' },
  });
  server = started.server;
  mqttPort = Number(started.urls[0].port);
  httpPort = Number(started.urls[1].port);
  httpUrl = started.urls[1].origin;
  ordinary = new LedgerClient('ordinary', mqttPort);
  assert(await ordinary.connect());
  await ordinary.subscribe([{ filter: 'pulse', qos: 1 }]);
  pulse = new Pulse(ordinary);
});

after(async () => {
  pulse?.stop();
  ordinary?.destroy();
  await server?.end();
  directory.remove();
});

/** An ordinary device that publishes to itself all the time. */
class Pulse {
  readonly #client: LedgerClient;
  readonly #timer: NodeJS.Timeout;
  #next = 0;

  constructor(client: LedgerClient) {
    this.#client = client;
    this.#timer = setInterval(() => client.publish('pulse', `beat ${this.#next++}`, 1), 50);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Everything published so far is acknowledged and has come back, on the connection of the beginning. */
  async check(): Promise<void> {
    const { sent, received } = this.#client;
    const count = sent.length;
    await until(
      () => received.length >= count && sent.slice(0, count).every(({ isAccepted }) => isAccepted),
      PATIENCE_MS,
      () => `${received.length} of ${count} beats came back; connected: ${this.#client.isConnected}`,
    );
    assert.equal(this.#client.connection, 1);
    assert.equal(this.#client.fault, undefined);
    assert(server.isRunning, server.stderr);
  }
}

// ---- bytes ------------------------------------------------------------------------------------------------------

function bytes(...parts: readonly (number | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part as string))),
  );
}

/** Two bytes of length and the text. */
function text(value: string | Uint8Array): Buffer {
  const content = Buffer.from(value as string);
  return bytes(content.length >> 8, content.length & 255, content);
}

/** A variable byte integer. */
function varint(value: number): Buffer {
  const digits: number[] = [];
  do {
    digits.push((value % 128) | (value >= 128 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Buffer.from(digits);
}

function packet(first: number, ...parts: readonly (number | string | Uint8Array)[]): Buffer {
  const body = bytes(...parts);
  return bytes(first, varint(body.length), body);
}

const connect4 = (id: string | Uint8Array, flags = 2): Buffer =>
  packet(0x10, text('MQTT'), 4, flags, 0, 60, text(id));
const connect5 = (id: string, properties: Uint8Array = Buffer.alloc(0)): Buffer =>
  packet(0x10, text('MQTT'), 5, 2, 0, 60, varint(properties.length), properties, text(id));
const userProperty = bytes(0x26, text('k'.repeat(60_000)), text('v'.repeat(60_000)));
const manyProperties = Buffer.concat(Array.from({ length: 10_000 }, () => bytes(0x26, text('a'), text('b'))));
/** The first bytes of a TLS 1.2 ClientHello. */
const clientHello = bytes(0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, Buffer.alloc(505, 7));

/** What the server has to end the connection for. */
const fatal: readonly (readonly [what: string, ...chunks: readonly Buffer[]])[] = [
  ['zero bytes', Buffer.alloc(64)],
  ['0xff bytes', Buffer.alloc(64, 0xff)],
  ['a TLS ClientHello', clientHello],
  ['an HTTP request', bytes('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['a SIP request', bytes('OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\n\r\n')],
  ['PUBLISH before CONNECT', packet(0x30, text('t'), 'x')],
  ['PINGREQ before CONNECT', bytes(0xc0, 0)],
  ['DISCONNECT before CONNECT', bytes(0xe0, 0)],
  ['a remaining length of five bytes', bytes(0x10, 0xff, 0xff, 0xff, 0xff, 1)],
  ['CONNECT of another protocol', packet(0x10, text('HTTP'), 4, 2, 0, 60, text('a'))],
  ['CONNECT of version 9', packet(0x10, text('MQTT'), 9, 2, 0, 60, text('a'))],
  ['CONNECT with the reserved flag', connect4('a', 3)],
  ['CONNECT with will QoS 3', packet(0x10, text('MQTT'), 4, 0x1e, 0, 0, text('a'), text('w'), text('x'))],
  ['CONNECT with a password alone', packet(0x10, text('MQTT'), 4, 0x42, 0, 0, text('a'), text('p'))],
  ['CONNECT that ends early', packet(0x10, text('MQTT'), 4, 2, 0, 60, 0, 200, 'a')],
  ['CONNECT with bytes behind its end', packet(0x10, text('MQTT'), 4, 2, 0, 60, text('a'), 'more')],
  ['a client id that is not UTF-8', connect4(Buffer.of(0xc3, 0x28))],
  ['a client id with a surrogate', connect4(Buffer.of(0xed, 0xa0, 0x80))],
  ['a client id with U+0000', connect4('a\u0000b')],
  ['CONNECT with a property twice', connect5('a', bytes(0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1))],
  ['CONNECT with an unknown property', connect5('a', bytes(0x7f, 1))],
  ['CONNECT with a Receive Maximum of 0', connect5('a', bytes(0x21, 0, 0))],
  ['CONNECT with properties beyond its end', packet(0x10, text('MQTT'), 5, 2, 0, 60, 0x7f, text('a'))],
  ['a CONNECT of 256 MiB', bytes(0x10, 0xff, 0xff, 0xff, 0x7f, text('MQTT'))],
  ['two CONNECTs', connect4('two'), connect4('two')],
  ['CONNACK from a client', connect4('a'), bytes(0x20, 2, 0, 0)],
  ['packet type 0', connect4('a'), bytes(0, 0)],
  ['AUTH in MQTT 3.1.1', connect4('a'), bytes(0xf0, 0)],
  ['a PUBLISH of 256 MiB', connect4('a'), bytes(0x30, 0xff, 0xff, 0xff, 0x7f, Buffer.alloc(70_000))],
  ['a PUBLISH one byte too large', connect4('a'), bytes(0x30, varint(1_088 * 1_024), Buffer.alloc(70_000))],
  ['PUBLISH with QoS 3', connect4('a'), packet(0x36, text('t'), 0, 1, 'x')],
  ['PUBLISH with packet id 0', connect4('a'), packet(0x32, text('t'), 0, 0, 'x')],
  ['PUBLISH to a filter', connect4('a'), packet(0x30, text('t/#'), 'x')],
  ['PUBLISH without a topic', connect4('a'), packet(0x30, text(''), 'x')],
  ['PUBLISH to invalid UTF-8', connect4('a'), packet(0x30, text(Buffer.of(0xff, 0xfe)), 'x')],
  ['PUBLISH whose topic ends behind it', connect4('a'), packet(0x30, 255, 255, 'x')],
  ['PUBLISH with an unknown alias', connect5('a'), packet(0x30, text(''), 3, 0x23, 0, 9)],
  ['PUBLISH with alias 0', connect5('a'), packet(0x30, text('t'), 3, 0x23, 0, 0)],
  ['SUBSCRIBE with wrong flags', connect4('a'), packet(0x80, 0, 1, text('t'), 0)],
  ['SUBSCRIBE without filters', connect4('a'), packet(0x82, 0, 1)],
  ['SUBSCRIBE with packet id 0', connect4('a'), packet(0x82, 0, 0, text('t'), 0)],
  ['SUBSCRIBE with QoS 3', connect4('a'), packet(0x82, 0, 1, text('t'), 3)],
  ['SUBSCRIBE with half a filter', connect4('a'), packet(0x82, 0, 1, 0, 9, 't')],
  ['UNSUBSCRIBE without filters', connect4('a'), packet(0xa2, 0, 1)],
  ['PUBREL with wrong flags', connect4('a'), packet(0x60, 0, 1)],
  ['PINGREQ with a body', connect4('a'), packet(0xc0, 1, 2, 3)],
  ['DISCONNECT with wrong flags', connect4('a'), bytes(0xe1, 0)],
  ['SUBSCRIBE with subscription id 0', connect5('a'), packet(0x82, 0, 1, 2, 0x0b, 0, text('t'), 0)],
];

/** What the server may refuse in its answer, but has to live with: a PINGREQ behind it is answered, or it says goodbye. */
const tolerated: readonly (readonly [what: string, ...chunks: readonly Buffer[]])[] = [
  ['a topic of 65,535 bytes', connect5('b'), packet(0x32, text('t'.repeat(65_535)), 0, 1, 0, 'x')],
  ['a topic of 32,767 levels', connect5('b'), packet(0x32, text('a/'.repeat(32_767)), 0, 1, 0, 'x')],
  ['a filter of 32,767 levels', connect5('b'), packet(0x82, 0, 1, 0, text('+/'.repeat(32_767)), 1)],
  ['a filter of 65,535 bytes', connect5('b'), packet(0x82, 0, 1, 0, text('f'.repeat(65_535)), 1)],
  [
    '10,000 filters in one SUBSCRIBE',
    connect5('b'),
    packet(0x82, 0, 1, 0, ...Array.from({ length: 10_000 }, (_, index) => bytes(text(`many/${index}`), 1))),
  ],
  [
    'a user property of 120,000 bytes',
    connect5('b'),
    packet(0x32, text('t'), 0, 1, varint(userProperty.length), userProperty, 'x'),
  ],
  [
    '10,000 user properties',
    connect5('b'),
    packet(0x32, text('t'), 0, 1, varint(manyProperties.length), manyProperties, 'x'),
  ],
  ['10,000 user properties of CONNECT', connect5('b', manyProperties)],
  ['PUBACK for nothing', connect4('b'), packet(0x40, 0, 9)],
  ['PUBREL for nothing', connect4('b'), packet(0x62, 0, 9)],
  [
    'a QoS 1 publication 10,000 times',
    connect4('b'),
    Buffer.concat(Array.from({ length: 10_000 }, () => packet(0x32, text('t'), 0, 1, 'x'))),
  ],
];

/** Sends the first chunk, the others when it is answered, and resolves with all bytes until the close. */
async function converse(
  port: number,
  chunks: readonly Buffer[],
  isOver: (all: Buffer) => boolean,
): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  let all = Buffer.alloc(0);
  let isClosed = false;
  socket.on('error', () => {});
  socket.on('data', (chunk) => (all = Buffer.concat([all, chunk])));
  socket.once('close', () => (isClosed = true));
  await once(socket, 'connect');
  for (const [index, chunk] of chunks.entries()) {
    const length = all.length;
    socket.write(chunk);
    if (index > 0 || chunks.length === 1) continue;
    await until(
      () => isClosed || all.length > length,
      PATIENCE_MS,
      () => 'an answer',
    );
  }
  await until(
    () => isClosed || isOver(all),
    PATIENCE_MS,
    () => `the end of the connection; the server answered ${all.subarray(0, 40).toString('hex')}`,
  );
  socket.destroy();
  return all;
}

describe('a server under bad input', () => {
  test('[MQTT5 4.13.1-1] [MQTT3 4.8.0-1] ends the connection on malformed and forbidden packets at every stage', async () => {
    for (const [what, ...chunks] of fatal)
      await converse(mqttPort, chunks, () => false).catch((error: unknown) =>
        assert.fail(`${what}: ${String(error)}`),
      );
    await pulse.check();
  });

  test('[MQTT5 4.13.1-1] [MQTT3 4.8.0-1] ends the connection when the malformed packet comes byte by byte', async () => {
    await Promise.all(
      fatal.map(async ([what, ...chunks]) => {
        // Large ones are told by their head.
        const all = Buffer.concat(chunks.map((chunk) => chunk.subarray(0, 300)));
        const socket = connect(mqttPort, '127.0.0.1').setNoDelay(true);
        socket.on('error', () => {});
        socket.resume();
        let isClosed = false;
        socket.once('close', () => (isClosed = true));
        // What is written before leaves in one piece.
        await once(socket, 'connect');
        for (const byte of all) {
          if (isClosed) break;
          socket.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        await until(
          () => isClosed,
          PATIENCE_MS,
          () => `${what}: the connection ends`,
        );
      }),
    );
    await pulse.check();
  });

  test('lives with packets that are legal and huge, and refuses them in its answer', async () => {
    for (const [what, ...chunks] of tolerated) {
      const ping = bytes(0xc0, 0);
      const answer = await converse(mqttPort, [...chunks, ping], (all) =>
        all.includes(Buffer.of(0xd0, 0)),
      ).catch((error: unknown) => assert.fail(`${what}: ${String(error)}`));
      assert.equal(answer[0], 0x20, `${what}: CONNACK first`);
    }
    await pulse.check();
  });

  test('takes garbage from a seeded generator, after CONNECT and before it', async () => {
    let state = 0x9e3779b9;
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    };
    const rounds = Array.from({ length: 300 }, (_, index) => ({
      garbage: Buffer.from(Array.from({ length: 400 }, random)),
      isConnected: index % 2 === 0,
    }));
    for (let start = 0; start < rounds.length; start += 50) {
      await Promise.all(
        rounds.slice(start, start + 50).map(async ({ garbage, isConnected }, index) => {
          const socket = connect(mqttPort, '127.0.0.1');
          socket.on('error', () => {});
          socket.resume();
          if (isConnected) socket.write(connect5(`garbage${index}`));
          socket.end(garbage);
          await once(socket, 'close');
        }),
      );
    }
    await pulse.check();
  });

  test('ends a CONNECT, HTTP headers and an HTTP body that come drop by drop, in time', async () => {
    const hello = connect4('x'.repeat(60_000));
    const head = bytes('GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ', 'x'.repeat(15_000));
    const post = bytes(
      'POST /v1/topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n',
      'Content-Length: 1000\r\n\r\nbegin',
    );
    const many = Array.from({ length: SLOW_CONNECTIONS });
    const [answer] = await Promise.all([
      converseWithin(httpPort, post, 2 * PATIENCE_MS),
      ...many.map(() => dribble(mqttPort, hello, 50)),
      ...many.map(() => dribble(httpPort, head, 100)),
    ]);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    await pulse.check();
  });

  test('answers what is no HTTP, and bad HTTP, with an error and a close', async () => {
    const line = 'POST /v1/topics/t/messages HTTP/1.1\r\nHost: localhost\r\n';
    const cases: readonly (readonly [string, Buffer])[] = [
      ['MQTT', connect4('a')],
      ['TLS', clientHello],
      ['zero bytes', Buffer.alloc(64)],
      ['no version', bytes('GET /\r\n\r\n')],
      ['an unknown method', bytes('BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
      ['a header without a name', bytes('GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n')],
      ['headers of 64 KiB', bytes(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(65_536)}\r\n\r\n`)],
      ['two lengths', bytes(`${line}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`)],
      ['length and chunks', bytes(`${line}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)],
      ['a bad chunk', bytes(`${line}Transfer-Encoding: chunked\r\n\r\nzz\r\n`)],
      ['a negative length', bytes(`${line}Content-Length: -1\r\n\r\n`)],
      ['a folded header', bytes('GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\u0000\r\n\r\n')],
    ];
    for (const [what, request] of cases) {
      const answer = await converseWithin(httpPort, request, PATIENCE_MS).catch((error: unknown) =>
        assert.fail(`${what}: ${String(error)}`),
      );
      assert.match(answer, /^HTTP\/1\.1 4\d\d /, what);
    }
    await pulse.check();
  });

  test('answers bad requests with 4xx and a code', async () => {
    const deep = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    const messages = '/v1/devices/d/messages';
    const cases: readonly (readonly [
      what: string,
      path: string,
      body: string | Uint8Array,
      type?: string,
    ])[] = [
      ['JSON 100 deep', messages, deep(100)],
      ['JSON 100,000 deep', messages, deep(100_000)],
      ['arrays 100,000 deep', messages, '['.repeat(100_000)],
      ['deep properties', messages, `{"body":"x","properties":${deep(100)}}`],
      ['half JSON', messages, '{"body":'],
      ['JSON that is not UTF-8', messages, bytes('{"body":"', Buffer.of(0xff, 0xfe), '"}')],
      ['JSON that is a number', messages, '7'],
      ['__proto__', messages, '{"__proto__":{"body":"x"},"body":"x"}'],
      ['an unknown key', messages, '{"body":"x","boddy":"y"}'],
      ['a wrong type', messages, '{"body":{"a":1}}'],
      ['a TTL without sense', messages, '{"body":"x","ttl":"soon"}'],
      ['a negative TTL', messages, '{"body":"x","ttl":-1}'],
      ['a TTL beyond numbers', messages, '{"body":"x","ttl":1e400}'],
      ['bad base64', messages, '{"bodyBase64":"§§"}'],
      ['a body of 2 MiB', messages, 'x'.repeat(2 << 20), 'text/plain'],
      ['a path that is not UTF-8', '/v1/topics/%FF/messages', 'x', 'text/plain'],
      ['a path with half an escape', '/v1/topics/%Z/messages', 'x', 'text/plain'],
      ['a topic with U+0000', '/v1/topics/a%00b/messages', 'x', 'text/plain'],
      ['a topic with wildcards', '/v1/topics/a%2F%23/messages', 'x', 'text/plain'],
      ['a topic too deep', `/v1/topics/${'a%2F'.repeat(3_000)}/messages`, 'x', 'text/plain'],
      ['a device id with a wildcard', '/v1/devices/%23/messages', 'x', 'text/plain'],
      ['a device id of 10,000 bytes', `/v1/devices/${'d'.repeat(10_000)}/messages`, 'x', 'text/plain'],
      ['an unknown query', `${messages}?nope=1`, 'x', 'text/plain'],
      ['properties of 120,000 bytes', messages, `{"body":"","properties":{"k":"${'v'.repeat(120_000)}"}}`],
      [
        '100,000 messages at once',
        '/v1/messages',
        `{"messages":[${'{"device":"d"},'.repeat(99_999)}{"device":"d"}]}`,
      ],
      ['a route that is not there', '/v1/nothing', '{}'],
    ];
    // The device is there: what is refused is the request, not its recipient.
    const device = new LedgerClient('d', mqttPort);
    assert(await device.connect());
    await device.subscribe([{ filter: 't', qos: 1 }]);
    device.destroy();
    for (const [what, path, body, type] of cases) {
      const response = await fetch(httpUrl + path, {
        method: 'POST',
        headers: { 'content-type': type ?? 'application/json' },
        body,
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const answer = await response.text();
      assert(response.status >= 400 && response.status < 500, `${what}: ${response.status} ${answer}`);
      const { error } = JSON.parse(answer) as { error: { code: string; message: string } };
      assert.match(error.code, /^[a-z-]+$/, what);
      assert.doesNotMatch(answer, /\n\s+at |node:|\.js:/, `${what}: no insides`);
    }
    await pulse.check();
  });

  test('serves an ordinary device while 10,000 connections say nothing', async (t) => {
    const script = fileURLToPath(new URL('./silent-connections.js', import.meta.url));
    const silent = new Program(process.execPath, [
      script,
      String(mqttPort),
      String(SILENT_CONNECTIONS),
      '500',
    ]);
    try {
      const said = await silent.line(/^opened /);
      const { now } = residentMiB(server.pid);
      t.diagnostic(`${said}; the server has ${now} MiB`);
      await pulse.check();
      const newcomer = new LedgerClient('newcomer', mqttPort);
      assert(await newcomer.connect(), 'another device gets in');
      newcomer.publish('anything', 'x', 1);
      await until(
        () => newcomer.open.size === 0,
        PATIENCE_MS,
        () => 'PUBACK for the newcomer',
      );
      newcomer.destroy();
      await until(
        () => descriptors() < 200,
        PATIENCE_MS,
        () => `the silent connections are closed; ${descriptors()} descriptors are open`,
      );
    } finally {
      await silent.end();
    }
    await pulse.check();
  });

  test('in the end has bounded memory, a log without stack traces, and leaves in good order', async (t) => {
    await pulse.check();
    pulse.stop();
    const { now, highest } = residentMiB(server.pid);
    t.diagnostic(`resident memory: ${now} MiB, at its highest ${highest} MiB`);
    process.stdout.write(`bad input: resident memory ${now} MiB, at its highest ${highest} MiB\n`);
    assert(highest < RESIDENT_MIB_MAX, `${highest} MiB`);
    ordinary.destroy();
    const end = await server.end('SIGTERM');
    assert.equal(end.code, 0, end.stderr);
    assert.doesNotMatch(end.stderr, /"stack"|\\n\s+at |\n\s+at |Uncaught|"level":"(error|fatal)"/);
  });
});

/** Descriptors that the server has open. */
function descriptors(): number {
  return readdirSync(`/proc/${server.pid}/fd`).length;
}

/** Sends a byte now and then until the server ends the connection. */
async function dribble(port: number, all: Buffer, everyMs: number): Promise<void> {
  const socket: Socket = connect(port, '127.0.0.1');
  let isClosed = false;
  socket.on('error', () => {});
  socket.resume().once('close', () => (isClosed = true));
  let index = 0;
  await until(
    async () => {
      if (!isClosed && index < all.length - 1) socket.write(all.subarray(index, ++index));
      await sleep(everyMs);
      return isClosed;
    },
    PATIENCE_MS,
    () => `the server ends a connection after ${index} bytes`,
  );
}

/** Sends all at once; resolves with the answer when the server closes. */
async function converseWithin(port: number, request: Buffer, timeoutMs: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  let isClosed = false;
  socket.on('error', () => {});
  socket.setEncoding('latin1').on('data', (chunk: string) => (answer += chunk));
  socket.once('close', () => (isClosed = true));
  socket.write(request);
  await until(
    () => isClosed,
    timeoutMs,
    () => `the connection ends; the server said ${answer.slice(0, 200)}`,
  );
  return answer;
}

describe('a command line that cannot be', () => {
  const refusals: readonly (readonly [
    what: string,
    args: readonly string[],
    code: number,
    message: RegExp,
  ])[] = [
    [
      'a public MQTT listener without TLS',
      ['up', '--listen', 'mqtt://0.0.0.0:18831'],
      2,
      /has no TLS; use mqtts:\/\/.*--behind-proxy.*127\.0\.0\.1.*--insecure/,
    ],
    [
      'a public HTTP listener without TLS',
      ['up', '--listen', 'http://[::]:18831'],
      2,
      /has no TLS; use https:\/\/.*--insecure/,
    ],
    ['an unknown option', ['up', '--lissten', 'x'], 2, /unknown option.*\n.*--listen/],
    ['an unknown command', ['sned'], 2, /unknown command.*\n.*send/],
    ['an unknown option of sleepbox', ['sleepbox', '--windw', '1s', '--', 'true'], 2, /--window/],
    ['a duration without a unit', ['sleepbox', '--window', '10', '--', 'true'], 2, /10s|duration/],
    ['a port that is none', ['up', '--listen', 'mqtt://127.0.0.1:99999'], 2, /99999/],
    ['a scheme that is none', ['up', '--listen', 'mqqt://127.0.0.1:1'], 2, /mqtt/],
  ];
  for (const [what, args, code, message] of refusals) {
    test(`${what} is refused with exit code ${code} and a way to go on`, async () => {
      const data = args[0] === 'up' ? ['--data', join(directory.path, 'refused')] : [];
      const program = wakeline([...args.slice(0, 1), ...data, ...args.slice(1)]);
      program.endInput();
      const end = await program.ended;
      assert.equal(end.code, code, end.stderr);
      assert.match(end.stderr, message);
      assert.doesNotMatch(end.stderr, /\n\s+at /);
    });
  }

  test('an unknown key or variable of the configuration is refused with its place and the nearest name', async () => {
    const file = join(directory.path, 'typo.yaml');
    writeFileSync(file, 'limits:\n  inboxMessageMax: 3\n');
    const program = wakeline(['up', '--config', file], { env: { WAKELINE_LISTN: 'x' } });
    const end = await program.ended;
    assert.equal(end.code, 2);
    assert.match(end.stderr, /typo\.yaml:2: limits\.inboxMessageMax: .*"inboxMessagesMax"/);
    assert.match(end.stderr, /WAKELINE_LISTN.*WAKELINE_LISTEN/);
  });

  test('a second server on the same data directory is refused with exit code 3, and names the first', async () => {
    const args = ['--data', join(directory.path, 'shared'), '--listen', 'mqtt://127.0.0.1:0'];
    const first = await startWakeline(args);
    try {
      const second = wakeline(['up', ...args]);
      const end = await second.ended;
      assert.equal(end.code, 3, end.stderr);
      assert.match(end.stderr, new RegExp(`process ${first.server.pid}\\b`));
      assert.equal(end.stdout, '');
    } finally {
      assert.equal((await first.server.end('SIGTERM')).code, 0);
    }
  });
});
