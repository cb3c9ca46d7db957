import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { SipInput, SipListener, SipOutput } from '@wakeline/core/session/sip';
import { RuntimeError } from '../../src/runtime/errors.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import type { FlowSocket } from '../../src/runtime/flow-socket.js';
import type { ListenerConfig, ServerConfig } from '../../src/config/config.js';
import { SocketConnector } from '../../src/listeners/sip-connector.js';
import { openUdpListener } from '../../src/listeners/udp-listener.js';
import { FakeLog } from '../runtime/fakes.js';
import {
  configOf,
  listener,
  RawClient,
  startTestServer,
  temporaryDirectory,
  tlsFiles,
} from '../listeners/harness.js';
import type { TestServer } from '../listeners/harness.js';

/** Repeats what it hears, with who said it, so that a test sees what the stack is told. */
class Echo implements Machine<SipInput, SipOutput> {
  readonly inputs: SipInput[] = [];
  readonly listeners: readonly SipListener[];
  readonly #outputs: SipOutput[] = [];
  readonly #remotes = new Map<number, string>();

  constructor(listeners: readonly SipListener[]) {
    this.listeners = listeners;
  }

  handleInput(_now: InstantMs, input: SipInput): void {
    this.inputs.push(input);
    switch (input.kind) {
      case 'connection-opened':
        this.#remotes.set(input.connection, `${input.transport} ${input.listener} ${input.remote.address}`);
        break;
      case 'bytes': {
        const text = `${this.#remotes.get(input.connection)!} ${Buffer.from(input.chunk).toString()}`;
        this.#outputs.push({ kind: 'write', connection: input.connection, bytes: Buffer.from(text) });
        break;
      }
      case 'datagram':
        this.#outputs.push({
          kind: 'send',
          listener: input.listener,
          remote: input.remote,
          bytes: input.bytes,
        });
        break;
      default:
    }
  }
  handleTimeout(): void {}
  pollOutput(): SipOutput | undefined {
    return this.#outputs.shift();
  }
  nextTimeoutMs(): number {
    return Infinity;
  }
}

/** Nobody is there to be refused. */
const quickLeave = { sipLeaveMs: 1 };

const sip: ServerConfig['sip'] = { ...configOf('').sip, domains: ['example.org'] };

async function startEcho(
  t: TestContext,
  config: Partial<ServerConfig>,
): Promise<{ readonly server: TestServer; readonly stack: Echo }> {
  let stack: Echo | undefined;
  const server = await startTestServer(
    t,
    { sip, ...config },
    { createSipStack: ({ listeners }) => (stack = new Echo(listeners)), limits: quickLeave },
  );
  assert.ok(stack !== undefined);
  return { server, stack };
}

async function said(client: RawClient, text: string): Promise<string> {
  client.socket.write(text);
  while (!client.received.includes('!') && !client.socket.destroyed) await once(client.socket, 'data');
  return client.received.toString();
}

describe('listeners of SIP', () => {
  it('tell the stack what they are, with the ports that were taken', async (t) => {
    const { server, stack } = await startEcho(t, {
      listeners: [
        listener('http'),
        { ...listener('sip+tcp'), advertised: { host: 'sip.example.org', port: 0 } },
        { ...listener('sip+udp'), advertised: { host: '203.0.113.7', port: 5_070 }, trunksOnly: true },
        { ...listener('sips'), host: '0.0.0.0' },
      ],
    });
    assert.deepEqual(stack.listeners, [
      { transport: 'ws', advertised: { host: '127.0.0.1', port: server.port('http') }, trunksOnly: false },
      {
        transport: 'tcp',
        advertised: { host: 'sip.example.org', port: server.port('sip+tcp') },
        trunksOnly: false,
      },
      { transport: 'udp', advertised: { host: '203.0.113.7', port: 5_070 }, trunksOnly: true },
      { transport: 'tls', advertised: { host: hostname(), port: server.port('sips') }, trunksOnly: false },
    ]);
  });

  it('believe the PROXY header of a named proxy, and of nobody else', async (t) => {
    const header = 'PROXY TCP4 192.0.2.44 192.0.2.1 40000 5060\r\n';
    const proxied = await startEcho(t, { listeners: [listener('sip+tcp')], behindProxy: ['127.0.0.1'] });
    const client = await RawClient.connect(t, proxied.server.port('sip+tcp'));
    assert.equal(await said(client, `${header}hello!`), 'tcp 0 192.0.2.44 hello!');
    const direct = await startEcho(t, { listeners: [listener('sip+tcp')] });
    const stranger = await RawClient.connect(t, direct.server.port('sip+tcp'));
    assert.equal(await said(stranger, `${header}hello!`), `tcp 0 127.0.0.1 ${header}hello!`);
  });

  it('close connections beyond the limit of an address', async (t) => {
    const { server } = await startEcho(t, { listeners: [listener('sip+tcp')], connectionsPerAddressMax: 1 });
    const first = await RawClient.connect(t, server.port('sip+tcp'));
    assert.equal(await said(first, 'a!'), 'tcp 0 127.0.0.1 a!');
    const second = await RawClient.connect(t, server.port('sip+tcp'));
    await second.closed;
    assert.equal(second.received.length, 0);
  });

  it('show a newer certificate to whoever comes later, and keep who is there', async (t) => {
    const folder = await temporaryDirectory(t);
    const files = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    const use = (name: 'first' | 'second'): void => {
      copyFileSync(tlsFiles(name).certFile, files.certFile);
      copyFileSync(tlsFiles(name).keyFile, files.keyFile);
    };
    use('first');
    const { server } = await startEcho(t, { listeners: [listener('sips', files)] });
    const connect = async () => {
      const socket = connectTls({ port: server.port('sips'), host: '127.0.0.1', rejectUnauthorized: false });
      t.after(() => socket.destroy());
      await once(socket, 'secureConnect');
      return socket;
    };
    const before = await connect();
    use('second');
    server.server.reloadTls();
    const after = await connect();
    assert.notEqual(before.getPeerCertificate().fingerprint256, after.getPeerCertificate().fingerprint256);
    before.write('still here!');
    const [answer] = (await once(before, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'tls 0 127.0.0.1 still here!');
  });

  it('answer datagrams from where they came to', async (t) => {
    const { server, stack } = await startEcho(t, { listeners: [listener('sip+udp')] });
    const socket = createSocket('udp4');
    t.after(() => socket.close());
    socket.send('ping', server.port('sip+udp'), '127.0.0.1');
    const [answer, from] = (await once(socket, 'message')) as [Buffer, AddressInfo];
    assert.equal(answer.toString(), 'ping');
    assert.equal(from.port, server.port('sip+udp'));
    const [input] = stack.inputs.filter(({ kind }) => kind === 'datagram');
    assert.equal((input as { remote: { address: string } }).remote.address, '127.0.0.1');
  });

  it('a UDP port in use is a clear error', async (t) => {
    const blocker = createSocket('udp4').bind(0, '127.0.0.1');
    await once(blocker, 'listening');
    t.after(() => blocker.close());
    const { port } = blocker.address();
    const config: ListenerConfig = { ...listener('sip+udp'), port };
    const taker = { handleDatagram: () => {}, handleSendError: () => {} };
    const context = { limits: runtimeLimits, log: new FakeLog() };
    await assert.rejects(openUdpListener(config, context, taker), (error: unknown) => {
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.code, 'LISTENER_ADDRESS_IN_USE');
      assert.match(error.message, new RegExp(`sip\\+udp://127.0.0.1:${port}: another program`));
      return true;
    });
  });

  it('a datagram that the host does not take is told', async (t) => {
    const errors: NodeJS.ErrnoException[] = [];
    let told: () => void = () => {};
    const udp = await openUdpListener(
      listener('sip+udp'),
      { limits: runtimeLimits, log: new FakeLog() },
      {
        handleDatagram: () => {},
        handleSendError: (error) => {
          errors.push(error);
          told();
        },
      },
    );
    t.after(() => udp.close());
    const heard = new Promise<void>((resolve) => (told = resolve));
    udp.send({ address: '127.0.0.1', port: 9 }, new Uint8Array(70_000));
    await heard;
    assert.equal(errors[0]!.code, 'EMSGSIZE');
    udp.send({ address: '127.0.0.1', port: 0 }, new Uint8Array(1));
    assert.equal(errors.length, 2);
  });
});

describe('connections that the stack asks for', () => {
  const make = (options: object = {}, limits: object = {}): SocketConnector =>
    new SocketConnector({ limits: { ...runtimeLimits, ...limits }, log: new FakeLog(), ...options });
  const connected = (
    connector: SocketConnector,
    transport: 'tcp' | 'tls',
    port: number,
    serverName?: string,
  ): Promise<FlowSocket | undefined> =>
    new Promise((resolve) =>
      connector.connect(transport, { address: '127.0.0.1', port }, serverName, resolve),
    );

  it('are made over TCP, or fail', async (t) => {
    const server = createServer((socket) => socket.end('hi')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = await connected(make(), 'tcp', port);
    assert.ok(socket !== undefined);
    assert.equal(socket.peer, `127.0.0.1:${port}`);
    const heard: string[] = [];
    const closed = new Promise<void>((resolve) => {
      socket.receiver = {
        handleSocketBytes: (chunk) => heard.push(Buffer.from(chunk).toString()),
        handleSocketClosed: resolve,
        handleSocketDrained: () => {},
        handleSocketPong: () => {},
      };
    });
    socket.resume();
    await closed;
    assert.deepEqual(heard, ['hi']);
    t.after(() => server.close());
    await new Promise((resolve) => server.close(resolve));
    assert.equal(await connected(make(), 'tcp', port), undefined);
  });

  it('verify the certificate against the name that was looked for', async (t) => {
    const { certFile, keyFile } = tlsFiles('first');
    const cert = readFileSync(certFile);
    const server = createTlsServer({ cert, key: readFileSync(keyFile) }).listen(0, '127.0.0.1');
    server.on('tlsClientError', () => {});
    t.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const trusting = make({ authorities: cert.toString() });
    const good = await connected(trusting, 'tls', port, 'localhost');
    assert.ok(good !== undefined);
    good.destroy();
    assert.equal(await connected(trusting, 'tls', port, 'pbx.example'), undefined);
    assert.equal(await connected(make(), 'tls', port, 'localhost'), undefined);
  });

  it('are given up after a time, and are not too many at once', async (t) => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    // TLS with somebody who never answers.
    const connector = make({}, { sipConnectMs: 30, sipConnectsMax: 1 });
    const first = connected(connector, 'tls', port);
    assert.equal(await connected(connector, 'tcp', port), undefined);
    assert.equal(await first, undefined);
  });
});
