/** Real sockets: whether keepalives are on is asked of the host, which is who sends them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { applyTcpKeepAlive } from '../../src/listeners/tcp-keep-alive.js';
import { connackBytes, connectPacket, listener, RawClient, startTestServer } from './harness.js';

const isLinux = process.platform === 'linux';
const hasPerl = spawnSync('perl', ['-MSocket', '-e', '0']).status === 0;
const hasPython = spawnSync('python3', ['-ISc', 'import socket']).status === 0;
const hasProgram = isLinux && (hasPerl || hasPython);

/** The row of an accepted socket in the host's table: whether its keepalive timer runs, and in how many s it fires. */
function keepAliveTimer(localPort: number, remotePort: number): number | undefined {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, '0');
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(
      ([, local, remote]) => local?.endsWith(`:${hex(localPort)}`) && remote?.endsWith(`:${hex(remotePort)}`),
    );
  assert.ok(row !== undefined, 'the connection is in the table');
  const [kind, ticks] = row[5]!.split(':') as [string, string];
  return kind === '02' ? Number.parseInt(ticks, 16) / 100 : undefined;
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

const options = { idleMs: 240_000, intervalMs: 30_000, countMax: 5, programMsMax: 5_000 };

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
      const script =
        'use Socket qw(SOL_SOCKET SO_KEEPALIVE IPPROTO_TCP TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT);' +
        'open(my $s, "+<&=", 3); print join(",", map { unpack("i", getsockopt($s, $_->[0], $_->[1])) }' +
        '([SOL_SOCKET, SO_KEEPALIVE], [IPPROTO_TCP, TCP_KEEPIDLE], [IPPROTO_TCP, TCP_KEEPINTVL], [IPPROTO_TCP, TCP_KEEPCNT]))';
      const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
      const { stdout } = spawnSync('perl', ['-e', script], {
        stdio: ['ignore', 'pipe', 'inherit', handle.fd],
      });
      assert.equal(stdout.toString(), '1,240,30,5');
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
      const server = await startTestServer(t, { listeners, mqtt: mqtt as never });
      const port = server.port(protocol);
      const socket =
        protocol === 'mqtt'
          ? connect(port, '127.0.0.1')
          : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
      t.after(() => socket.destroy());
      socket.write(connectPacket('phone'));
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      assert.deepEqual(bytes, connackBytes);
      const timer = keepAliveTimer(port, socket.localPort!);
      assert.ok(timer !== undefined && timer <= 60, `the timer fires in ${timer} s`);
      const metrics = await (await fetch(`${server.url('http')}/metrics`)).text();
      assert.match(metrics, /^wakeline_tcp_keep_alive_listeners 1$/m);
    });
  }

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
      assert.equal(keepAliveTimer(port, client.socket.localPort!), undefined);
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
        client.socket.write(connectPacket('phone', 4, 1));
        assert.deepEqual(await client.take(4), connackBytes);
        const startMs = performance.now();
        await client.closed;
        return performance.now() - startMs;
      };
      // Both end: the first by its keep alive although it was probed. The sweep comes once a second.
      assert.ok((await silent({})) >= 1_450);
      assert.ok((await silent({ silenceMsMax: 4_000 })) >= 3_950);
    },
  );
});
