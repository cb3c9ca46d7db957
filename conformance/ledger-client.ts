/**
 * An MQTT 3.1.1 client that keeps books: what it sent and how often, what was acknowledged, what it got under which
 * packet id, with which flags, on which connection. It speaks with core's codec and keeps its session in memory
 * across connections, as a well-made device does.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { ByteWriter } from '@wakeline/core/base';
import { MqttDecoder, encodePacket, noProperties } from '@wakeline/core/wire/mqtt';
import type { Packet, QosLevel } from '@wakeline/core/wire/mqtt';
import { lastingConnect } from './lasting-connect.js';

export interface Received {
  readonly packetId: number;
  readonly body: string;
  readonly topic: string;
  readonly qos: QosLevel;
  readonly dup: boolean;
  /** Which connection of this client it came on, 1 …. */
  readonly connection: number;
}

export interface Sent {
  readonly body: string;
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly packetId: number;
  /** How often PUBLISH was written. */
  times: number;
  /** PUBACK or PUBREC came. */
  isAccepted: boolean;
  isReleasing: boolean;
}

export class LedgerClient {
  readonly id: string;
  readonly port: number;
  readonly received: Received[] = [];
  /** Messages taken as new: QoS 2 repeats are recognised by their held packet id. */
  readonly taken: Received[] = [];
  /** Messages of QoS 0, which are not in the lists above. */
  readonly unnumbered: Received[] = [];
  readonly open = new Map<number, Sent>();
  readonly sent: Sent[] = [];
  connection = 0;
  isConnected = false;
  sessionPresent = false;
  /** Acknowledge what comes. False: keep it owed. */
  #held = new Set<number>();
  #socket: Socket | null = null;
  #decoder = new MqttDecoder({ maxPacketBytes: 1 << 20 });
  readonly #writer = new ByteWriter();
  #nextPacketId = 0;
  #subacks = new Set<number>();
  #waitConnack: (() => void) | null = null;
  /** A fault of the server that the client noticed. */
  fault: string | undefined;

  constructor(id: string, port: number) {
    this.id = id;
    this.port = port;
  }

  /** Connects with clean session off; resolves with CONNACK, or false when the connection failed. */
  connect(): Promise<boolean> {
    this.connection++;
    const socket = connect(this.port, '127.0.0.1').setNoDelay(true);
    this.#socket = socket;
    this.#decoder = new MqttDecoder({ maxPacketBytes: 1 << 20, protocolVersion: 4 });
    return new Promise((resolve) => {
      this.#waitConnack = () => resolve(true);
      socket.on('connect', () => this.#write(lastingConnect(this.id)));
      socket.on('data', (chunk) => this.#handleBytes(socket, chunk));
      socket.on('error', () => {});
      socket.on('close', () => {
        if (this.#socket === socket) {
          this.#socket = null;
          this.isConnected = false;
        }
        resolve(false);
      });
    });
  }

  /** Goes without a word. */
  destroy(): void {
    this.#socket?.destroy();
    this.#socket = null;
    this.isConnected = false;
  }

  async subscribe(filters: readonly { filter: string; qos: QosLevel }[]): Promise<void> {
    const packetId = this.#takeId();
    this.#write({
      type: 'subscribe',
      packetId,
      properties: noProperties,
      subscriptions: filters.map(({ filter, qos }) => ({
        filter,
        qos,
        noLocal: false,
        retainAsPublished: false,
        retainHandling: 0,
      })),
    });
    while (!this.#subacks.has(packetId)) {
      if (!this.isConnected) throw new Error(`${this.id}: connection lost while subscribing`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  publish(topic: string, body: string, qos: 1 | 2): void {
    const sent: Sent = {
      topic,
      body,
      qos,
      packetId: this.#takeId(),
      times: 0,
      isAccepted: false,
      isReleasing: false,
    };
    this.open.set(sent.packetId, sent);
    this.sent.push(sent);
    this.#writePublish(sent);
  }

  #takeId(): number {
    do this.#nextPacketId = (this.#nextPacketId % 65_535) + 1;
    while (this.open.has(this.#nextPacketId));
    return this.#nextPacketId;
  }

  #writePublish(sent: Sent): void {
    if (!this.isConnected) return;
    sent.times++;
    this.#write({
      type: 'publish',
      topic: sent.topic,
      payload: Buffer.from(sent.body),
      qos: sent.qos,
      retain: false,
      dup: sent.times > 1,
      packetId: sent.packetId,
      properties: new Uint8Array(0),
      messageExpirySeconds: undefined,
      topicAlias: 0,
      subscriptionIds: [],
    });
  }

  #write(packet: Packet): void {
    encodePacket(this.#writer, packet, 4);
    this.#socket?.write(this.#writer.take());
  }

  #acknowledge(type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp', packetId: number): void {
    this.#write({ type, packetId, reasonCode: 0, properties: noProperties });
  }

  #handleBytes(socket: Socket, chunk: Buffer): void {
    if (this.#socket !== socket) return;
    this.#decoder.push(chunk);
    for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
      this.#handlePacket(packet as Packet);
    }
  }

  #handlePacket(packet: Packet): void {
    switch (packet.type) {
      case 'connack':
        this.isConnected = true;
        this.sessionPresent = packet.sessionPresent;
        // What was not answered is sent again, in its first order [MQTT-4.4.0-1].
        for (const sent of this.open.values()) {
          if (sent.isReleasing) this.#acknowledge('pubrel', sent.packetId);
          else this.#writePublish(sent);
        }
        this.#waitConnack?.();
        return;
      case 'suback':
        this.#subacks.add(packet.packetId);
        return;
      case 'puback': {
        const sent = this.open.get(packet.packetId);
        if (sent?.qos !== 1) return;
        sent.isAccepted = true;
        this.open.delete(packet.packetId);
        return;
      }
      case 'pubrec': {
        const sent = this.open.get(packet.packetId);
        if (sent?.qos !== 2) return;
        sent.isAccepted = true;
        sent.isReleasing = true;
        this.#acknowledge('pubrel', packet.packetId);
        return;
      }
      case 'pubcomp':
        this.open.delete(packet.packetId);
        return;
      case 'publish': {
        const { packetId, topic, qos, dup } = packet;
        const received: Received = {
          packetId,
          topic,
          qos,
          dup,
          body: Buffer.from(packet.payload).toString(),
          connection: this.connection,
        };
        if (qos === 0) {
          this.unnumbered.push(received);
          return;
        }
        this.received.push(received);
        if (qos === 2) {
          if (!this.#held.has(packetId)) this.taken.push(received);
          this.#held.add(packetId);
          this.#acknowledge('pubrec', packetId);
        } else {
          this.taken.push(received);
          this.#acknowledge('puback', packetId);
        }
        return;
      }
      case 'pubrel':
        this.#held.delete(packet.packetId);
        this.#acknowledge('pubcomp', packet.packetId);
        return;
      default:
        this.fault ??= `unexpected packet ${packet.type}`;
    }
  }
}
