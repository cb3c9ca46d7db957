/**
 * Random lives of clients that keep to the standard: they publish, answer late, vanish, come back and send again what
 * was not answered, while the server dies and starts anew. In the end everybody has everything, once or at least once
 * as its QoS says, in order.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../src/base/index.js';
import type { Packet, ProtocolVersion } from '../../src/wire/mqtt/index.js';
import { ackPacket, connectPacket, publishPacket } from '../session/mqtt/harness.js';
import { runs } from '../wire/mqtt/helpers.js';
import { lasting, TestServer, textOf, type Client } from './exchange.js';

const topics = ['t/a', 't/b', 'u'] as const;

interface Outgoing {
  readonly topic: string;
  readonly qos: 1 | 2;
  readonly text: string;
  /** PUBREC came: PUBREL is owed in place of PUBLISH. */
  isReceived: boolean;
}

/** A client as the standard wants it, with a session that outlives its connections. */
class RandomClient {
  readonly id: string;
  readonly version: ProtocolVersion;
  readonly #server: TestServer;
  readonly #prng: Prng;
  #line: Client | undefined;
  /** By packet id, oldest first. */
  readonly #outgoing = new Map<number, Outgoing>();
  #nextId = 1;
  #isLossy = true;
  #count = 0;
  /** Ids of QoS 2 messages that came and were not released. */
  readonly #held = new Set<number>();
  #owed: Packet[] = [];
  readonly published: Outgoing[] = [];
  /** Everything that was passed to the application: `qos topic text`. */
  readonly got: string[] = [];

  constructor(server: TestServer, id: string, version: ProtocolVersion, prng: Prng) {
    this.#server = server;
    this.id = id;
    this.version = version;
    this.#prng = prng;
  }

  get isIdle(): boolean {
    return this.#outgoing.size === 0 && this.#owed.length === 0 && this.#held.size === 0;
  }

  async connect(): Promise<void> {
    if (this.#line !== undefined) return;
    const line = this.#server.accept(this.version);
    this.#line = line;
    const receiveMaximum = this.#prng.nextInteger(1, 4);
    const properties = { sessionExpirySeconds: 100_000, receiveMaximum };
    const fields = lasting(this.version, { clientId: this.id, keepAliveSeconds: 0, properties });
    const [connack, ...more] = await line.send(connectPacket(this.version, fields));
    assert(connack?.type === 'connack' && connack.reasonCode === 0);
    for (const packet of more) this.#handle(packet);
    const again = [...this.#outgoing].map(([packetId, message]) => this.#packetOf(packetId, message, true));
    if (again.length > 0) await this.#send(...again);
  }

  async subscribe(filter: string): Promise<void> {
    assert(this.#line !== undefined);
    for (const packet of await this.#line.subscribe(filter, 2)) {
      if (packet.type !== 'suback') this.#handle(packet);
    }
  }

  /** From now on the network is sound. */
  mend(): void {
    this.#isLossy = false;
  }

  /** The connection is gone; what was owed on it is forgotten. */
  async vanish(): Promise<void> {
    const line = this.#line;
    this.forget();
    await line?.vanish();
  }

  forget(): void {
    this.#line = undefined;
    this.#owed = [];
  }

  async publish(): Promise<void> {
    // The receive maximum of the server in these tests is 3.
    if (this.#line === undefined || this.#outgoing.size >= 3) return;
    while (this.#outgoing.has(this.#nextId)) this.#nextId = 1 + (this.#nextId % 5);
    const packetId = this.#nextId;
    const topic = topics[this.#prng.nextInteger(0, topics.length - 1)]!;
    const text = `${this.id} ${String(++this.#count).padStart(4, '0')}`;
    const message: Outgoing = { topic, qos: this.#prng.nextInteger(1, 2) as 1 | 2, text, isReceived: false };
    this.#outgoing.set(packetId, message);
    this.published.push(message);
    await this.#send(this.#packetOf(packetId, message, false));
  }

  /** Sends some of the answers it owes, in their order. */
  async answer(countMax: number): Promise<void> {
    if (this.#line === undefined) return;
    await this.#send(...this.#owed.splice(0, countMax));
  }

  /** Looks at what came. */
  read(): void {
    for (const packet of this.#line?.take() ?? []) this.#handle(packet);
  }

  async #send(...packets: Packet[]): Promise<void> {
    const line = this.#line!;
    const answers = await line.send(...packets);
    assert.equal(line.closed, undefined, `${this.id} is not thrown out`);
    // The network fails: what the server said is lost, and it may take it for said.
    if (this.#isLossy && this.#prng.nextFloat() < 0.1) return this.vanish();
    for (const packet of answers) this.#handle(packet);
  }

  #packetOf(packetId: number, message: Outgoing, dup: boolean): Packet {
    if (message.isReceived) return ackPacket('pubrel', packetId);
    const { topic, qos, text } = message;
    return publishPacket({ topic, qos, packetId, dup, payload: new TextEncoder().encode(text) });
  }

  #handle(packet: Packet): void {
    switch (packet.type) {
      case 'publish': {
        const isKnown = packet.qos === 2 && this.#held.has(packet.packetId);
        if (!isKnown) this.got.push(`${packet.qos} ${packet.topic} ${textOf(packet)}`);
        if (packet.qos === 2) this.#held.add(packet.packetId);
        this.#owed.push(ackPacket(packet.qos === 1 ? 'puback' : 'pubrec', packet.packetId));
        return;
      }
      case 'pubrel':
        this.#held.delete(packet.packetId);
        return void this.#owed.push(ackPacket('pubcomp', packet.packetId));
      case 'puback':
      case 'pubcomp':
        assert(this.#outgoing.delete(packet.packetId), `${packet.type} for something that was sent`);
        return;
      case 'pubrec':
        this.#outgoing.get(packet.packetId)!.isReceived = true;
        return void this.#owed.push(ackPacket('pubrel', packet.packetId));
      default:
        assert.fail(`${packet.type} is not expected`);
    }
  }
}

async function live(seed: number): Promise<void> {
  const prng = new Prng(seed);
  const server = new TestServer();
  const clients = ['a', 'b', 'c', 'd'].map((id, index) => {
    return new RandomClient(server, id, index % 2 === 0 ? 4 : 5, prng);
  });
  const filters = new Map<RandomClient, string>();
  for (const client of clients.slice(0, 3)) {
    const filter = ['#', 't/+', 'u'][prng.nextInteger(0, 2)]!;
    filters.set(client, filter);
    await client.connect();
    await client.subscribe(filter);
  }
  const anybody = (): RandomClient => clients[prng.nextInteger(0, clients.length - 1)]!;
  for (let step = 0; step < 150; step += 1) {
    const choice = prng.nextInteger(0, 99);
    if (choice < 45) await anybody().publish();
    else if (choice < 75) await anybody().answer(prng.nextInteger(1, 3));
    else if (choice < 85) await anybody().connect();
    else if (choice < 93) await anybody().vanish();
    else if (choice < 97) await server.advance(prng.nextInteger(1, 5_000));
    else {
      for (const client of clients) client.forget();
      await server.restart();
    }
    for (const client of clients) client.read();
  }
  for (const client of clients) {
    client.mend();
    await client.connect();
  }
  for (let round = 0; clients.some(({ isIdle }) => !isIdle); round += 1) {
    assert(round < 1_000, 'all comes to an end');
    for (const client of clients) {
      client.read();
      await client.answer(10);
    }
  }
  for (const [client, filter] of filters) {
    for (const sender of clients) {
      for (const topic of topics) {
        if (filter !== '#' && (filter === 'u') !== (topic === 'u')) continue;
        for (const qos of [1, 2]) {
          const sent = sender.published.filter((one) => one.topic === topic && one.qos === qos);
          const head = `${qos} ${topic} ${sender.id} `;
          const got = client.got.filter((line) => line.startsWith(head));
          // QoS 1 may come again; the first time each comes is in order.
          const once = qos === 2 ? got : [...new Set(got)];
          const expected = sent.map(({ text }) => `${qos} ${topic} ${text}`);
          assert.deepEqual(once, expected, `seed ${seed}: ${client.id} from ${sender.id} on ${topic}`);
        }
      }
    }
  }
}

test('[MQTT5 4.3.2-4, 4.3.3-8, 4.3.3-10, 4.4.0-1, 4.5.0-1, 4.6.0-5] [MQTT3 4.3.2-2, 4.3.3-2, 4.4.0-1, 4.5.0-1, 4.6.0-6] QoS 1 arrives at least once and QoS 2 exactly once, in order, over breaks and restarts', async (context) => {
  const count = runs(40, 1_000);
  context.diagnostic(`seeds 1 to ${count}`);
  for (let seed = 1; seed <= count; seed += 1) await live(seed);
});
