/**
 * A hub with a store, a clock and scripted devices, driven by hand: commits sync when the test says so, the clock
 * moves when it says so, and the server dies when it says so.
 */
import assert from 'node:assert/strict';
import { Prng, decodeUtf8, encodeUtf8 } from '../../src/base/index.js';
import type { InstantMs } from '../../src/base/index.js';
import { Urgency, noBytes, openAccess } from '../../src/domain/index.js';
import type {
  ControlReply,
  ControlRequest,
  Delivery,
  Identity,
  LinkCommand,
  LinkEvent,
  Publication,
  Statistics,
} from '../../src/domain/index.js';
import { Hub } from '../../src/hub/index.js';
import type { HubOptions, HubOutput, TimelineEvent } from '../../src/hub/index.js';
import type { Random, StoreChange } from '../../src/ports/index.js';
import { MemoryStore } from '../../src/testing/index.js';

export const text = (bytes: Uint8Array): string => decodeUtf8(bytes, 0, bytes.length)!;

export interface OpenOptions {
  readonly clean?: boolean;
  readonly expirySeconds?: number;
  readonly receiveMaximum?: number;
  readonly identity?: Identity;
  readonly will?: (LinkCommand & { kind: 'open' })['will'];
}

type Resume = LinkCommand & { kind: 'resume' };
export type ResumeOptions = Pick<Resume, 'deviceId' | 'epoch'> & Partial<Resume>;

type PublicationOptions = Partial<Omit<Publication, 'topic' | 'body'>>;

export function publication(topic: string, body: string, options: PublicationOptions = {}): Publication {
  return {
    topic,
    body: encodeUtf8(body),
    properties: noBytes,
    qos: 1,
    retain: false,
    expirySeconds: undefined,
    urgency: Urgency.normal,
    replaceKey: undefined,
    ...options,
  };
}

/** One connection of a device. */
export class TestFlow {
  readonly world: World;
  readonly id: number;
  /** Everything the hub said, oldest first. */
  readonly events: LinkEvent[] = [];

  constructor(world: World, id: number) {
    this.world = world;
    this.id = id;
  }

  send(...commands: LinkCommand[]): void {
    this.world.input({ kind: 'link', flow: this.id, commands });
  }

  publish(topic: string, body: string, options: PublicationOptions = {}, packetId = 1): void {
    this.send({ kind: 'publish', publication: publication(topic, body, options), packetId });
  }

  subscribe(filter: string, qos: 0 | 1 | 2 = 1, more: object = {}): void {
    const defaults = {
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      subscriptionId: 0,
    } as const;
    this.send({ kind: 'subscribe', ticket: 7, subscriptions: [{ filter, qos, ...defaults, ...more }] });
  }

  close(publishWill = false, sessionExpirySeconds?: number): void {
    this.send({ kind: 'close', publishWill, sessionExpirySeconds });
  }

  acknowledge(sequence: number): void {
    this.send({ kind: 'acknowledge', sequence });
  }

  all<K extends LinkEvent['kind']>(kind: K): (LinkEvent & { kind: K })[] {
    return this.events.filter((event) => event.kind === kind) as (LinkEvent & { kind: K })[];
  }

  get deliveries(): Delivery[] {
    return this.all('deliver').map(({ delivery }) => delivery);
  }

  /** Bodies of all deliveries so far. */
  get bodies(): string[] {
    return this.deliveries.map(({ body }) => text(body));
  }

  get sequences(): number[] {
    return this.deliveries.map(({ sequence }) => sequence);
  }
}

export class World {
  readonly store = new MemoryStore();
  readonly prng: Prng;
  readonly timeline: TimelineEvent[] = [];
  readonly #options: Partial<HubOptions>;
  hub!: Hub;
  now: InstantMs = { monotonic: 1_000, wall: 1_700_000_000_000 };
  /** The commit under way. */
  changes: readonly StoreChange[] | null = null;
  #flows = new Map<number, TestFlow>();
  readonly replies = new Map<number, ControlReply>();
  #nextFlow = 1;
  #nextTicket = 1;
  /** Takes what there is for the SIP stack. */
  onCalls?: (output: HubOutput & { readonly kind: 'calls' | 'wake' }) => void;

  constructor(seed = 1, options: Partial<HubOptions> = {}) {
    this.prng = new Prng(seed);
    this.#options = options;
    this.start();
  }

  /** Begins (or, after {@link crash}, begins again) on what the store holds. */
  start(): void {
    const random: Random = {
      fill: (target) => {
        for (let index = 0; index < target.length; index++) target[index] = this.prng.nextInteger(0, 255);
        return target;
      },
    };
    this.hub = new Hub({
      store: this.store,
      random,
      anonymousDevices: true,
      defaultAccess: openAccess,
      sessionExpirySecondsMax: 0xffff_ffff,
      onTimeline: (event) => this.timeline.push(event),
      ...this.#options,
    });
    this.hub.recover(this.now);
    this.drain();
  }

  input(input: Parameters<Hub['handleInput']>[1]): void {
    this.hub.handleInput(this.now, input);
    this.drain();
  }

  drain(): void {
    do this.drainOneTurn();
    while (this.hub.hasMore);
  }

  drainOneTurn(): void {
    for (let output = this.hub.pollOutput(); output !== undefined; output = this.hub.pollOutput()) {
      this.#take(output);
    }
  }

  #take(output: HubOutput): void {
    if (output.kind === 'link') {
      const flow = this.#flows.get(output.flow);
      // Bodies are views of this turn.
      for (const event of output.events) flow?.events.push(structuredClone(event));
    } else if (output.kind === 'reply') this.replies.set(output.reply.ticket, output.reply);
    else if (output.kind === 'calls' || output.kind === 'wake') this.onCalls?.(output);
    else {
      assert.equal(this.changes, null, 'one commit at a time');
      this.changes = output.changes;
    }
  }

  /** Syncs the commit under way, and those it makes room for. */
  async sync(): Promise<void> {
    while (this.changes !== null) await this.syncOne();
  }

  async syncOne(): Promise<void> {
    const { changes } = this;
    assert(changes !== null, 'there is a commit to sync');
    await this.store.commit(changes);
    this.changes = null;
    this.input({ kind: 'committed' });
  }

  failCommit(): void {
    assert(this.changes !== null, 'there is a commit to fail');
    this.changes = null;
    this.input({ kind: 'commit-failed' });
  }

  /** The server dies; the commit under way may or may not have reached the disk. A new one starts. */
  async crash(keepsCommit: boolean): Promise<void> {
    if (this.changes !== null && keepsCommit) await this.store.commit(this.changes);
    this.changes = null;
    this.#flows = new Map();
    this.replies.clear();
    this.start();
  }

  advance(ms: number): void {
    this.now = { monotonic: this.now.monotonic + ms, wall: this.now.wall + ms };
    this.hub.handleTimeout(this.now);
    this.drain();
  }

  /** Lets the cursors' interval pass and syncs them. */
  async settle(): Promise<void> {
    await this.sync();
    for (let round = 0; round < 4; round++) {
      this.advance(1_000);
      await this.sync();
    }
  }

  /** A line process takes its connection up again at this hub: what `flow` saw until now is told by `resume`. */
  resume(flow: TestFlow, resume: ResumeOptions): void {
    this.#flows.set(flow.id, flow);
    flow.send({
      kind: 'resume',
      link: 'mqtt',
      peer: '127.0.0.1:1',
      identity: { kind: 'anonymous' },
      receiveMaximum: 65_535,
      lastSequence: Math.max(0, ...(resume.sent ?? []), ...(resume.acknowledged ?? [])),
      sent: [],
      released: [],
      acknowledged: [],
      completed: [],
      ...resume,
    });
  }

  /** A connection that has said nothing. */
  connection(): TestFlow {
    const flow = new TestFlow(this, this.#nextFlow++);
    this.#flows.set(flow.id, flow);
    return flow;
  }

  open(clientId: string, options: OpenOptions = {}): TestFlow {
    const flow = this.connection();
    flow.send({
      kind: 'open',
      link: 'mqtt',
      peer: '127.0.0.1:1',
      identity: options.identity ?? { kind: 'anonymous' },
      clientId,
      clean: options.clean ?? false,
      sessionExpirySeconds: options.expirySeconds ?? 3_600,
      receiveMaximum: options.receiveMaximum ?? 65_535,
      will: options.will,
    });
    return flow;
  }

  /** A user agent of Web Push comes; see `Identity`. */
  openAgent(freshSha256: string, sha256: string | undefined, peer = '127.0.0.1:1'): TestFlow {
    const flow = new TestFlow(this, this.#nextFlow++);
    this.#flows.set(flow.id, flow);
    flow.send({
      kind: 'open',
      link: 'webpush',
      peer,
      identity: { kind: 'agent', sha256, freshSha256 },
      clientId: '',
      clean: false,
      sessionExpirySeconds: 0,
      receiveMaximum: 100,
      will: undefined,
    });
    return flow;
  }

  /** Opens a flow and syncs, so that it is usable. */
  async connect(clientId: string, options: OpenOptions = {}): Promise<TestFlow> {
    const flow = this.open(clientId, options);
    await this.sync();
    return flow;
  }

  /** A device with a subscription, synced. */
  async subscriber(
    clientId: string,
    filter: string,
    qos: 0 | 1 | 2 = 1,
    options: OpenOptions = {},
  ): Promise<TestFlow> {
    const flow = await this.connect(clientId, options);
    flow.subscribe(filter, qos);
    await this.sync();
    return flow;
  }

  /** Asks, syncs, and returns the reply. */
  async request(request: DistributiveOmit<ControlRequest, 'ticket'>): Promise<ControlReply> {
    const ticket = this.ask(request);
    await this.sync();
    const reply = this.replies.get(ticket);
    assert(reply !== undefined, 'a request is answered');
    return reply;
  }

  async statistics(): Promise<Statistics> {
    const reply = await this.request({ kind: 'get-statistics' });
    assert(reply.kind === 'statistics');
    return reply.statistics;
  }

  ask(request: DistributiveOmit<ControlRequest, 'ticket'>): number {
    const ticket = this.#nextTicket++;
    this.input({ kind: 'request', request: { ...request, ticket } as ControlRequest });
    return ticket;
  }

  sendTo(deviceId: string, body: string, more: object = {}): DistributiveOmit<ControlRequest, 'ticket'> {
    return {
      kind: 'send-to-device',
      deviceId,
      channel: 'default',
      message: {
        body: encodeUtf8(body),
        properties: noBytes,
        qos: 1,
        expirySeconds: undefined,
        urgency: Urgency.normal,
        replaceKey: undefined,
        ...more,
      },
      idempotency: undefined,
    };
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
