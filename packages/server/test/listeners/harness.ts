/** Real servers and raw clients for the tests at the edge. Everything is cleaned up by the test's own `after`. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SESSION_NEVER_EXPIRES } from '@wakeline/core/domain';
import mqtt from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import type { Packet } from 'mqtt-packet';
import { isTlsProtocol } from '../../src/config/config.js';
import type { ListenerConfig, ListenerProtocol, ServerConfig, TlsFiles } from '../../src/config/config.js';
import { startServer } from '../../src/runtime/server.js';
import type { RunningServer, ServerDependencies } from '../../src/runtime/server.js';
import { FakeLog } from '../runtime/fakes.js';

const fixtures = join(import.meta.dirname, '../../../test/fixtures');

/** A pair of the test's certificates. */
export function tlsFiles(name: 'first' | 'second'): TlsFiles {
  return { certFile: join(fixtures, `${name}.cert.pem`), keyFile: join(fixtures, `${name}.key.pem`) };
}

export function listener(protocol: ListenerProtocol, tls = tlsFiles('first')): ListenerConfig {
  return {
    protocol,
    host: '127.0.0.1',
    port: 0,
    isLoopback: true,
    tls: isTlsProtocol(protocol) ? tls : undefined,
  };
}

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'wakeline-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export function configOf(dataDirectory: string, config: Partial<ServerConfig> = {}): ServerConfig {
  return {
    dataDirectory,
    listeners: [listener('mqtt')],
    insecure: false,
    behindProxy: [],
    publicUrl: undefined,
    anonymousDevices: true,
    openApi: true,
    users: [],
    logLevel: 'silent',
    limits: {},
    connectionsPerAddressMax: 100_000,
    connectsPerSecondPerAddressMax: 100_000,
    connectsPerSecondMax: 100_000,
    handshakesMax: 5_000,
    lines: 0,
    restartFlowsPerSecond: 100,
    ...config,
    mqtt: {
      packetBytesMax: 1024 * 1024,
      sessionExpirySecondsMax: SESSION_NEVER_EXPIRES,
      connectTimeoutMs: 10_000,
      serverKeepAliveSeconds: undefined,
      keepAliveSecondsMax: undefined,
      keepAliveRequired: false,
      silenceMsMax: undefined,
      tcpKeepAliveMs: undefined,
      ...config.mqtt,
    },
    webpush: {
      broadcastsFile: undefined,
      pingAfterMs: undefined,
      newAgentsPerAddressMax: 100_000,
      newAgentsMax: 100_000,
      ...config.webpush,
    },
    sip: {
      domains: [],
      users: [],
      challenge: ['sha-256'],
      trunks: [],
      parkMs: 45_000,
      registrationSecondsMin: 3_600,
      registrationSecondsMax: 86_400,
      flowTimerSeconds: 672,
      pushEndpoints: [],
      ...config.sip,
    },
  };
}

export interface TestServer {
  readonly server: RunningServer;
  readonly log: FakeLog;
  readonly dataDirectory: string;
  /** URL of the first listener of a protocol. */
  url(protocol: ListenerProtocol): string;
  port(protocol: ListenerProtocol): number;
}

/** A server that is stopped when the test is over. */
export async function startTestServer(
  t: TestContext,
  config: Partial<ServerConfig> = {},
  dependencies: ServerDependencies = {},
): Promise<TestServer> {
  const dataDirectory = config.dataDirectory ?? (await temporaryDirectory(t));
  const log = new FakeLog();
  const server = await startServer(configOf(dataDirectory, config), { log, ...dependencies });
  t.after(() => server.stop());
  const url = (protocol: ListenerProtocol): string => {
    const address = server.addresses.find((candidate) => candidate.protocol === protocol);
    if (address === undefined) throw new Error(`no ${protocol} listener`);
    return address.url;
  };
  return { server, log, dataDirectory, url, port: (protocol) => Number(new URL(url(protocol)).port) };
}

/** An `mqtt` client, connected, that does not reconnect. Closed with the test. */
export async function connectClient(
  t: TestContext,
  url: string,
  options: IClientOptions = {},
): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { reconnectPeriod: 0, connectTimeout: 20_000, ...options });
  client.on('error', () => {});
  t.after(() => client.endAsync(true));
  return client;
}

export interface Message {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
}

/** Collects what a client receives; `take(n)` resolves when n messages are there. */
export class Inbox {
  readonly messages: Message[] = [];
  #wake: () => void = () => {};

  constructor(client: MqttClient) {
    client.on('message', (topic, payload, { qos }) => {
      this.messages.push({ topic, text: payload.toString(), qos });
      this.#wake();
    });
  }

  async take(count: number): Promise<Message[]> {
    while (this.messages.length < count) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.messages.splice(0, count);
  }
}

/** A TCP client without any protocol of its own. Closed with the test. */
export class RawClient {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  received: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        resolve();
        this.#wake();
      });
    });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
  }

  static async connect(t: TestContext, port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    const client = new RawClient(socket);
    t.after(() => socket.destroy());
    await Promise.race([once(socket, 'connect'), client.closed]);
    return client;
  }

  /** What came, once there are `bytes` of it or the connection is closed. */
  async take(bytes: number): Promise<Buffer> {
    while (this.received.length < bytes && !this.socket.destroyed) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const taken = this.received.subarray(0, bytes);
    this.received = this.received.subarray(taken.length);
    return taken;
  }

  /** Gives what came and was not taken, and what comes: much of it, which is not collected here any more. */
  handleData(handle: (chunk: Buffer) => void): void {
    this.socket.removeAllListeners('data');
    if (this.received.length > 0) handle(this.received);
    this.socket.on('data', handle);
  }
}

/** Encoded by the field's own codec, not ours. */
export function encode(packet: Packet, protocolVersion: 4 | 5 = 4): Buffer {
  return mqttPacket.generate(packet, { protocolVersion });
}

export function connectPacket(clientId: string, protocolVersion: 4 | 5 = 4, keepalive = 0): Buffer {
  return encode(
    { cmd: 'connect', protocolId: 'MQTT', protocolVersion, clientId, clean: true, keepalive } as Packet,
    protocolVersion,
  );
}

/** CONNACK of MQTT 3.1.1 that says yes to a new session. */
export const connackBytes = Buffer.from([0x20, 0x02, 0x00, 0x00]);
