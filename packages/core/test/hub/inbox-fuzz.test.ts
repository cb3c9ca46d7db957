/**
 * Random days of devices that are idle most of the time, so that their inboxes are put away and unpacked again and
 * again: between half-done QoS 2 exchanges in both directions, failing commits, sessions that end and devices that are
 * removed under their senders. What an inbox that is not the device's any more was told would show as a message that
 * is lost, comes twice or has another's number. Messages replace others, and in small inboxes take their room; where that
 * fails the older ones must come.
 *
 * WAKELINE_LONG=1 runs more of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../src/base/index.js';
import type { LinkEvent } from '../../src/domain/index.js';
import type { TimelineEvent } from '../../src/hub/index.js';
import { World, text } from './world.js';
import type { TestFlow } from './world.js';

/** The first only sends: of its inbox nothing but the packet ids that it holds is ever in use. */
const DEVICES = 4;
const STEPS = 160;

type Owed = { readonly kind: 'acknowledge' | 'received' | 'complete'; readonly sequence: number };

interface Sent {
  readonly body: string;
  readonly qos: 1 | 2;
  /** Two messages share one: the later may replace the earlier. */
  readonly replaceKey: string | undefined;
  /** Who was subscribed when it was sent first, and with which session. */
  readonly to: ReadonlyMap<Peer, number>;
  isReleasing: boolean;
}

/** A device that gets and sends, and repeats what was not answered as MQTT clients do. */
class Peer {
  readonly id: string;
  readonly #isListening: boolean;
  flow: TestFlow | null = null;
  #handled = 0;
  #epoch = '';
  /** Of this epoch: which message each number was. */
  #bodies = new Map<number, string>();
  #held = new Set<number>();
  readonly owed: Owed[] = [];
  /** What it took in its session, QoS 2 repeats apart. */
  taken: string[] = [];
  /** Bodies that must come to it: accepted while its session was there, in the order of their acceptance. */
  promised: Pick<Sent, 'body' | 'qos' | 'replaceKey'>[] = [];
  /** Of its session's messages, those that had to make room. */
  droppedFull = 0;
  /** By packet id; what is not answered. */
  readonly open = new Map<number, Sent>();
  /** Sessions it has had, as far as it can know. */
  sessions = 0;
  /** Its session is subscribed. */
  isSubscribed = false;
  #nextId = 1;

  constructor(id: string, isListening: boolean) {
    this.id = id;
    this.#isListening = isListening;
  }

  connect(world: World, clean: boolean): void {
    this.flow = world.open(this.id, { clean, receiveMaximum: 5 });
    this.#handled = 0;
    this.owed.length = 0;
  }

  /** The session is gone or may be: nothing that was promised to it counts any more. */
  forgetSession(): void {
    this.sessions++;
    this.isSubscribed = false;
    this.promised = [];
    this.droppedFull = 0;
    this.taken = [];
    this.#held = new Set();
    this.open.clear();
  }

  get unreleased(): number {
    return this.#held.size;
  }

  publish(body: string, qos: 1 | 2, replaceKey: string | undefined, to: ReadonlyMap<Peer, number>): void {
    if (this.open.size >= 8) return;
    while (this.open.has(this.#nextId)) this.#nextId = (this.#nextId % 12) + 1;
    this.open.set(this.#nextId, { body, qos, replaceKey, to, isReleasing: false });
    this.flow!.publish('t/x', body, { qos, replaceKey }, this.#nextId);
    this.#nextId = (this.#nextId % 12) + 1;
  }

  turn(): void {
    for (; this.flow !== null && this.#handled < this.flow.events.length; this.#handled++) {
      this.#handle(this.flow.events[this.#handled]!);
    }
  }

  #handle(event: LinkEvent): void {
    switch (event.kind) {
      case 'opened':
        this.#opened(event);
        return;
      case 'deliver':
        this.#take(event.delivery.sequence, event.delivery.qos, text(event.delivery.body));
        return;
      case 'release':
        this.#held.delete(event.sequence);
        this.owed.push({ kind: 'complete', sequence: event.sequence });
        return;
      case 'accepted':
        this.#accepted(event.packetId, event.reason === undefined);
        return;
      case 'subscribed':
        this.isSubscribed = event.results[0] === 2;
        return;
      case 'completed':
        this.open.delete(event.packetId);
        return;
      case 'end':
      case 'refused':
        this.flow = null;
        break;
      default:
    }
  }

  #opened(event: LinkEvent & { kind: 'opened' }): void {
    const epoch = Buffer.from(event.epoch).toString('hex');
    if (epoch !== this.#epoch) this.#bodies = new Map();
    this.#epoch = epoch;
    if (!event.sessionPresent) {
      assert.equal(this.promised.length, 0, `${this.id}: a session that something was promised to is there`);
      this.forgetSession();
      if (this.#isListening) this.flow!.subscribe('t/#', 2);
    }
    for (const sequence of event.released) {
      this.#held.delete(sequence);
      this.owed.push({ kind: 'complete', sequence });
    }
    for (const [packetId, { body, qos, replaceKey, isReleasing }] of this.open) {
      if (isReleasing) this.flow!.send({ kind: 'release', packetId });
      else this.flow!.publish('t/x', body, { qos, replaceKey }, packetId);
    }
  }

  #take(sequence: number, qos: 0 | 1 | 2, body: string): void {
    const known = this.#bodies.get(sequence);
    assert(known === undefined || known === body, `${this.id}: number ${sequence} is ${known} and ${body}`);
    this.#bodies.set(sequence, body);
    if (qos !== 2 || !this.#held.has(sequence)) this.taken.push(body);
    if (qos === 2) this.#held.add(sequence);
    this.owed.push({ kind: qos === 2 ? 'received' : 'acknowledge', sequence });
  }

  #accepted(packetId: number, isTaken: boolean): void {
    const sent = this.open.get(packetId);
    if (sent === undefined || sent.isReleasing) return;
    for (const [peer, session] of isTaken ? sent.to : [])
      if (peer.sessions === session) peer.promised.push(sent);
    if (isTaken && sent.qos === 2) {
      sent.isReleasing = true;
      this.flow!.send({ kind: 'release', packetId });
    } else this.open.delete(packetId);
  }

  answerSome(prng: Prng): void {
    while (this.flow !== null && this.owed.length > 0 && prng.nextInteger(0, 2) > 0) {
      const [command] = this.owed.splice(prng.nextInteger(0, this.owed.length - 1), 1);
      this.flow.send(command!);
    }
  }
}

async function run(seed: number, inboxMessagesMax: number | undefined): Promise<void> {
  const prng = new Prng(seed);
  const peers = Array.from({ length: DEVICES }, (_, index) => new Peer(`d${index}`, index > 0));
  const onTimeline = ({ deviceId, reason }: TimelineEvent): void => {
    if (reason === 'inbox full') peers.find(({ id }) => id === deviceId)!.droppedFull++;
  };
  const isSmall = inboxMessagesMax !== undefined;
  const world = new World(
    seed + 1,
    isSmall ? { onTimeline, limits: { inboxMessagesMax } } : { onTimeline: undefined },
  );
  let made = 0;
  const publish = (peer: Peer, qos: 1 | 2): void => {
    const replaceKey = made % 4 < 2 ? `k${made >> 1}` : undefined;
    peer.publish(`m${made++}`, qos, replaceKey, subscribed());
  };
  const turnAll = (): void => {
    for (const peer of peers) peer.turn();
  };
  const subscribed = (): ReadonlyMap<Peer, number> =>
    new Map(peers.filter(({ isSubscribed }) => isSubscribed).map((peer) => [peer, peer.sessions]));
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 6; round++) {
      await world.settle();
      turnAll();
    }
  };
  const step = async (): Promise<void> => {
    const choice = prng.nextInteger(0, 99);
    const peer = peers[prng.nextInteger(0, DEVICES - 1)]!;
    if (choice < 25 && peer.flow !== null && peer.flow.all('opened').length > 0)
      publish(peer, prng.nextInteger(0, 1) === 0 ? 1 : 2);
    else if (choice < 45 && world.changes !== null) await world.syncOne();
    else if (choice < 53 && world.changes !== null) world.failCommit();
    else if (choice < 68) await settle();
    else if (choice < 74 && peer.flow !== null) {
      peer.flow.close();
      peer.flow = null;
    } else if (choice < 84 && peer.flow === null) peer.connect(world, false);
    else if (choice < 87) {
      // Its old flow, if there is one, is taken over.
      peer.forgetSession();
      peer.connect(world, true);
    } else if (choice < 89 && peer.flow !== null) {
      peer.forgetSession();
      peer.flow.close(false, 0);
      peer.flow = null;
    } else if (choice < 91) {
      peer.forgetSession();
      peer.flow = null;
      world.ask({ kind: 'delete-device', deviceId: peer.id });
    } else if (choice < 94) world.advance(prng.nextInteger(1, 200));
    else if (peer.flow !== null && peer.flow.all('opened').length > 0) {
      // Lost in the middle of an exchange, and then nothing happens for long.
      publish(peer, 2);
      peer.flow.close();
      peer.flow = null;
      await settle();
    }
    turnAll();
    for (const other of peers) other.answerSome(prng);
  };
  for (let count = 0; count < STEPS; count++) await step();
  for (let round = 0; round < 60; round++) {
    await settle();
    for (const peer of peers) {
      if (peer.flow === null) peer.connect(world, false);
      while (peer.flow !== null && peer.owed.length > 0) peer.flow.send(peer.owed.shift()!);
    }
    turnAll();
  }
  await world.settle();
  for (const peer of peers) {
    assert.equal(peer.open.size, 0, `${peer.id}: everything is answered`);
    // Of two that share a key one must come, be it the one whose sender left before it was answered.
    const lost = new Set<string>();
    for (const { body, qos, replaceKey } of peer.promised) {
      const times = peer.taken.filter((other) => other === body).length;
      const partner = `m${Number(body.slice(1)) ^ 1}`;
      const isReplaced = replaceKey !== undefined && peer.taken.includes(partner);
      if (times === 0 && !isReplaced) lost.add(replaceKey ?? body);
      if (qos === 2) assert(times <= 1, `${peer.id}: ${body} has come once`);
    }
    assert(
      lost.size <= peer.droppedFull,
      `${peer.id}: ${[...lost].join(', ')} were accepted, and ${peer.droppedFull} had to make room`,
    );
    assert.equal(peer.unreleased, 0, `${peer.id}: every PUBREC has got its PUBREL`);
    const reply = await world.request({ kind: 'get-device', deviceId: peer.id });
    assert(reply.kind === 'device');
    assert.equal(reply.device.waitingMessages, 0, `${peer.id}: nothing waits`);
  }
  await world.settle();
  assert.equal(world.store.size('log'), 0, 'the log is empty when nobody waits');
  // What is on disk is what is in memory: a hub that starts from it finds the same.
  const before = await world.statistics();
  await world.crash(false);
  assert.equal((await world.statistics()).devices, before.devices);
}

const rounds = process.env['WAKELINE_LONG'] === '1' ? 10_000 : 100;

for (const inboxMessagesMax of [undefined, 3]) {
  const inboxes = inboxMessagesMax === undefined ? '' : ` and inboxes of ${inboxMessagesMax}`;
  test(`[IN-16] ${rounds} random lives of devices that are idle in between, with failing commits, removals${inboxes}`, async () => {
    for (let seed = 1; seed <= rounds; seed++) {
      try {
        await run(seed, inboxMessagesMax);
      } catch (cause) {
        throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
      }
    }
  });
}
