/**
 * One device that comes and goes by both links at random, acknowledges some of what it gets, and a server that dies: no
 * push that was accepted is lost, none is sent again on a connection that has it or once its acknowledgement is stored,
 * and a number stands for one message, whatever link tells it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../src/base/index.js';
import { runs } from '../wire/mqtt/helpers.js';
import { Agent, push, textOf } from './agent.js';
import { TestServer, type Client } from './exchange.js';

const channels = ['11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222'] as const;
const STEPS = 60;

/** A message as the device got it. */
interface Received {
  readonly sequence: number;
  readonly body: string;
  readonly channel: string;
}

class World {
  readonly #prng: Prng;
  readonly #server = new TestServer();
  #uaid = '';
  #deviceId = '';
  #endpoints: string[] = [];
  #agent: Agent | undefined;
  #client: Client | undefined;
  /** On the connection there is now, not acknowledged. */
  #unacknowledged: Received[] = [];
  /** Numbers that came on the connection there is now. */
  #here = new Set<number>();
  readonly #bodies = new Map<number, string>();
  readonly #pushed = new Set<string>();
  readonly #acknowledged = new Set<number>();
  /** Those whose acknowledgement a crash may have undone. */
  #doubtful = new Set<number>();

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  async run(): Promise<void> {
    const first = await Agent.connect(this.#server);
    this.#uaid = first.uaid;
    for (const channel of channels) this.#endpoints.push(await first.register(channel));
    const reply = await this.#server.request({ kind: 'list-devices', after: undefined, count: 1 });
    assert(reply.kind === 'devices');
    this.#deviceId = reply.devices[0]!.deviceId;
    this.#agent = first;
    for (let step = 0; step < STEPS; step += 1) {
      await this.#step();
      this.#collect();
    }
    await this.#finish();
  }

  async #step(): Promise<void> {
    switch (this.#prng.nextInteger(0, 9)) {
      case 0:
        return this.#connectAgent();
      case 1:
        return this.#connectClient();
      case 2:
        return this.#vanish();
      case 3:
        return this.#crash();
      case 4:
      case 5:
        return this.#acknowledge(this.#prng.nextInteger(1, 3));
      case 6:
        // What was acknowledged is written within a tenth of a second.
        await this.#server.advance(200);
        this.#doubtful = new Set();
        return;
      default:
        return this.#push();
    }
  }

  async #push(): Promise<void> {
    const body = `message ${this.#pushed.size}`;
    const endpoint = this.#endpoints[this.#prng.nextInteger(0, channels.length - 1)]!;
    assert.match(await push(this.#server, endpoint, body), /^[0-9a-f]{32}$/);
    this.#pushed.add(body);
  }

  /** With the old connection still there: the new one takes over. */
  async #connectAgent(): Promise<void> {
    this.#forget();
    this.#agent = await Agent.connect(this.#server, this.#uaid);
    assert.equal(this.#agent.uaid, this.#uaid);
  }

  async #connectClient(): Promise<void> {
    this.#forget();
    const password = new TextEncoder().encode(this.#uaid);
    this.#client = await this.#server.resume(4, this.#deviceId, { username: this.#deviceId, password });
    this.#client.received.push(...(await this.#client.subscribe('$line/inbox/#')));
  }

  async #vanish(): Promise<void> {
    await (this.#agent ?? this.#client)?.vanish();
    this.#forget();
  }

  async #crash(): Promise<void> {
    await this.#server.restart();
    this.#forget();
    for (const sequence of this.#doubtful) this.#acknowledged.delete(sequence);
  }

  #forget(): void {
    this.#agent = undefined;
    this.#client = undefined;
    this.#unacknowledged = [];
    this.#here = new Set();
  }

  async #acknowledge(count: number): Promise<void> {
    for (; count > 0 && this.#unacknowledged.length > 0; count -= 1) {
      const at = this.#prng.nextInteger(0, this.#unacknowledged.length - 1);
      const [message] = this.#unacknowledged.splice(at, 1);
      const { sequence, channel } = message!;
      if (this.#agent !== undefined) {
        const version = this.#versions.get(sequence);
        this.#inspect(await this.#agent.ack(channel, version));
      } else {
        const puback = { type: 'puback', packetId: sequence, reasonCode: 0, properties: {} } as const;
        this.#client!.received.push(...(await this.#client!.send(puback)));
      }
      this.#acknowledged.add(sequence);
      this.#doubtful.add(sequence);
    }
  }

  readonly #versions = new Map<number, string>();

  #collect(): void {
    this.#inspect(this.#agent?.take() ?? []);
    for (const packet of this.#client?.take() ?? []) {
      if (packet.type !== 'publish') continue;
      const channel = Buffer.from(packet.topic).toString().slice('$line/inbox/'.length);
      this.#note({ sequence: packet.packetId, body: Buffer.from(packet.payload).toString(), channel });
    }
  }

  #inspect(frames: readonly Awaited<ReturnType<Agent['take']>>[number][]): void {
    for (const frame of frames) {
      const sequence = Number(frame.version!.split('.')[1]);
      const known = this.#versions.get(sequence);
      if (known !== undefined) assert.equal(frame.version, known, 'a repeat has the same version');
      this.#versions.set(sequence, frame.version!);
      this.#note({ sequence, body: textOf(frame), channel: frame.channelID! });
    }
  }

  #note(message: Received): void {
    const { sequence, body } = message;
    assert.equal(this.#bodies.get(sequence) ?? body, body, 'a number stands for one message');
    this.#bodies.set(sequence, body);
    assert.ok(!this.#here.has(sequence), 'nothing comes twice on one connection');
    assert.ok(!this.#acknowledged.has(sequence), 'what is acknowledged is not sent again');
    this.#here.add(sequence);
    this.#unacknowledged.push(message);
  }

  /** In the end everything has come, and is acknowledged. */
  async #finish(): Promise<void> {
    await this.#connectAgent();
    this.#collect();
    while (this.#unacknowledged.length > 0) {
      await this.#acknowledge(10);
      this.#collect();
    }
    assert.deepEqual([...this.#bodies.values()].sort(), [...this.#pushed].sort(), 'nothing is lost');
    assert.deepEqual(
      [...this.#bodies.keys()].sort((a, b) => a - b),
      Array.from({ length: this.#pushed.size }, (_, index) => index + 1),
      'numbers are dense',
    );
    await this.#server.advance(200);
    await this.#server.restart();
    await this.#connectAgent();
    await this.#connectClient();
    this.#collect();
    assert.deepEqual(this.#unacknowledged, []);
  }
}

test('[WP-9] [WP-19] over both links, crashes and takeovers nothing is lost, renumbered or repeated without need', async (t) => {
  const first = Number(process.env['WAKELINE_SEED'] ?? 1);
  const count = runs(150, 5_000);
  t.diagnostic(`seeds ${first} … ${first + count - 1}`);
  for (let seed = first; seed < first + count; seed += 1) {
    try {
      await new World(seed).run();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
