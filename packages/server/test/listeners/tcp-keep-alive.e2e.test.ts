/** Real sockets: whether keepalives are on is asked of the host, which is who sends them. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { applyTcpKeepAlive } from '../../src/listeners/tcp-keep-alive.js';
import type { IClientOptions } from 'mqtt';
import { startLines } from '../../src/lines/index.js';
import {
  configOf,
  connackBytes,
  connectClient,
  connectPacket,
  listener,
  RawClient,
  startTestServer,
  temporaryDirectory,
} from './harness.js';

const isLinux = process.platform === 'linux';
const hasPerl = spawnSync('perl', ['-MSocket', '-e', '0']).status === 0;
const hasPython = spawnSync('python3', ['-ISc', 'import socket']).status === 0;
const hasProgram = isLinux && (hasPerl || hasPython);
const hasNamespaces = spawnSync('unshare', ['-rn', 'ip', 'link', 'set', 'lo', 'up']).status === 0;
const run = promisify(execFile);

/** The timer of an accepted socket in the host's table: its kind (`01` waits for an acknowledgement, `02` is the keepalive's), and in how many s it fires. */
function timerOf(localPort: number, remotePort: number): { readonly kind: string; readonly seconds: number } {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(
      ([, local, remote]) => local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
    );
  assert.ok(row !== undefined, 'the connection is in the table');
  const [kind, ticks] = row[5]!.split(':') as [string, string];
  return { kind, seconds: Number.parseInt(ticks, 16) / 100 };
}

/** In how many s the keepalive timer fires; undefined: it does not run. */
function keepAliveTimer(localPort: number, remotePort: number): number | undefined {
  const { kind, seconds } = timerOf(localPort, remotePort);
  return kind === '02' ? seconds : undefined;
}

/** The same, once nothing waits for an acknowledgement any more: there is one timer for both. */
async function idleTimer(localPort: number, remotePort: number): Promise<number | undefined> {
  while (timerOf(localPort, remotePort).kind === '01') await sleep(5);
  return keepAliveTimer(localPort, remotePort);
}

/** SO_KEEPALIVE, idle time and interval, s, count, and TCP_USER_TIMEOUT, ms, as the host has them. */
function optionsOf(socket: Socket): string {
  const script =
    'use Socket qw(SOL_SOCKET SO_KEEPALIVE IPPROTO_TCP TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT);' +
    'open(my $s, "+<&=", 3); print join(",", map { unpack("i", getsockopt($s, $_->[0], $_->[1])) }' +
    '([SOL_SOCKET, SO_KEEPALIVE], [IPPROTO_TCP, TCP_KEEPIDLE], [IPPROTO_TCP, TCP_KEEPINTVL], [IPPROTO_TCP, TCP_KEEPCNT], [IPPROTO_TCP, 18]))';
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
  return spawnSync('perl', ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', handle.fd],
  }).stdout.toString();
}

/** A listening server and, when asked, the two ends of a connection to it. */
async function listening(t: TestContext) {
  const accepted: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return {
    server,
    accept: async (): Promise<{ socket: Socket; timer: number | undefined }> => {
      const client = connect(port, '127.0.0.1');
      t.after(() => client.destroy());
      if (accepted.length === 0) await once(server, 'connection');
      const socket = accepted.shift()!;
      t.after(() => socket.destroy());
      return { socket, timer: keepAliveTimer(port, socket.remotePort!) };
    },
  };
}

/** A device that is connected, and its connection's timer at the server. */
async function device(t: TestContext, url: string, properties: IClientOptions['properties'] = {}) {
  const client = await connectClient(t, url, {
    clientId: 'phone',
    protocolVersion: 5,
    keepalive: 0,
    rejectUnauthorized: false,
    clean: false,
    properties: { sessionExpiryInterval: 3_600, ...properties },
  });
  const { localPort } = client.stream as Socket;
  return { client, timer: () => idleTimer(Number(new URL(url).port), localPort!) };
}

/** Of a server whose connections are probed after 60 s. */
async function gapIsKept(t: TestContext, url: string): Promise<void> {
  const { client, timer } = await device(t, url);
  const isBetween = async (min: number, max: number): Promise<void> => {
    const seconds = await timer();
    assert.ok(seconds !== undefined && seconds > min && seconds <= max, `the timer fires in ${seconds} s`);
  };
  await isBetween(7, 60);
  await client.publishAsync('$line/state', '{"state":"asleep","gap":7000}', { qos: 1 });
  await isBetween(0, 7);
  await client.publishAsync('$line/state', '{"state":"asleep","gap":17900}', { qos: 1 });
  await isBetween(7, 17);
  await client.publishAsync('$line/state', '{"state":"asleep"}', { qos: 1 });
  await isBetween(17, 60);
  const canary = await device(t, url, { userProperties: { 'wakeline-canary': '5000' } });
  // The option is set behind the CONNACK.
  const answered = new Promise((resolve) => canary.client.once('packetreceive', resolve));
  canary.client.sendPing();
  await answered;
  assert.equal(await canary.timer(), undefined);
  await isBetween(17, 60);
}

/** A machine that does much else takes long to start a program. */
const programMsMax = 60_000;
const options = { idleMs: 240_000, intervalMs: 30_000, countMax: 5, programMsMax };
const patient = { limits: { tcpKeepAliveProgramMsMax: programMsMax } };

describe('TCP keepalives', { skip: !isLinux && 'the table of connections is Linux' }, () => {
  it(
    '[MQ-7] are inherited by accepted connections with idle time, interval and count',
    { skip: !hasPerl },
    async (t) => {
      const { server, accept } = await listening(t);
      assert.equal((await accept()).timer, undefined);
      assert.equal((await applyTcpKeepAlive(server, options)).way, 'inherited');
      const { socket, timer } = await accept();
      assert.ok(timer !== undefined && timer > 200 && timer <= 240, `the timer fires in ${timer} s`);
      // What Node sets on its own sockets later leaves them alone.
      socket.setNoDelay(true);
      socket.setTimeout(1_000_000);
      assert.equal(optionsOf(socket), '1,240,30,5,390000');
    },
  );

  it(
    '[KA-23] of one connection: after another silence, never, and as usual again; nothing ends by a count of probes',
    { skip: !hasPerl },
    async (t) => {
      const { server, accept } = await listening(t);
      const { probe } = await applyTcpKeepAlive(server, options);
      const { socket } = await accept();
      probe(socket, 170_000);
      assert.match(optionsOf(socket), /^1,170,.*,390000$/);
      probe(socket, 'never');
      assert.match(optionsOf(socket), /^0,.*,390000$/);
      probe(socket, 'usual');
      assert.match(optionsOf(socket), /^1,240,.*,390000$/);
      const fresh = (await accept()).socket;
      probe(fresh, 'never');
      assert.match(optionsOf(fresh), /^0,/);
    },
  );

  it(
    '[KA-23] an outage longer than ten probes ends no connection that has a gap',
    { skip: (!hasProgram || !hasNamespaces) && 'network namespaces are not to be had', timeout: 180_000 },
    async () => {
      const child = join(import.meta.dirname, 'outage-child.js');
      const { stdout, stderr } = await run('unshare', ['-rn', process.execPath, child], { timeout: 170_000 });
      assert.equal(stderr, '');
      const { withGap, byNodeAlone } = JSON.parse(stdout) as { withGap: string; byNodeAlone: string };
      assert.deepEqual([withGap, byNodeAlone], ['open, and the next byte came', 'ETIMEDOUT']);
    },
  );

  it('[MQ-7] a program that is not there, fails or hangs is passed over; without any they stay off', async (t) => {
    const { server, accept } = await listening(t);
    const bad = [
      { command: '/nowhere/at/all', arguments: [] },
      { command: process.execPath, arguments: ['-e', 'process.exit(3)'] },
      { command: process.execPath, arguments: ['-e', 'setInterval(() => {}, 1000)'] },
    ];
    const limited = { ...options, programMsMax: 1_000 };
    const { way, apply } = await applyTcpKeepAlive(server, limited, bad);
    const { socket, timer } = await accept();
    assert.equal(timer, undefined);
    apply(socket);
    const { port } = server.address() as AddressInfo;
    const isOn = keepAliveTimer(port, socket.remotePort!) !== undefined;
    assert.equal(isOn, way === 'each');
    // Node has its own way from the version on in which this function has four parameters.
    assert.equal(way, socket.setKeepAlive.length < 4 ? 'off' : 'each');
  });

  it('[MQ-7] python does what perl does', { skip: !hasPython }, async (t) => {
    const { server, accept } = await listening(t);
    const { programs } = await import('../../src/listeners/tcp-keep-alive.js');
    const python = programs.filter(({ command }) => command === 'python3');
    assert.equal((await applyTcpKeepAlive(server, options, python)).way, 'inherited');
    const { timer } = await accept();
    assert.ok(timer !== undefined && timer > 200 && timer <= 240, `the timer fires in ${timer} s`);
  });

  const mqtt = { tcpKeepAliveMs: 60_000 };

  for (const protocol of ['mqtt', 'mqtts'] as const) {
    it(`[MQ-7] are on for ${protocol}, and told in the metrics`, { skip: !hasProgram }, async (t) => {
      const listeners = [listener(protocol), listener('http')];
      const server = await startTestServer(t, { listeners, mqtt: mqtt as never }, patient);
      const port = server.port(protocol);
      const socket =
        protocol === 'mqtt'
          ? connect(port, '127.0.0.1')
          : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
      t.after(() => socket.destroy());
      socket.write(connectPacket('phone'));
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      assert.deepEqual(bytes, connackBytes);
      const timer = await idleTimer(port, socket.localPort!);
      assert.ok(timer !== undefined && timer <= 60, `the timer fires in ${timer} s`);
      const metrics = await (await fetch(`${server.url('http')}/metrics`)).text();
      assert.match(metrics, /^wakeline_tcp_keep_alive_listeners 1$/m);
    });
  }

  for (const protocol of ['mqtt', 'mqtts'] as const) {
    it(
      `[KA-20] [KA-23] ${protocol}: a device names its gap and takes it back; a canary has none`,
      { skip: !hasProgram },
      async (t) => {
        const config = { listeners: [listener(protocol)], mqtt: mqtt as never };
        const server = await startTestServer(t, config, patient);
        await gapIsKept(t, server.url(protocol));
      },
    );
  }

  it('[KA-20] [KA-23] behind line processes, too', { skip: !hasProgram, timeout: 300_000 }, async (t) => {
    const config = { lines: 2, mqtt: mqtt as never };
    const server = await startLines(configOf(await temporaryDirectory(t), config));
    try {
      await gapIsKept(t, server.addresses.find(({ protocol }) => protocol === 'mqtt')!.url);
    } finally {
      await server.stop();
    }
  });

  it('[KA-23] a gap where keepalives are off, or behind a proxy, is taken and does nothing', async (t) => {
    for (const config of [{ mqtt: mqtt as never, behindProxy: ['192.0.2.1'] }, { mqtt: {} as never }]) {
      const server = await startTestServer(t, config);
      const { client, timer } = await device(t, server.url('mqtt'));
      await client.publishAsync('$line/state', '{"state":"asleep","gap":7000}', { qos: 1 });
      assert.equal(await timer(), undefined);
    }
  });

  it('[MQ-7] are off behind a proxy and when turned off', async (t) => {
    const listeners = [listener('mqtt'), listener('http')];
    for (const config of [
      { mqtt: mqtt as never, behindProxy: ['192.0.2.1'] },
      { mqtt: { tcpKeepAliveMs: undefined } as never },
    ]) {
      const server = await startTestServer(t, { listeners, ...config });
      const port = server.port('mqtt');
      const client = await RawClient.connect(t, port);
      client.socket.write(connectPacket('phone'));
      assert.deepEqual(await client.take(4), connackBytes);
      assert.equal(await idleTimer(port, client.socket.localPort!), undefined);
      const metrics = await (await fetch(`${server.url('http')}/metrics`)).text();
      assert.match(metrics, /^wakeline_tcp_keep_alive_listeners 0$/m);
    }
  });

  it(
    '[MQ-6] a probe is no sign of life; a longer silence is allowed where probes are sent',
    { skip: !hasProgram },
    async (t) => {
      const silent = async (config: object): Promise<number> => {
        const server = await startTestServer(t, { mqtt: { tcpKeepAliveMs: 1_000, ...config } as never });
        const client = await RawClient.connect(t, server.port('mqtt'));
        const startMs = performance.now();
        client.socket.write(connectPacket('phone', 4, 1));
        assert.deepEqual(await client.take(4), connackBytes);
        await client.closed;
        return performance.now() - startMs;
      };
      // Both end: the first by its keep alive although it was probed. The sweep comes once a second.
      assert.ok((await silent({})) >= 1_450);
      assert.ok((await silent({ silenceMsMax: 4_000 })) >= 3_950);
    },
  );
});
