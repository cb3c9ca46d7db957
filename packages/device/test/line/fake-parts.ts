/**
 * Parts of a line that a test holds in its hand: a server at the other end of each connection that reads packets and says what the test
 * says, a storage that fails when it is told to, and a platform with a clock of its own.
 */
import assert from 'node:assert/strict';
import { ByteWriter, type InstantMs } from '@wakeline/core/base';
import type { Activity } from '@wakeline/core/domain';
import {
  encodeApplicationProperties,
  encodePacket,
  MqttDecoder,
  noProperties,
  type Packet,
  type Properties,
} from '@wakeline/core/wire/mqtt';
import type {
  LineParts,
  Platform,
  PlatformHandler,
  Storage,
  StoredName,
  Transport,
  TransportConnection,
  TransportHandler,
} from '../../src/api.js';

export const epoch = '0123456789abcdef';

/** The server's end of one connection. */
export class FakeConnection implements TransportConnection {
  readonly localPort: number;
  unsentBytes = 0;
  /** Packets of the device, in order. */
  readonly packets: Packet[] = [];
  isClosed = false;
  readonly #handler: TransportHandler;
  readonly #decoder = new MqttDecoder({ maxPacketBytes: 1 << 24, protocolVersion: 5 });
  readonly #onPacket: (packet: Packet, connection: FakeConnection) => void;

  constructor(
    localPort: number,
    handler: TransportHandler,
    onPacket: (packet: Packet, connection: FakeConnection) => void,
  ) {
    this.localPort = localPort;
    this.#handler = handler;
    this.#onPacket = onPacket;
  }

  write(bytes: Uint8Array): void {
    this.#decoder.push(bytes.slice());
    for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
      assert(packet.type !== 'malformed');
      this.packets.push(packet);
      this.#onPacket(packet, this);
    }
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  /** The server says something: behind everything that is being done now. */
  say(packet: Packet): void {
    const writer = new ByteWriter();
    encodePacket(writer, packet, 5);
    const bytes = writer.take();
    setImmediate(() => {
      if (!this.isClosed) this.#handler.handleBytes(bytes);
    });
  }

  /** Bytes that are no MQTT. */
  sayBytes(text: string): void {
    this.#handler.handleBytes(new TextEncoder().encode(text));
  }

  /** The connection breaks. */
  break(cause: unknown): void {
    this.isClosed = true;
    this.#handler.handleClosed(cause);
  }

  count(type: Packet['type']): number {
    return this.packets.filter((packet) => packet.type === type).length;
  }
}

export class FakeServer implements Transport {
  readonly schemes = ['fake'];
  readonly connections: FakeConnection[] = [];
  readonly opened: URL[] = [];
  /** Why connections cannot be had; undefined: they can. */
  failure: Error | undefined;
  /** Whether connections are neither had nor refused. */
  isMute = false;
  connackReason = 0;
  /** Whether it answers no PINGREQ. */
  isDeaf = false;
  /** Whether it is one of HTTP. */
  isStrange = false;
  /** Reason string of all that it refuses; empty: none. */
  words = '';
  /** Of SUBACK and PUBACK. */
  answer = 0;
  /** Whether it answers SUBSCRIBE and PUBLISH. */
  isAnswering = true;
  #sequence = 0;

  open(url: URL, handler: TransportHandler, signal: AbortSignal): Promise<TransportConnection> {
    this.opened.push(url);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.isMute) {
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    }
    const connection = new FakeConnection(40_000 + this.connections.length, handler, (packet, from) =>
      this.#handle(packet, from),
    );
    this.connections.push(connection);
    return Promise.resolve(connection);
  }

  get last(): FakeConnection {
    return this.connections.at(-1)!;
  }

  /** A message with the next number of the inbox, or the number given. Returns its number. */
  deliver(topic: string, body: string, sequence = (this.#sequence += 1)): number {
    this.last.say({
      type: 'publish',
      topic,
      topicAlias: 0,
      qos: 1,
      retain: false,
      dup: false,
      packetId: sequence,
      payload: new TextEncoder().encode(body),
      properties: encodeApplicationProperties({
        contentType: 'text/plain',
        userProperties: [
          ['colour', 'red'],
          ['sequence', String(sequence)],
        ],
      }),
      messageExpirySeconds: undefined,
      subscriptionIds: [],
    });
    return sequence;
  }

  #reason(code: number): Properties {
    return code < 0x80 || this.words === '' ? noProperties : { reasonString: this.words };
  }

  #handle(packet: Packet, from: FakeConnection): void {
    if (this.isStrange) return void setImmediate(() => from.sayBytes('HTTP/1.1 400 Bad Request\r\n\r\n'));
    if (packet.type === 'connect') {
      const properties: Properties = {
        userProperties: [['epoch', epoch]],
        ...this.#reason(this.connackReason),
      };
      from.say({ type: 'connack', sessionPresent: false, reasonCode: this.connackReason, properties });
    } else if (packet.type === 'subscribe' && this.isAnswering) {
      const reasonCodes = packet.subscriptions.map(({ qos }) => this.answer || qos);
      from.say({
        type: 'suback',
        packetId: packet.packetId,
        reasonCodes,
        properties: this.#reason(this.answer),
      });
    } else if (packet.type === 'publish' && packet.qos === 1 && this.isAnswering) {
      const { packetId } = packet;
      from.say({ type: 'puback', packetId, reasonCode: this.answer, properties: this.#reason(this.answer) });
    } else if (packet.type === 'pingreq' && !this.isDeaf) from.say({ type: 'pingresp' });
  }
}

/** What is stored, and writes that wait for the test's word where `isHeld`. */
export class FakeStorage implements Storage {
  readonly texts = new Map<StoredName, string>();
  /** Names in the order of writing. */
  readonly writes: StoredName[] = [];
  failure: Error | undefined;
  openFailure: Error | undefined;
  isHeld = false;
  isOpen = false;
  #held: (() => void)[] = [];

  open(): Promise<void> {
    if (this.openFailure !== undefined) return Promise.reject(this.openFailure);
    this.isOpen = true;
    return Promise.resolve();
  }

  get(name: StoredName): Promise<string | undefined> {
    return Promise.resolve(this.texts.get(name));
  }

  async set(name: StoredName, text: string): Promise<void> {
    this.writes.push(name);
    if (this.isHeld) await new Promise<void>((resolve) => this.#held.push(resolve));
    if (this.failure !== undefined) throw this.failure;
    this.texts.set(name, text);
  }

  close(): Promise<void> {
    this.isOpen = false;
    return Promise.resolve();
  }

  release(): void {
    for (const resolve of this.#held.splice(0)) resolve();
  }
}

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

export class FakePlatform implements Platform {
  activity: Activity = 'active';
  networkKey: string | undefined = undefined;
  windowMs = 10_000;
  wakeGapMsMin = 0;
  nowMs = 1_000;
  handler: PlatformHandler | undefined;
  readonly marked: (number | undefined)[] = [];
  done = 0;
  readonly #timers = new Set<Timer>();

  now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  setTimer(callback: () => void, ms: number): () => void {
    const timer = { dueMs: this.nowMs + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  random(): number {
    return 7;
  }

  start(handler: PlatformHandler): void {
    this.handler = handler;
  }

  stop(): Promise<void> {
    this.handler = undefined;
    return Promise.resolve();
  }

  handleOpen({ localPort }: TransportConnection): Promise<void> {
    this.marked.push(localPort);
    return Promise.resolve();
  }

  handleDone(): void {
    this.done += 1;
  }

  /** Moves the clock, timer by timer. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      const next = [...this.#timers].toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.callback();
      await settled();
    }
    this.nowMs = endMs;
    await settled();
  }

  /** The clock goes on while no timer fires: the process is frozen. */
  freeze(ms: number): void {
    this.nowMs += ms;
  }
}

/** Everything that follows from what was done has happened: no real time is waited for anywhere. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

export interface FakeParts extends LineParts {
  readonly server: FakeServer;
  readonly storage: FakeStorage;
  readonly platform: FakePlatform;
}

export function fakeParts(): FakeParts {
  const server = new FakeServer();
  const parts = { storage: new FakeStorage(), platform: new FakePlatform(), crypto: undefined };
  return { server, transports: [server], ...parts };
}
