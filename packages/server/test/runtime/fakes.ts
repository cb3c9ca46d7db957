/** Stand-ins for what the pump joins, each with a record of what it was told. */
import type { InstantMs } from '@wakeline/core/base';
import { NEVER } from '@wakeline/core/base';
import type {
  Farewell,
  PathProbing,
  FlowId,
  FlowSession,
  LinkCommand,
  LinkEvent,
  SessionInput,
  SessionOutput,
} from '@wakeline/core/domain';
import type { HubInput, HubOutput } from '@wakeline/core/hub';
import type { StoreChange } from '@wakeline/core/ports';
import type { FlowReceiver, FlowSocket } from '../../src/runtime/flow-socket.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import type { RuntimeLimits } from '../../src/runtime/limits.js';
import type { Log } from '../../src/runtime/log.js';
import { identifyAgent } from '../../src/runtime/agent-identity.js';
import { Pump } from '../../src/runtime/pump.js';
import type { PumpOptions } from '../../src/runtime/pump.js';
import { HubDriver } from '../../src/runtime/hub-driver.js';
import type { DrivenHub, HubDriverOptions } from '../../src/runtime/hub-driver.js';

/** A clock that stands until told. */
export class ManualClock {
  nowMs = 1_000;
  readonly read = (): InstantMs => ({ monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs });
}

export class FakeSocket implements FlowSocket {
  readonly link = 'mqtt';
  readonly address = '192.0.2.1';
  readonly peer: string;
  isPathProbed = false;
  hasPeerEnded = false;
  receiver: FlowReceiver | undefined = undefined;
  readonly writes: string[] = [];
  unsentBytes = 0;
  progress = 0;
  isOpened = false;
  isPaused = false;
  isEnded = false;
  farewell: Farewell | undefined = undefined;
  pings = 0;
  probing: PathProbing | undefined = undefined;
  isDestroyed = false;

  constructor(peer = '192.0.2.1:5000') {
    this.peer = peer;
  }

  write(bytes: Uint8Array): void {
    this.writes.push(Buffer.from(bytes).toString());
  }
  progressMark(): number {
    return this.progress;
  }
  handleTimedByOwner(): void {}
  handleOpened(): void {
    this.isOpened = true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  ping(): void {
    this.pings += 1;
  }
  probePath(after: PathProbing): void {
    this.probing = after;
  }
  end(farewell?: Farewell): void {
    this.isEnded = true;
    this.farewell = farewell;
  }
  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.receiver?.handleSocketClosed();
  }
  /** As if the peer had sent it. */
  receive(text: string): void {
    this.receiver?.handleSocketBytes(Buffer.from(text));
  }
}

/** Says what its script says about each input. */
export class FakeSession implements FlowSession {
  wantsInput = true;
  timeoutMs = NEVER;
  timeouts = 0;
  readonly inputs: SessionInput[] = [];
  readonly outputs: SessionOutput[] = [];
  react: (input: SessionInput) => SessionOutput[] = () => [];

  handleInput(_now: InstantMs, input: SessionInput): void {
    this.inputs.push(input);
    this.outputs.push(...this.react(input));
  }
  handleTimeout(): void {
    this.timeouts += 1;
    this.timeoutMs = NEVER;
  }
  pollOutput(): SessionOutput | undefined {
    return this.outputs.shift();
  }
  nextTimeoutMs(): number {
    return this.timeoutMs;
  }
  kinds(): string[] {
    return this.inputs.map((input) => input.kind);
  }
}

export class FakeHub implements DrivenHub {
  isCongested = false;
  hasMore = false;
  hasMuchToSay = false;
  isPending = false;
  timeoutMs = NEVER;
  timeouts = 0;
  readonly inputs: HubInput[] = [];
  readonly outputs: HubOutput[] = [];
  react: (input: HubInput) => void = () => {};
  /** Called when `pollOutput` found nothing. */
  onDrained: () => void = () => {};

  handleInput(_now: InstantMs, input: HubInput): void {
    this.inputs.push(input);
    this.react(input);
  }
  handleTimeout(): void {
    this.timeouts += 1;
    this.timeoutMs = NEVER;
  }
  pollOutput(): HubOutput | undefined {
    const output = this.outputs.shift();
    if (output === undefined) this.onDrained();
    return output;
  }
  nextTimeoutMs(): number {
    return this.timeoutMs;
  }
  flush(): void {}
  hasPendingWork(): boolean {
    return this.isPending;
  }
  send(flow: FlowId, ...events: LinkEvent[]): void {
    this.outputs.push({ kind: 'link', flow, events });
  }
  commandsOf(flow: FlowId): LinkCommand[] {
    return this.inputs.flatMap((input) =>
      input.kind === 'link' && input.flow === flow ? input.commands : [],
    );
  }
}

/** Commits when told to. */
export class FakeStore {
  readonly commits: {
    changes: readonly StoreChange[];
    resolve: () => void;
    reject: (error: Error) => void;
  }[] = [];

  commit(changes: readonly StoreChange[]): Promise<void> {
    return new Promise((resolve, reject) => this.commits.push({ changes, resolve, reject }));
  }
}

export class FakeLog implements Log {
  readonly errors: { fields: object; message: string }[] = [];
  /** Everything but what is for debugging. */
  readonly entries: { fields: object; message: string }[] = [];
  /** What is for debugging. */
  readonly debugEntries: { fields: object; message: string }[] = [];
  debug(fields: object, message: string): void {
    this.debugEntries.push({ fields, message });
  }
  info(fields: object, message: string): void {
    this.entries.push({ fields, message });
  }
  warn(fields: object, message: string): void {
    this.entries.push({ fields, message });
  }
  error(fields: object, message: string): void {
    this.entries.push({ fields, message });
    this.errors.push({ fields, message });
  }
}

/** A pump and the driver of its hub, with fakes around them. */
export class Bench {
  readonly clock = new ManualClock();
  readonly hub = new FakeHub();
  readonly store = new FakeStore();
  readonly log = new FakeLog();
  readonly sessions: FakeSession[] = [];
  readonly failures: unknown[] = [];
  readonly driver: HubDriver;
  readonly pump: Pump;
  react: (input: SessionInput) => SessionOutput[] = () => [];

  constructor(
    limits: Partial<RuntimeLimits> = {},
    options: Partial<PumpOptions> & Pick<Partial<HubDriverOptions>, 'onCommitted'> = {},
  ) {
    this.driver = new HubDriver({
      hub: this.hub,
      store: this.store,
      clock: this.clock.read,
      log: this.log,
      onFailed: (error) => {
        this.pump.stop();
        this.failures.push(error);
      },
      ...(options.onCommitted === undefined ? {} : { onCommitted: options.onCommitted }),
    });
    this.pump = new Pump({
      hub: this.driver,
      clock: this.clock.read,
      limits: { ...runtimeLimits, ...limits },
      log: this.log,
      createSession: () => {
        const session = new FakeSession();
        session.react = this.react;
        this.sessions.push(session);
        return session;
      },
      authenticate: () => ({ kind: 'authenticated', identity: { kind: 'anonymous' } }),
      identifyAgent,
      ...options,
    });
    this.driver.start(this.pump);
  }

  /** Lets go of every timer. */
  stop(): void {
    this.pump.stop();
    this.driver.stop();
  }

  connect(): { id: FlowId; socket: FakeSocket; session: FakeSession } {
    const socket = new FakeSocket();
    const id = this.pump.attach(socket);
    return { id, socket, session: this.sessions.at(-1)! };
  }

  /** Lets the scheduled turn run, and what it schedules at once. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export const openCommand: LinkCommand = {
  kind: 'open',
  link: 'mqtt',
  peer: '192.0.2.1:5000',
  identity: { kind: 'anonymous' },
  clientId: 'd',
  clean: true,
  sessionExpirySeconds: 0,
  receiveMaximum: 10,
  will: undefined,
};

export const openedEvent: LinkEvent = {
  kind: 'opened',
  deviceId: 'd',
  epoch: new Uint8Array(8),
  assigned: false,
  sessionPresent: false,
  released: [],
};

export const closeCommand: LinkCommand = {
  kind: 'close',
  publishWill: false,
  sessionExpirySeconds: undefined,
};
