/**
 * The server of the simulated world: the real hub on a store in memory and the real SIP stack, joined as the host joins
 * them. Commits take time, and it dies and starts again when it is told to.
 */
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { Prng } from '../../src/base/index.js';
import type { CallEvent, ControlReply, SipUser } from '../../src/domain/index.js';
import { Hub } from '../../src/hub/index.js';
import { openAccess } from '../../src/domain/index.js';
import type { StoreChange } from '../../src/ports/index.js';
import {
  SipStack,
  type SipCrypto,
  type SipInput,
  type SipListener,
  type SipTrunk,
} from '../../src/session/sip/index.js';
import { MemoryStore } from '../../src/testing/index.js';
import type { SimClock } from './clock.js';
import type { SimNetwork } from './network.js';

export const DOMAIN = 'home.test';
export const SERVER = '192.0.2.1';
export const TRUNK_ADDRESS = '192.0.2.10';

export const listeners: readonly SipListener[] = [
  { transport: 'tcp', advertised: { host: SERVER, port: 5060 }, trunksOnly: false },
  { transport: 'udp', advertised: { host: SERVER, port: 5060 }, trunksOnly: false },
  { transport: 'udp', advertised: { host: SERVER, port: 5070 }, trunksOnly: true },
];

const trunk: SipTrunk = {
  name: 'pbx',
  uri: `sip:${TRUNK_ADDRESS}:5060;transport=udp`,
  addresses: [TRUNK_ADDRESS],
  numbers: ['*@pbx.test'],
  registration: undefined,
};

export interface ServerOptions {
  readonly users: readonly SipUser[];
  readonly seed: number;
  readonly parkMs: number;
  /** Between a commit and its sync, ms. */
  readonly commitMs: () => number;
}

/** What the checker wants to know of the server. */
export interface ServerObserver {
  /** A commit has been synced. */
  onCommitted(changes: readonly StoreChange[]): void;
  /** The stack sends something; `remote` is the address of its peer. */
  onSent(bytes: Uint8Array, remote: string): void;
  /** The hub has a device woken. */
  onWake(resource: string): void;
  onEvent(event: CallEvent): void;
}

const hash = (name: string, data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(name).update(data).digest());

export class SimServer {
  readonly store = new MemoryStore();
  readonly #clock: SimClock;
  readonly #network: SimNetwork;
  readonly #options: ServerOptions;
  readonly #observer: ServerObserver;
  readonly #random: Prng;
  #hub: Hub | undefined;
  #stack: SipStack | undefined;
  #changes: readonly StoreChange[] | undefined;
  /** Which life of the process this is. */
  #life = 0;
  #armedMs = Infinity;
  #lastTicket = 0;
  #reply: ControlReply | undefined;

  constructor(clock: SimClock, network: SimNetwork, options: ServerOptions, observer: ServerObserver) {
    this.#clock = clock;
    this.#network = network;
    this.#options = options;
    this.#observer = observer;
    this.#random = new Prng(options.seed);
  }

  get isUp(): boolean {
    return this.#stack !== undefined;
  }

  get stack(): SipStack {
    assert(this.#stack !== undefined, 'the server is up');
    return this.#stack;
  }

  get hub(): Hub {
    assert(this.#hub !== undefined, 'the server is up');
    return this.#hub;
  }

  get life(): number {
    return this.#life;
  }

  start(): void {
    if (this.isUp) return;
    const { users, parkMs } = this.#options;
    const randomBytes = (count: number) =>
      Uint8Array.from({ length: count }, () => this.#random.nextUint32() & 0xff);
    const crypto: SipCrypto = {
      sha256: (data) => hash('sha256', data),
      md5: (data) => hash('md5', data),
      hmacSha256: (key, data) => new Uint8Array(createHmac('sha256', key).update(data).digest()),
      randomBytes,
    };
    const hub = new Hub({
      store: this.store,
      random: {
        fill: (target) => {
          for (let index = 0; index < target.length; index += 1)
            target[index] = this.#random.nextUint32() & 0xff;
          return target;
        },
      },
      anonymousDevices: true,
      defaultAccess: openAccess,
      sessionExpirySecondsMax: 0xffff_ffff,
      calls: { users, parkMs },
    });
    this.#hub = hub;
    this.#stack = new SipStack({
      listeners,
      domains: [DOMAIN],
      findUser: (aor) => hub.findUser(aor),
      trunks: [trunk],
      crypto,
      key: new Uint8Array(32).fill(9),
      parkMs,
    });
    hub.recover(this.#clock.now);
    this.#pump();
  }

  /** The process dies. The commit under way may have reached the disk all the same. */
  async crash(keepsCommit: boolean): Promise<void> {
    if (!this.isUp) return;
    const changes = this.#changes;
    this.#life += 1;
    this.#hub = this.#stack = this.#changes = undefined;
    this.#armedMs = Infinity;
    this.#network.handleServerGone();
    if (keepsCommit && changes !== undefined) {
      await this.store.commit(changes);
      this.#observer.onCommitted(changes);
    }
  }

  input(input: SipInput): void {
    if (this.#stack === undefined) return;
    this.#stack.handleInput(this.#clock.now, input);
    this.#pump();
  }

  /** Calls that the hub thinks are going on. */
  activeCalls(): number {
    const ticket = (this.#lastTicket += 1);
    this.hub.handleInput(this.#clock.now, { kind: 'request', request: { kind: 'get-statistics', ticket } });
    this.#pump();
    assert.equal(this.#reply?.ticket, ticket, 'statistics are told at once');
    assert.ok(this.#reply.kind === 'statistics');
    return this.#reply.statistics.callsActive;
  }

  wakeResult(ticket: number, life: number): void {
    if (this.#hub === undefined || life !== this.#life) return;
    this.#hub.handleInput(this.#clock.now, { kind: 'wake-result', ticket, outcome: 'accepted' });
    this.#pump();
  }

  /** Until neither has anything to say. */
  #pump(): void {
    const now = this.#clock.now;
    const events: CallEvent[] = [];
    for (let isBusy = true; isBusy;) {
      isBusy = this.#drainStack() || this.#drainHub(events);
      if (isBusy || events.length === 0) continue;
      for (const event of events) this.#observer.onEvent(event);
      this.#stack?.handleInput(now, { kind: 'events', events: events.splice(0) });
      isBusy = true;
    }
    this.#arm();
  }

  #drainStack(): boolean {
    let didSomething = false;
    for (let output = this.#stack?.pollOutput(); output !== undefined; output = this.#stack?.pollOutput()) {
      didSomething = true;
      switch (output.kind) {
        case 'commands':
          this.#hub?.handleInput(this.#clock.now, { kind: 'calls', commands: output.commands });
          break;
        case 'write':
          this.#network.writeToClient(output.connection, output.bytes, this.#observer);
          break;
        case 'send':
          this.#network.sendToClient(output.listener, output.remote, output.bytes, this.#observer);
          break;
        case 'connect': {
          // Nobody but the server listens on a stream.
          const { connection } = output;
          const life = this.#life;
          this.#clock.after(5, () => {
            if (life === this.#life) this.input({ kind: 'connection-closed', connection });
          });
          break;
        }
        case 'close':
          this.#network.closeByServer(output.connection);
          break;
        case 'resolve':
          assert.fail(`${output.host} is no address`);
          break;
        case 'refused':
          break;
      }
    }
    return didSomething;
  }

  #drainHub(events: CallEvent[]): boolean {
    let didSomething = false;
    const hub = this.#hub;
    if (hub === undefined) return false;
    do {
      for (let output = hub.pollOutput(); output !== undefined; output = hub.pollOutput()) {
        didSomething = true;
        if (output.kind === 'commit') this.#commit(output.changes);
        else if (output.kind === 'calls') events.push(...structuredCloneEvents(output.events));
        else if (output.kind === 'reply') this.#reply = output.reply;
        else if (output.kind === 'wake') {
          const { ticket, resource } = output.wake;
          this.#observer.onWake(resource);
          this.#network.push(resource);
          const life = this.#life;
          this.#clock.after(10, () => this.wakeResult(ticket, life));
        }
      }
    } while (hub.hasMore);
    return didSomething;
  }

  #commit(changes: readonly StoreChange[]): void {
    assert.equal(this.#changes, undefined, 'one commit at a time');
    this.#changes = changes;
    const life = this.#life;
    this.#clock.after(this.#options.commitMs(), async () => {
      if (life !== this.#life) return;
      await this.store.commit(changes);
      this.#changes = undefined;
      this.#observer.onCommitted(changes);
      this.#hub?.handleInput(this.#clock.now, { kind: 'committed' });
      this.#pump();
    });
  }

  #arm(): void {
    if (this.#hub === undefined || this.#stack === undefined) return;
    const { nowMs } = this.#clock;
    const dueMs = Math.max(nowMs + 1, Math.min(this.#hub.nextTimeoutMs(), this.#stack.nextTimeoutMs()));
    if (dueMs >= this.#armedMs || dueMs === Infinity) return;
    this.#armedMs = dueMs;
    const life = this.#life;
    this.#clock.after(dueMs - nowMs, () => {
      if (life !== this.#life || this.#armedMs !== dueMs) return;
      this.#armedMs = Infinity;
      const { now } = this.#clock;
      if (this.#hub!.nextTimeoutMs() <= now.monotonic) this.#hub!.handleTimeout(now);
      if (this.#stack!.nextTimeoutMs() <= now.monotonic) this.#stack!.handleTimeout(now);
      this.#pump();
    });
  }
}

/** What is said of a turn may be reused in another. */
function structuredCloneEvents(events: readonly CallEvent[]): CallEvent[] {
  return events.map((event) => ({ ...event }));
}
