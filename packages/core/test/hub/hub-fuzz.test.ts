/**
 * Random days in the life of a hub: devices come and go, acknowledge in any order, commits fail, the server dies at
 * any moment with its last commit kept or lost. A ledger outside the hub then says whether a promise was broken.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../src/base/index.js';
import type { Qos } from '../../src/domain/index.js';
import { World, text } from './world.js';
import type { ResumeOptions, TestFlow } from './world.js';

const DEVICES = 4;
const SENDERS = 2;
const STEPS = 220;

/** What the line process of a connection remembers of it, to take it up at the next hub. */
class LineRecord {
  epoch = new Uint8Array(8);
  lastSequence = 0;
  readonly sent = new Set<number>();
  readonly released = new Set<number>();
  readonly acknowledged: number[] = [];
  readonly completed: number[] = [];
  /** PUBRECs without their PUBREL: the hub owes an answer. */
  readonly awaited = new Set<number>();

  note(kind: 'acknowledge' | 'received' | 'complete', sequence: number): void {
    this.sent.delete(sequence);
    if (kind === 'acknowledge') this.acknowledged.push(sequence);
    else if (kind === 'received') this.awaited.add(sequence);
    else {
      this.released.delete(sequence);
      this.completed.push(sequence);
    }
  }

  noteSent(sequence: number): void {
    this.sent.add(sequence);
    this.lastSequence = Math.max(this.lastSequence, sequence);
  }

  noteRelease(sequence: number): void {
    this.awaited.delete(sequence);
    this.released.add(sequence);
    this.lastSequence = Math.max(this.lastSequence, sequence);
  }

  options(deviceId: string, receiveMaximum: number): ResumeOptions {
    const { epoch, lastSequence, acknowledged, completed } = this;
    const [sent, released] = [[...this.sent], [...this.released]];
    return { deviceId, epoch, receiveMaximum, lastSequence, sent, released, acknowledged, completed };
  }
}

/** What a device knows, as an application with an ordinary client would. */
class Receiver {
  readonly id: string;
  flow: TestFlow | null = null;
  #line = new LineRecord();
  #receiveMaximum = 0;
  /** Sequence numbers that came on this connection, hubs come and go. */
  #came = new Set<number>();
  /** Events of the flow handled so far. */
  #handled = 0;
  /** Body by (epoch, sequence): the same number must never mean another message. */
  readonly bodies = new Map<number, string>();
  /** QoS 2 ids taken and not released: a repeat is not a new message. */
  #held = new Set<number>();
  readonly exactlyOnce: string[] = [];
  /** Sent to us and not answered yet. */
  #owed: { readonly kind: 'acknowledge' | 'received' | 'complete'; readonly sequence: number }[] = [];

  constructor(id: string) {
    this.id = id;
  }

  opened(flow: TestFlow, receiveMaximum: number): void {
    this.flow = flow;
    this.#handled = 0;
    this.#owed = [];
    this.#line = new LineRecord();
    this.#came = new Set();
    this.#receiveMaximum = receiveMaximum;
  }

  /** What was on its way from the hub when it died is lost. True: its line process may keep the connection. */
  loseHub(): boolean {
    if (this.flow === null) return false;
    this.flow.events.length = this.#handled;
    return this.#handled > 0 && this.#line.awaited.size === 0;
  }

  resume(world: World): void {
    world.resume(this.flow!, this.#line.options(this.id, this.#receiveMaximum));
  }

  /** Takes what came and answers some of it, in any order. */
  turn(prng: Prng, answersAll: boolean): void {
    const { flow } = this;
    if (flow === null) return;
    for (; this.#handled < flow.events.length; this.#handled++) {
      const event = flow.events[this.#handled];
      if (event.kind === 'deliver')
        this.#take(event.delivery.sequence, event.delivery.qos, text(event.delivery.body));
      else if (event.kind === 'release') this.#release(event.sequence);
      else if (event.kind === 'opened') {
        this.#line.epoch = event.epoch as Uint8Array<ArrayBuffer>;
        for (const sequence of event.released) this.#release(sequence);
      } else if (event.kind === 'end' || event.kind === 'refused') {
        this.flow = null;
        return;
      }
    }
    while (this.#owed.length > 0 && (answersAll || prng.nextInteger(0, 3) > 0)) {
      const index = answersAll ? 0 : prng.nextInteger(0, Math.min(2, this.#owed.length - 1));
      const [command] = this.#owed.splice(index, 1);
      this.#line.note(command.kind, command.sequence);
      flow.send(command);
    }
  }

  get owes(): boolean {
    return this.flow !== null && (this.#owed.length > 0 || this.#handled < this.flow.events.length);
  }

  #take(sequence: number, qos: Qos, body: string): void {
    const known = this.bodies.get(sequence);
    assert(known === undefined || known === body, `${this.id}: number ${sequence} is ${known} and ${body}`);
    this.bodies.set(sequence, body);
    assert(!this.#came.has(sequence), `${this.id}: number ${sequence} came twice on one connection`);
    this.#came.add(sequence);
    this.#line.noteSent(sequence);
    assert(this.#line.sent.size <= this.#receiveMaximum, `${this.id}: more under way than it takes`);
    if (qos === 2) {
      if (!this.#held.has(sequence)) this.exactlyOnce.push(body);
      this.#held.add(sequence);
      this.#owed.push({ kind: 'received', sequence });
    } else this.#owed.push({ kind: 'acknowledge', sequence });
  }

  #release(sequence: number): void {
    assert(
      !this.#line.released.has(sequence),
      `${this.id}: PUBREL of ${sequence} came twice on one connection`,
    );
    this.#line.noteRelease(sequence);
    this.#held.delete(sequence);
    this.#owed.push({ kind: 'complete', sequence });
  }
}

/** A sender that repeats what was not answered, as MQTT clients do. */
class Sender {
  readonly id: string;
  flow: TestFlow | null = null;
  #handled = 0;
  readonly #open = new Map<
    number,
    { readonly body: string; readonly qos: Qos; state: 'sent' | 'releasing' }
  >();
  readonly accepted: { readonly body: string; readonly qos: Qos }[] = [];
  #nextId = 1;
  #epoch = new Uint8Array(0) as Uint8Array;

  constructor(id: string) {
    this.id = id;
  }

  opened(flow: TestFlow): void {
    this.flow = flow;
    this.#handled = 0;
    for (const [packetId, { body, qos, state }] of this.#open) {
      if (state === 'sent') flow.publish('t/x', body, { qos }, packetId);
      else flow.send({ kind: 'release', packetId });
    }
  }

  publish(body: string, qos: Qos): void {
    if (this.flow === null || this.#open.size > 50) return;
    const packetId = this.#nextId++;
    this.#open.set(packetId, { body, qos, state: 'sent' });
    this.flow.publish('t/x', body, { qos }, packetId);
  }

  /** True: its line process may keep the connection, on which nothing is unanswered. */
  loseHub(): boolean {
    if (this.flow === null) return false;
    this.flow.events.length = this.#handled;
    return this.#handled > 0 && this.#open.size === 0;
  }

  resume(world: World): void {
    world.resume(this.flow!, { deviceId: this.id, epoch: this.#epoch });
  }

  turn(): void {
    const { flow } = this;
    if (flow === null) return;
    for (; this.#handled < flow.events.length; this.#handled++) {
      const event = flow.events[this.#handled];
      if (event.kind === 'opened') this.#epoch = event.epoch;
      else if (event.kind === 'accepted') this.#answered(event.packetId, event.reason === undefined);
      else if (event.kind === 'completed') this.#open.delete(event.packetId);
      else if (event.kind === 'end' || event.kind === 'refused') {
        this.flow = null;
        return;
      }
    }
  }

  #answered(packetId: number, isAccepted: boolean): void {
    const sent = this.#open.get(packetId);
    if (sent === undefined || sent.state === 'releasing') return;
    if (!isAccepted) {
      this.#open.delete(packetId);
      return;
    }
    this.accepted.push(sent);
    if (sent.qos === 1) this.#open.delete(packetId);
    else {
      sent.state = 'releasing';
      this.flow!.send({ kind: 'release', packetId });
    }
  }

  get isIdle(): boolean {
    return this.#open.size === 0;
  }
}

async function run(seed: number, failsCommits: boolean): Promise<void> {
  const prng = new Prng(seed);
  const world = new World(seed + 1, { onTimeline: undefined });
  const receivers = Array.from({ length: DEVICES }, (_, index) => new Receiver(`d${index}`));
  const senders = Array.from({ length: SENDERS }, (_, index) => new Sender(`s${index}`));
  for (const [index, receiver] of receivers.entries()) {
    const receiveMaximum = prng.nextInteger(1, 20);
    const qos = index % 2 === 0 ? 1 : 2;
    const flow = await world.subscriber(receiver.id, 't/#', qos, { receiveMaximum });
    receiver.opened(flow, receiveMaximum);
  }
  let published = 0;
  /** Kept by their lines, which have not found the new hub yet. */
  const late = new Set<Receiver | Sender>();
  const step = async (): Promise<void> => {
    const choice = prng.nextInteger(0, 99);
    const receiver = receivers[prng.nextInteger(0, DEVICES - 1)];
    const sender = senders[prng.nextInteger(0, SENDERS - 1)];
    if (choice < 35 && !late.has(sender))
      sender.publish(`m${published++}`, prng.nextInteger(0, 1) === 0 ? 1 : 2);
    else if (choice < 55 && world.changes !== null) await world.syncOne();
    else if (choice < 60 && receiver.flow !== null) {
      receiver.flow.close(true);
      receiver.flow = null;
    } else if (choice < 70 && receiver.flow === null) {
      const receiveMaximum = prng.nextInteger(1, 20);
      receiver.opened(world.open(receiver.id, { receiveMaximum }), receiveMaximum);
    } else if (choice < 75 && sender.flow === null) sender.opened(world.open(sender.id));
    else if (choice < 78) world.advance(prng.nextInteger(1, 300));
    else if (choice < 80 && failsCommits && world.changes !== null) world.failCommit();
    else if (choice < 83) {
      const kept = [...receivers, ...senders].filter(
        (other) => other.loseHub() && prng.nextInteger(0, 2) > 0,
      );
      await world.crash(prng.nextInteger(0, 1) === 1);
      for (const other of [...receivers, ...senders]) {
        late.delete(other);
        if (!kept.includes(other)) other.flow = null;
        else if (prng.nextInteger(0, 3) > 0) other.resume(world);
        else late.add(other);
      }
    }
    for (const other of late) {
      if (other.flow !== null && prng.nextInteger(0, 5) > 0) continue;
      late.delete(other);
      if (other.flow !== null) other.resume(world);
    }
    for (const other of receivers) if (!late.has(other)) other.turn(prng, false);
    for (const other of senders) if (!late.has(other)) other.turn();
  };
  for (let count = 0; count < STEPS; count++) await step();

  // The storm is over: everybody comes back and answers everything.
  for (const sender of senders) if (sender.flow === null) sender.opened(world.open(sender.id));
  for (const receiver of receivers) receiver.opened(world.open(receiver.id), 65_535);
  for (let round = 0; round < 200; round++) {
    await world.settle();
    for (const sender of senders) {
      sender.turn();
      if (sender.flow === null) sender.opened(world.open(sender.id));
    }
    for (const receiver of receivers) {
      receiver.turn(prng, true);
      if (receiver.flow === null) receiver.opened(world.open(receiver.id), 65_535);
    }
    if (senders.every(({ isIdle }) => isIdle) && receivers.every(({ owes }) => !owes)) break;
  }
  await world.settle();

  for (const [index, receiver] of receivers.entries()) {
    const sequences = [...receiver.bodies.keys()].sort((a, b) => a - b);
    assert.deepEqual(
      sequences,
      Array.from({ length: sequences.length }, (_, position) => position + 1),
      `${receiver.id}: numbers are dense`,
    );
    const got = new Set(receiver.bodies.values());
    for (const sender of senders) {
      assert(sender.isIdle, `${sender.id} got its answers`);
      for (const { body } of sender.accepted) assert(got.has(body), `${receiver.id} got ${body}`);
    }
    // QoS 2 on both legs: the application sees it exactly once.
    if (index % 2 === 1) {
      const twice = senders.flatMap((sender) => sender.accepted.filter(({ qos }) => qos === 2));
      for (const { body } of twice) {
        const count = [...receiver.bodies.values()].filter((other) => other === body).length;
        assert.equal(count, 1, `${receiver.id} has one number for ${body}`);
        assert.equal(
          receiver.exactlyOnce.filter((other) => other === body).length,
          1,
          `${receiver.id} took ${body} once`,
        );
      }
    }
  }
  for (const receiver of receivers) {
    const reply = await world.request({ kind: 'get-device', deviceId: receiver.id });
    assert(reply.kind === 'device');
    assert.equal(reply.device.waitingMessages, 0, `${receiver.id} has nothing waiting`);
  }
  await world.settle();
  assert.equal(world.store.size('log'), 0, 'the log is empty when nobody waits');
}

const rounds = process.env['WAKELINE_LONG'] === '1' ? 5_000 : 300;
const pinned: readonly number[] = [];

test(`[IN-16] ${rounds} random lives with crashes lose nothing, double nothing and never reuse a number`, async () => {
  for (const seed of [...pinned, ...Array.from({ length: rounds }, (_, index) => index + 1)]) {
    try {
      await run(seed, false);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
    }
  }
});

test(`[IN-16] ${rounds} random lives with failing commits besides`, async () => {
  for (const seed of Array.from({ length: rounds }, (_, index) => index + 1)) {
    try {
      await run(seed, true);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
    }
  }
});
