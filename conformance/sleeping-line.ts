/**
 * A device that sleeps: a durable session with one subscription, on a bare socket, and nothing sent but what must be.
 * Notes every byte that comes, because on a phone each of them is a wake.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { ByteWriter } from '@wakeline/core/base';
import { encodePacket, MqttDecoder, noProperties } from '@wakeline/core/wire/mqtt';
import type { Packet } from '@wakeline/core/wire/mqtt';
import { lastingConnect } from './lasting-connect.js';

const writer = new ByteWriter();

export interface SleepingLineOptions {
  readonly id: string;
  readonly port: number;
  /** The device's own address, 127.0.0.0/8. */
  readonly localAddress?: string;
  /** Acknowledge what comes; false: keep it owed. */
  readonly acknowledges?: boolean;
  /** What to do when the connection is closed; default: nothing. */
  readonly onClosed?: (line: SleepingLine) => void;
}

export class SleepingLine {
  readonly id: string;
  readonly #options: SleepingLineOptions;
  #socket: Socket | undefined;
  /** By {@link dial}, for the next {@link open}. */
  #isDialled = false;
  #decoder = new MqttDecoder({ maxPacketBytes: 1 << 20 });
  #wait: ((packet: Packet) => void) | undefined;
  #fail: ((error: Error) => void) | undefined;
  /** Connections lost. */
  closes = 0;
  /** Bytes since the device fell asleep. */
  bytesAsleep = 0;
  /** When the connection was closed, ms. */
  closedMs = 0;
  readonly bodies: string[] = [];
  /** Messages that came with DUP. */
  duplicates = 0;
  /** Sequence numbers, as packet ids, that came on the connection so far. */
  readonly ids: number[] = [];
  sessionPresent = false;

  constructor(options: SleepingLineOptions) {
    this.id = options.id;
    this.#options = options;
  }

  get isConnected(): boolean {
    return this.#socket !== undefined;
  }

  /** Only the connection; {@link open} takes it from there. */
  async dial(): Promise<void> {
    await once(this.#connect(), 'connect');
    this.#isDialled = true;
  }

  #connect(): Socket {
    const { port, localAddress } = this.#options;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...(localAddress && { localAddress }) });
    this.#socket = socket;
    this.#decoder = new MqttDecoder({ maxPacketBytes: 1 << 20, protocolVersion: 4 });
    this.ids.length = 0;
    let why = 'by the server';
    socket.on('error', (error) => (why = error.message));
    socket.on('data', (chunk) => this.#handleBytes(chunk));
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.closes += 1;
      this.closedMs = Date.now();
      this.#fail?.(new Error(`${this.id}: the connection was closed, ${why}`));
      this.#options.onClosed?.(this);
    });
    return socket;
  }

  /** Connects, subscribes unless the session is there, and falls asleep. */
  async open(filter = `wake/${this.id}`): Promise<void> {
    if (!this.#isDialled) this.#connect();
    this.#isDialled = false;
    const connack = this.#expect();
    this.#write(lastingConnect(this.id));
    const answer = await connack;
    if (answer.type !== 'connack' || answer.reasonCode !== 0) throw new Error(`${this.id}: not let in`);
    this.sessionPresent = answer.sessionPresent;
    if (!answer.sessionPresent) {
      const suback = this.#expect();
      const options = { noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
      this.#write({
        type: 'subscribe',
        packetId: 1,
        properties: noProperties,
        subscriptions: [{ filter, qos: 1, ...options }],
      });
      await suback;
    }
    this.bytesAsleep = 0;
  }

  /** Resolves with PINGRESP. */
  async ping(): Promise<void> {
    const pingresp = this.#expect();
    this.#write({ type: 'pingreq' });
    const { type } = await pingresp;
    if (type !== 'pingresp') throw new Error(`${this.id}: ${type} instead of PINGRESP`);
  }

  /** Acknowledges what was kept owed. */
  acknowledgeAll(): void {
    for (const packetId of this.ids) this.#acknowledge(packetId);
  }

  destroy(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
  }

  #expect(): Promise<Packet> {
    return new Promise((resolve, reject) => {
      this.#wait = resolve;
      this.#fail = reject;
    });
  }

  #write(packet: Packet): void {
    encodePacket(writer, packet, 4);
    this.#socket?.write(writer.take());
  }

  #acknowledge(packetId: number): void {
    this.#write({ type: 'puback', packetId, reasonCode: 0, properties: noProperties });
  }

  #handleBytes(chunk: Buffer): void {
    this.bytesAsleep += chunk.length;
    this.#decoder.push(chunk);
    for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
      if (packet.type === 'malformed') throw new Error(`${this.id}: malformed packet from the server`);
      if (packet.type !== 'publish') {
        this.#wait?.(packet);
        continue;
      }
      this.bodies.push(Buffer.from(packet.payload).toString());
      if (packet.dup) this.duplicates += 1;
      this.ids.push(packet.packetId);
      if (this.#options.acknowledges !== false) this.#acknowledge(packet.packetId);
    }
  }
}
