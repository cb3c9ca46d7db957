import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { CallCommand, CallEvent, WakeOutcome } from '@wakeline/core/domain';
import type { SipInput, SipListener, SipOutput } from '@wakeline/core/session/sip';
import type { FlowSocket } from '../../src/runtime/flow-socket.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { SipSide } from '../../src/runtime/sip-side.js';
import type { CallHub, ResolvedTargets, SipConnector } from '../../src/runtime/sip-side.js';
import { FakeLog, FakeSocket, ManualClock } from './fakes.js';

/** A stack that answers from a script. */
class ScriptedStack implements Machine<SipInput, SipOutput> {
  readonly inputs: SipInput[] = [];
  readonly outputs: SipOutput[] = [];
  react: (input: SipInput) => SipOutput[] = () => [];
  timeouts = 0;
  deadlineMs = Infinity;

  handleInput(_now: InstantMs, input: SipInput): void {
    this.inputs.push(input);
    this.outputs.push(...this.react(input));
  }
  handleTimeout(): void {
    this.timeouts += 1;
    this.deadlineMs = Infinity;
  }
  pollOutput(): SipOutput | undefined {
    return this.outputs.shift();
  }
  nextTimeoutMs(): number {
    return this.deadlineMs;
  }
}

class FakeCallHub implements CallHub {
  isCongested = false;
  readonly commands: CallCommand[] = [];
  readonly wakes: (readonly [number, WakeOutcome])[] = [];
  turns = 0;
  giveCalls(_now: InstantMs, commands: readonly CallCommand[]): void {
    this.commands.push(...commands);
  }
  giveWakeResult(_now: InstantMs, ticket: number, outcome: WakeOutcome): void {
    this.wakes.push([ticket, outcome]);
  }
  scheduleTurn(): void {
    this.turns += 1;
  }
}

const tcp: SipListener = {
  transport: 'tcp',
  advertised: { host: 'a.example', port: 5060 },
  trunksOnly: false,
};
const udp: SipListener = { ...tcp, transport: 'udp' };
const peer = { address: '192.0.2.1', port: 5000 };
const bytes = (text: string): Uint8Array => Buffer.from(text);

class World {
  readonly clock = new ManualClock();
  readonly log = new FakeLog();
  readonly hub = new FakeCallHub();
  readonly stack = new ScriptedStack();
  readonly sent: (readonly [string, string])[] = [];
  readonly failures: unknown[] = [];
  targets: ResolvedTargets = [];
  outcome: WakeOutcome = 'accepted';
  /** Calls back of connects under way. */
  readonly connects: ((socket: FlowSocket | undefined) => void)[] = [];
  readonly side: SipSide;

  constructor(limits: Partial<typeof runtimeLimits> = {}) {
    const connector: SipConnector = {
      connect: (_transport, _remote, _serverName, done) => void this.connects.push(done),
      close: () => {},
    };
    this.side = new SipSide({
      createStack: () => this.stack,
      hub: this.hub,
      clock: this.clock.read,
      limits: { ...runtimeLimits, ...limits },
      log: this.log,
      connector,
      resolve: () => Promise.resolve(this.targets),
      push: () => Promise.resolve(this.outcome),
      onFailed: (error) => void this.failures.push(error),
    });
    this.side.addListener(tcp);
    this.side.addListener(udp, ({ address, port }, datagram) => {
      this.sent.push([`${address}:${port}`, Buffer.from(datagram).toString()]);
    });
  }

  begin(): this {
    this.side.begin();
    return this;
  }

  attach(): FakeSocket {
    const socket = new FakeSocket();
    this.side.attach(socket, 'tcp', 0, peer);
    return socket;
  }

  get kinds(): string[] {
    return this.stack.inputs.map(({ kind }) => kind);
  }
}

describe('SIP side: refusals', () => {
  it('[SI-140] are counted and logged, with whose password was made without what', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    const detail = { user: 'bob@example.org', algorithm: 'sha-256' } as const;
    const { address } = peer;
    world.stack.react = (input) =>
      input.kind === 'bytes'
        ? [
            { kind: 'refused', refusal: 'sip-login-failed', address, detail: undefined },
            { kind: 'refused', refusal: 'sip-login-algorithm', address, detail },
          ]
        : [];
    world.attach().receiver!.handleSocketBytes(bytes('REGISTER'));
    assert.equal(world.side.counters.refused, 2);
    assert.deepEqual(
      world.log.debugEntries.map(({ fields }) => fields),
      [
        { refusal: 'sip-login-failed', address },
        { refusal: 'sip-login-algorithm', address, ...detail },
      ],
    );
  });
});

describe('SIP side: connections', () => {
  it('numbers them, and hands over what is read and written', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    world.stack.react = (input) =>
      input.kind === 'bytes' ? [{ kind: 'write', connection: input.connection, bytes: bytes('200') }] : [];
    const [first, second] = [world.attach(), world.attach()];
    second.receiver!.handleSocketBytes(bytes('OPTIONS'));
    assert.deepEqual(world.stack.inputs, [
      { kind: 'connection-opened', connection: 1, listener: 0, transport: 'tcp', remote: peer },
      { kind: 'connection-opened', connection: 2, listener: 0, transport: 'tcp', remote: peer },
      { kind: 'bytes', connection: 2, chunk: bytes('OPTIONS') },
    ]);
    assert.deepEqual([first.writes, second.writes], [[], ['200']]);
    // An answer, a challenge say, is not enough: a handshake ends when somebody is let in.
    assert.deepEqual([first.isOpened, second.isOpened], [false, false]);
    world.stack.react = () => [{ kind: 'admitted', connection: 2 }];
    second.receiver!.handleSocketBytes(bytes('OPTIONS'));
    assert.deepEqual([first.isOpened, second.isOpened], [false, true]);
    second.receiver!.handleSocketClosed();
    assert.deepEqual(world.stack.inputs.at(-1), { kind: 'connection-closed', connection: 2 });
    assert.equal(world.side.counters.connections, 1);
  });

  it('what comes before the stack is there waits for it, in order', (t) => {
    const world = new World();
    t.after(() => world.side.stop());
    const socket = world.attach();
    assert.equal(socket.isPaused, true);
    socket.receiver!.handleSocketBytes(bytes('a'));
    world.side.handleDatagram(1, peer, bytes('lost'));
    const restored: CallEvent = { kind: 'restored', bindings: [], calls: [] };
    world.side.handleCalls([restored]);
    world.side.endEvents(world.clock.read());
    world.begin();
    assert.deepEqual(world.kinds, ['events', 'connection-opened', 'bytes']);
    assert.equal(socket.isPaused, false);
    assert.equal(world.side.counters.datagramsDropped, 1);
  });

  it('is not read while the hub has enough', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    const socket = world.attach();
    world.hub.isCongested = true;
    socket.receiver!.handleSocketBytes(bytes('a'));
    socket.receiver!.handleSocketBytes(bytes('b'));
    world.side.handleDatagram(1, peer, bytes('lost'));
    world.side.beginTurn(world.clock.read());
    assert.deepEqual(world.kinds, ['connection-opened']);
    assert.equal(socket.isPaused, true);
    world.hub.isCongested = false;
    world.side.beginTurn(world.clock.read());
    assert.deepEqual(world.stack.inputs.slice(1), [
      { kind: 'bytes', connection: 1, chunk: bytes('a') },
      { kind: 'bytes', connection: 1, chunk: bytes('b') },
    ]);
    assert.equal(socket.isPaused, false);
    // What waits is said before the end is.
    world.hub.isCongested = true;
    socket.receiver!.handleSocketBytes(bytes('BYE'));
    socket.receiver!.handleSocketClosed();
    assert.deepEqual(world.kinds.slice(3), ['bytes', 'connection-closed']);
  });

  it('that has too much unsent is closed, and that takes nothing for too long', async (t) => {
    const world = new World({ sipUnsentBytesMax: 1_000, stallMs: 50, sweepMs: 5 } as never).begin();
    t.after(() => world.side.stop());
    const [slow, stuck] = [world.attach(), world.attach()];
    const write = (connection: number): void => {
      world.stack.outputs.push({ kind: 'write', connection, bytes: bytes('x') });
      world.side.handleDatagram(1, peer, bytes(''));
    };
    slow.unsentBytes = 1_000;
    write(1);
    assert.equal(slow.isDestroyed, true);
    stuck.unsentBytes = 10;
    write(2);
    assert.equal(stuck.isDestroyed, false);
    world.clock.nowMs += 60;
    await until(() => stuck.isDestroyed);
    assert.equal(world.side.counters.connectionsStalled, 2);
  });

  it('that the stack closes is ended, and destroyed if it lingers', async (t) => {
    const world = new World({ lingerMs: 50, sweepMs: 5 } as never).begin();
    t.after(() => world.side.stop());
    const socket = world.attach();
    world.stack.react = ({ kind }) =>
      kind === 'bytes'
        ? [
            { kind: 'write', connection: 1, bytes: bytes('400') },
            { kind: 'close', connection: 1, reason: 'no SIP' },
          ]
        : [];
    socket.receiver!.handleSocketBytes(bytes('GET'));
    assert.deepEqual([socket.writes, socket.isEnded, socket.isDestroyed], [['400'], true, false]);
    socket.receiver!.handleSocketBytes(bytes('more'));
    assert.equal(world.kinds.length, 2);
    world.clock.nowMs += 60;
    await until(() => socket.isDestroyed);
  });

  it('is made when the stack asks, and its failure is told', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    const remote = { address: '192.0.2.9', port: 5061 };
    world.stack.outputs.push(
      { kind: 'connect', connection: -1, transport: 'tcp', remote, serverName: undefined },
      { kind: 'connect', connection: -2, transport: 'tls', remote, serverName: 'pbx.example' },
    );
    world.side.handleDatagram(1, peer, bytes(''));
    const socket = new FakeSocket();
    world.connects[0]!(socket);
    world.connects[1]!(undefined);
    assert.deepEqual(world.stack.inputs.slice(1), [
      { kind: 'connection-opened', connection: -1, listener: 0, transport: 'tcp', remote },
      { kind: 'connection-closed', connection: -2 },
    ]);
    assert.equal(world.side.counters.connectsFailed, 1);
    socket.receiver!.handleSocketBytes(bytes('a'));
    assert.deepEqual(world.stack.inputs.at(-1), { kind: 'bytes', connection: -1, chunk: bytes('a') });
  });
});

describe('SIP side: the rest', () => {
  it('datagrams go to the listener that is named', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    world.stack.react = () => [{ kind: 'send', listener: 1, remote: peer, bytes: bytes('pong') }];
    world.side.handleDatagram(1, peer, bytes('ping'));
    assert.deepEqual(world.stack.inputs, [
      { kind: 'datagram', listener: 1, remote: peer, bytes: bytes('ping') },
    ]);
    assert.deepEqual(world.sent, [['192.0.2.1:5000', 'pong']]);
  });

  it('events of a turn are one input, and what they cause goes to the hub', (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    const command: CallCommand = { kind: 'flow-lost', flow: 3 };
    world.stack.react = () => [{ kind: 'commands', commands: [command] }];
    const call = 'a'.repeat(32);
    world.side.handleCalls([{ kind: 'journaled', call }]);
    world.side.handleCalls([{ kind: 'unreached', ticket: 1 }]);
    world.side.endEvents(world.clock.read());
    assert.deepEqual(world.stack.inputs, [
      {
        kind: 'events',
        events: [
          { kind: 'journaled', call },
          { kind: 'unreached', ticket: 1 },
        ],
      },
    ]);
    assert.deepEqual(world.hub.commands, [command]);
    assert.ok(world.hub.turns > 0);
    world.side.endEvents(world.clock.read());
    assert.equal(world.stack.inputs.length, 1);
  });

  it('names are found and wakes are sent, and what became of them is told', async (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    world.targets = [{ transport: 'udp', remote: peer }];
    world.outcome = 'gone';
    world.stack.outputs.push({
      kind: 'resolve',
      ticket: 5,
      host: 'pbx.example',
      port: undefined,
      transport: undefined,
      isSecure: false,
    });
    world.side.handleDatagram(1, peer, bytes(''));
    world.side.handleWake({ ticket: 6, resource: 'https://push.example/x', ttlSeconds: 45, topic: 't' });
    await until(() => world.hub.wakes.length > 0 && world.kinds.includes('resolved'));
    assert.deepEqual(world.stack.inputs.at(-1), { kind: 'resolved', ticket: 5, targets: world.targets });
    assert.deepEqual(world.hub.wakes, [[6, 'gone']]);
  });

  it('has one timer, for the earliest deadline', async (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    world.stack.deadlineMs = world.clock.nowMs + 3_600_000;
    world.side.handleDatagram(1, peer, bytes(''));
    world.stack.deadlineMs = world.clock.nowMs + 5;
    world.side.handleDatagram(1, peer, bytes(''));
    world.clock.nowMs += 5;
    await until(() => world.stack.timeouts > 0);
    assert.equal(world.stack.timeouts, 1);
  });

  it('a stack that throws ends everything, and that is said once', () => {
    const world = new World().begin();
    const socket = world.attach();
    const error = new Error('broken');
    world.stack.react = () => {
      throw error;
    };
    socket.receiver!.handleSocketBytes(bytes('a'));
    world.side.handleDatagram(1, peer, bytes('b'));
    assert.deepEqual(world.failures, [error]);
    assert.equal(socket.isDestroyed, true);
    assert.equal(world.stack.inputs.length, 2);
  });

  it('leaves: refuses first, then closes without a word to the stack', async (t) => {
    const world = new World().begin();
    t.after(() => world.side.stop());
    const socket = world.attach();
    world.side.drain();
    world.side.drain();
    assert.deepEqual(world.kinds, ['connection-opened', 'drain']);
    const left = world.side.leave();
    assert.equal(socket.isEnded, true);
    socket.receiver!.handleSocketClosed();
    await left;
    // Whoever comes now is not taken.
    assert.equal(world.attach().isDestroyed, true);
    assert.deepEqual(world.kinds, ['connection-opened', 'drain']);
  });
});

/** Waits for what a timer or a promise brings about. */
async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await new Promise((resolve) => setTimeout(resolve, 2));
}
