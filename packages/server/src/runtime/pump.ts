/**
 * The pump: carries what sessions, hub and store say to each other, and gives them the time.
 *
 * A socket's read runs its session and hands the commands to the hub at once. What the hub answers is collected
 * once per turn of the event loop, so that many reads share one drain, one commit and one write per flow. Only when
 * that grows too much (one read of small publications to many subscribers) it is let out at once, between two slices
 * of commands, so that flows that do not keep up are noticed. The pump decides nothing about messages: it knows
 * neither packets nor inboxes.
 *
 * Faults: a session that throws costs its own flow; a hub that throws ends the pump (`onFailed`), because its state
 * may be wrong and the store is right; a commit that fails is told to the hub, and the server goes on.
 */
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { ControlReply, FlowId, LinkCommand, LinkEvent, SessionInput } from '@wakeline/core/domain';
import type { HubInput, HubOutput } from '@wakeline/core/hub';
import type { Store, StoreChange } from '@wakeline/core/ports';
import type { HubRequest } from '../http/options.js';
import type { Decision, Credentials } from './authenticator.js';
import type { Clock } from './clock.js';
import { CommandBatches } from './command-batches.js';
import { FlowTable } from './flow.js';
import type { Flow, FlowOwner } from './flow.js';
import type { FlowSocket } from './flow-socket.js';
import type { RuntimeLimits } from './limits.js';
import { RequestDesk, refused } from './request-desk.js';
import type { Log } from './log.js';
import type { SessionFactory } from './session-factory.js';

/** The hub as the pump drives it. */
export interface PumpHub extends Machine<HubInput, HubOutput> {
  /** The open batch is over its limit: feed no more publications until a commit settles. */
  readonly isCongested: boolean;
  /** `pollOutput` returned undefined because the turn's budget was used up. */
  readonly hasMore: boolean;
  /** So much is collected that it should be polled before more is handed in. */
  readonly hasMuchToSay: boolean;
  /** A batch is open or under way, or cursors are not written yet. */
  hasPendingWork(): boolean;
  /** Writes cursors now instead of at the end of their interval. */
  flush(now: InstantMs): void;
}

export interface PumpOptions {
  readonly hub: PumpHub;
  readonly store: Pick<Store, 'commit'>;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  readonly createSession: SessionFactory;
  /** Whose credentials are these? Answers at once where no hashing is needed. */
  readonly authenticate: (credentials: Credentials) => Decision | Promise<Decision>;
  /** Called for each commit that is synced. */
  readonly onCommitted?: (durationMs: number) => void;
  /** Called once, when the hub threw. The pump has let go of every socket by then. */
  readonly onFailed: (error: unknown) => void;
}

/** What happened so far, for metrics; numbers only grow. */
export interface PumpCounters {
  flowsAttached: number;
  /** Sessions that threw. */
  flowsFailed: number;
  /** Flows ended because their peer took nothing for `stallMs`, or far more was unsent than allowed. */
  flowsStalled: number;
  commitFailures: number;
}

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
}

const noFlows: Flow[] = [];

export class Pump implements FlowOwner {
  readonly counters: PumpCounters = { flowsAttached: 0, flowsFailed: 0, flowsStalled: 0, commitFailures: 0 };

  readonly #options: PumpOptions;
  readonly #hub: PumpHub;
  readonly #limits: RuntimeLimits;
  readonly #flows = new FlowTable();
  readonly #desk: RequestDesk;
  /** Flows whose sessions were given events in this turn; those before `#dirtyStart` are drained. */
  #dirty: Flow[] = noFlows;
  #dirtyStart = 0;
  readonly #batches = new CommandBatches();
  /** Flows with held reads. */
  #held: Flow[] = noFlows;
  #isReadingPaused = false;
  #commitsUnderWay = 0;
  #turn: NodeJS.Immediate | undefined;
  #hubTimer: NodeJS.Timeout | undefined;
  #hubTimerMs = Infinity;
  #sweepTimer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #waiters: Waiter[] = [];

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#hub = options.hub;
    this.#limits = options.limits;
    this.#desk = new RequestDesk(options.limits.requestsWaitingMax);
  }

  /** Begins to watch the clock. Call once, after the hub has recovered. */
  start(): void {
    this.#sweepTimer = setInterval(() => this.sweep(), this.#limits.sweepMs);
    this.#scheduleTurn();
  }

  /** Live flows, with or without a device. */
  get flowCount(): number {
    return this.#flows.size;
  }

  /** Takes over a connection: a new flow with a new session. */
  attach(socket: FlowSocket): FlowId {
    const session = this.#options.createSession(this.#options.clock(), socket.peer);
    const flow = this.#flows.add(this, socket, session);
    this.counters.flowsAttached += 1;
    socket.receiver = flow;
    if (this.#isStopped) socket.destroy();
    return flow.id;
  }

  /** Asks the hub; resolves with its reply, which for changes comes after they are synced. */
  request(request: HubRequest): Promise<ControlReply> {
    if (this.#isStopped) return Promise.resolve(refused(0, 'draining'));
    const reply = this.#desk.open(request, (complete) => {
      if (this.#hub.isCongested) this.#desk.hold(complete);
      else this.#giveHub(this.#options.clock(), { kind: 'request', request: complete });
    });
    this.#scheduleTurn();
    return reply;
  }

  /** Hands the hub something that is no flow's: the disk's state, the wish to drain. */
  tell(input: Extract<HubInput, { kind: 'disk' | 'drain' }>): void {
    this.#giveHub(this.#options.clock(), input);
    this.#scheduleTurn();
  }

  /** No read reaches a session from here on, so that what is under way can be finished. */
  pauseReading(): void {
    this.#isReadingPaused = true;
  }

  /** Every session says goodbye in its protocol. */
  shutDownSessions(): void {
    const now = this.#options.clock();
    for (const flow of this.#flows) {
      this.#giveSession(now, flow, shutdownInput);
      this.#drainSession(now, flow);
    }
    this.#scheduleTurn();
  }

  /** Resolves when nothing waits to be committed; sees to it that nothing waits for its time. */
  whenIdle(): Promise<void> {
    if (!this.#isStopped) this.#hub.flush(this.#options.clock());
    return this.#when(() => this.#commitsUnderWay === 0 && !this.#hub.hasPendingWork());
  }

  /** Resolves when no flow is left. */
  whenEmpty(): Promise<void> {
    return this.#when(() => this.#flows.size === 0);
  }

  /** Lets go of every socket and timer; unanswered requests are refused with `draining`. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#sweepTimer);
    clearTimeout(this.#hubTimer);
    clearImmediate(this.#turn);
    for (const flow of this.#flows) flow.socket.destroy();
    this.#desk.close();
    this.#batches.clear();
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters = [];
  }

  handleFlowBytes(flow: Flow, chunk: Uint8Array): void {
    if (flow.isEnding || this.#isStopped) return;
    if (flow.held !== undefined || this.#isReadingPaused || this.#hub.isCongested) {
      this.#hold(flow, chunk);
      return;
    }
    const now = this.#options.clock();
    const { wantsInput } = flow.session;
    this.#giveSession(now, flow, { kind: 'bytes', chunk });
    this.#drainSession(now, flow);
    if (!wantsInput && !flow.session.wantsInput && !flow.isEnding) {
      flow.isReadPaused = true;
      flow.socket.pause();
    }
    this.#scheduleTurn();
  }

  handleFlowDrained(flow: Flow): void {
    if (!flow.isFull || this.#isStopped) return;
    flow.isFull = false;
    if (flow.isEnding) return;
    const now = this.#options.clock();
    this.#giveSession(now, flow, drainedInput);
    this.#drainSession(now, flow);
    this.#scheduleTurn();
  }

  handleFlowClosed(flow: Flow): void {
    if (!this.#flows.delete(flow)) return;
    if (this.#isStopped) return;
    const now = this.#options.clock();
    if (!flow.isEnding) {
      // What arrived before the connection went was sent in good faith: a PUBLISH QoS 0 and a close, for one.
      this.#feedHeld(now, flow);
      this.#giveSession(now, flow, closedInput);
      this.#drainSession(now, flow);
    }
    flow.isEnding = true;
    flow.held = undefined;
    this.#closeAtHub(now, flow);
    this.#scheduleTurn();
  }

  /** Looks at every flow: session deadlines, stalled peers, goodbyes that take too long. Run each `sweepMs`. */
  sweep(): void {
    const now = this.#options.clock();
    for (const flow of this.#flows) {
      if (this.#isStopped) return;
      if (flow.isEnding) {
        if (now.monotonic - flow.progressMs >= this.#limits.lingerMs) flow.socket.destroy();
        continue;
      }
      if (flow.isFull && this.#isStalled(now, flow)) continue;
      this.#checkDeadline(now, flow);
    }
    this.#scheduleTurn();
  }

  #checkDeadline(now: InstantMs, flow: Flow): void {
    try {
      if (flow.session.nextTimeoutMs() > now.monotonic) return;
      flow.session.handleTimeout(now);
    } catch (error) {
      this.#handleSessionError(now, flow, error);
      return;
    }
    this.#drainSession(now, flow);
  }

  /** Ends the flow if its peer took nothing for too long. */
  #isStalled(now: InstantMs, flow: Flow): boolean {
    const progress = flow.socket.progressMark();
    if (progress !== flow.progress) {
      flow.progress = progress;
      flow.progressMs = now.monotonic;
      return false;
    }
    if (now.monotonic - flow.progressMs < this.#limits.stallMs) return false;
    this.counters.flowsStalled += 1;
    this.#options.log.debug({ peer: flow.socket.peer, unsentBytes: flow.socket.unsentBytes }, 'flow stalled');
    flow.socket.destroy();
    return true;
  }

  #hold(flow: Flow, chunk: Uint8Array): void {
    if (flow.held === undefined) {
      flow.held = [chunk];
      flow.socket.pause();
      if (this.#held === noFlows) this.#held = [];
      this.#held.push(flow);
      return;
    }
    flow.held.push(chunk);
  }

  #feedHeld(now: InstantMs, flow: Flow): void {
    const chunks = flow.held;
    flow.held = undefined;
    if (chunks === undefined) return;
    for (const chunk of chunks) {
      this.#giveSession(now, flow, { kind: 'bytes', chunk });
      this.#drainSession(now, flow);
      if (flow.isEnding) return;
    }
  }

  /** Lets held reads go on until the hub has enough again. */
  #releaseHeld(now: InstantMs): void {
    this.#desk.release(
      () => !this.#hub.isCongested && !this.#isStopped,
      (request) => this.#giveHub(now, { kind: 'request', request }),
    );
    if (this.#held.length === 0 || this.#isReadingPaused) return;
    let released = 0;
    for (const flow of this.#held) {
      if (this.#hub.isCongested || this.#isStopped) break;
      released += 1;
      if (flow.isEnding) continue;
      this.#feedHeld(now, flow);
      if (!flow.isReadPaused) flow.socket.resume();
    }
    this.#held = released === this.#held.length ? noFlows : this.#held.slice(released);
  }

  #scheduleTurn(): void {
    if (this.#turn !== undefined || this.#isStopped) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#runTurn();
    });
  }

  #runTurn(): void {
    if (this.#isStopped) return;
    const now = this.#options.clock();
    this.#releaseHeld(now);
    const hub = this.#hub;
    try {
      if (hub.nextTimeoutMs() <= now.monotonic) hub.handleTimeout(now);
    } catch (error) {
      this.#handleHubError(error);
      return;
    }
    this.#letOut(now);
    if (this.#isStopped) return;
    if (hub.hasMore) this.#scheduleTurn();
    this.#armHubTimer(now);
    this.#notifyWaiters();
  }

  /** Carries what the hub has to say to the sessions, and what these say to their sockets. */
  #letOut(now: InstantMs): void {
    const hub = this.#hub;
    if (this.#isStopped) return;
    try {
      for (let output = hub.pollOutput(); output !== undefined; output = hub.pollOutput()) {
        this.#handleHubOutput(now, output);
      }
    } catch (error) {
      this.#handleHubError(error);
      return;
    }
    this.#drainDirty(now);
  }

  #handleHubOutput(now: InstantMs, output: HubOutput): void {
    switch (output.kind) {
      case 'link': {
        const flow = this.#flows.get(output.flow);
        if (flow === undefined) return;
        this.#noteEvents(flow, output.events);
        this.#giveSession(now, flow, { kind: 'events', events: output.events });
        this.#markDirty(flow);
        return;
      }
      case 'reply':
        this.#desk.reply(output.reply);
        return;
      case 'commit':
        void this.#commit(output.changes);
    }
  }

  /** Keeps track of whether the hub has a device on the flow. */
  #noteEvents(flow: Flow, events: readonly LinkEvent[]): void {
    if (!flow.isOpened && events[0]?.kind === 'opened') {
      flow.isOpened = true;
      flow.socket.handleOpened();
    }
    const last = events.at(-1)?.kind;
    if (last === 'end' || last === 'refused') flow.isKnownToHub = false;
  }

  /** Gives the session one input; what it says about it is collected by a drain, which the caller sees to. */
  #giveSession(now: InstantMs, flow: Flow, input: SessionInput): void {
    if (flow.isEnding) return;
    try {
      flow.session.handleInput(now, input);
    } catch (error) {
      this.#handleSessionError(now, flow, error);
    }
  }

  /** The turn's end drains the session. */
  #markDirty(flow: Flow): void {
    if (flow.isDirty || flow.isEnding) return;
    flow.isDirty = true;
    if (this.#dirty === noFlows) this.#dirty = [];
    this.#dirty.push(flow);
  }

  /** May be entered again by way of a drained session's commands; the inner call then drains the outer one's rest. */
  #drainDirty(now: InstantMs): void {
    while (this.#dirtyStart < this.#dirty.length) {
      const flow = this.#dirty[this.#dirtyStart]!;
      this.#dirtyStart += 1;
      if (flow.isDirty) this.#drainSession(now, flow);
    }
    this.#dirty = noFlows;
    this.#dirtyStart = 0;
  }

  #drainSession(now: InstantMs, flow: Flow): void {
    flow.isDirty = false;
    for (;;) {
      if (flow.isEnding || this.#isStopped) return;
      let output;
      try {
        output = flow.session.pollOutput();
      } catch (error) {
        this.#handleSessionError(now, flow, error);
        return;
      }
      if (output === undefined) break;
      switch (output.kind) {
        case 'commands':
          this.#giveCommands(now, flow, output.commands);
          break;
        case 'write':
          this.#write(now, flow, output.bytes);
          break;
        case 'authenticate':
          this.#authenticate(flow, output.clientId, output.username, output.password);
          break;
        case 'close':
          this.#options.log.debug({ peer: flow.socket.peer, reason: output.reason }, 'flow closed');
          this.#beginEnd(now, flow);
          flow.socket.end();
      }
    }
    if (!flow.isReadPaused || !flow.session.wantsInput) return;
    flow.isReadPaused = false;
    if (flow.held === undefined) flow.socket.resume();
  }

  #giveCommands(now: InstantMs, flow: Flow, commands: readonly LinkCommand[]): void {
    if (commands[0]?.kind === 'open') flow.isKnownToHub = true;
    if (commands.at(-1)?.kind === 'close') flow.isKnownToHub = false;
    this.#batches.add(flow, commands);
    this.#batches.give(this.#limits.commandsPerSliceMax, (from, slice) => {
      this.#giveHub(now, { kind: 'link', flow: from.id, commands: slice });
      if (this.#hub.hasMuchToSay) this.#letOut(now);
    });
    this.#scheduleTurn();
  }

  #write(now: InstantMs, flow: Flow, bytes: Uint8Array): void {
    const socket = flow.socket;
    socket.write(bytes);
    const unsentBytes = socket.unsentBytes;
    if (unsentBytes < this.#limits.unsentBytesMax) return;
    // Only what came on top counts: the burst that filled the socket is not the peer's fault.
    if (flow.isFull && unsentBytes - flow.fullBytes >= this.#limits.unsentBytesFatal) {
      this.counters.flowsStalled += 1;
      this.#options.log.debug({ peer: socket.peer, unsentBytes }, 'flow ended: too much unsent');
      socket.destroy();
      return;
    }
    if (flow.isFull) return;
    flow.isFull = true;
    flow.fullBytes = unsentBytes;
    flow.progress = socket.progressMark();
    flow.progressMs = now.monotonic;
    this.#giveSession(now, flow, fullInput);
  }

  #authenticate(
    flow: Flow,
    clientId: string,
    username: string | undefined,
    password: Uint8Array | undefined,
  ): void {
    const { address } = flow.socket;
    const decision = this.#options.authenticate({ clientId, username, password, address });
    if (decision instanceof Promise) {
      decision.then(
        (late) => this.#handleDecision(flow, late),
        (error: unknown) => this.#handleSessionError(this.#options.clock(), flow, error),
      );
    } else {
      this.#handleDecision(flow, decision);
    }
  }

  #handleDecision(flow: Flow, decision: Decision): void {
    if (flow.isEnding || this.#isStopped) return;
    const now = this.#options.clock();
    this.#giveSession(now, flow, decision);
    this.#markDirty(flow);
    this.#scheduleTurn();
  }

  /** After this nothing is given to the session; the sweep destroys the socket if it lingers. */
  #beginEnd(now: InstantMs, flow: Flow): void {
    flow.isEnding = true;
    flow.progressMs = now.monotonic;
    // Read on, so that the peer's farewell is seen.
    if (flow.held !== undefined || flow.isReadPaused) flow.socket.resume();
    flow.held = undefined;
    this.#closeAtHub(now, flow);
  }

  #closeAtHub(now: InstantMs, flow: Flow): void {
    // By way of the batches: commands of the flow may still be on their way.
    if (flow.isKnownToHub) this.#giveCommands(now, flow, [lostCommand]);
  }

  #handleSessionError(now: InstantMs, flow: Flow, error: unknown): void {
    if (flow.isEnding) return;
    this.counters.flowsFailed += 1;
    this.#options.log.error({ err: error, peer: flow.socket.peer, flow: flow.id }, 'session failed');
    this.#beginEnd(now, flow);
    flow.socket.destroy();
    this.#scheduleTurn();
  }

  #giveHub(now: InstantMs, input: HubInput): void {
    if (this.#isStopped) return;
    try {
      this.#hub.handleInput(now, input);
    } catch (error) {
      this.#handleHubError(error);
    }
  }

  #handleHubError(error: unknown): void {
    if (this.#isStopped) return;
    this.#options.log.error({ err: error }, 'hub failed; the server stops');
    this.stop();
    this.#options.onFailed(error);
  }

  async #commit(changes: readonly StoreChange[]): Promise<void> {
    this.#commitsUnderWay += 1;
    let outcome: HubInput = committedInput;
    const sinceMs = this.#options.clock().monotonic;
    try {
      await this.#options.store.commit(changes);
      this.#options.onCommitted?.(this.#options.clock().monotonic - sinceMs);
    } catch (error) {
      outcome = commitFailedInput;
      this.counters.commitFailures += 1;
      this.#options.log.error({ err: error, changes: changes.length }, 'commit failed');
    }
    this.#commitsUnderWay -= 1;
    this.#giveHub(this.#options.clock(), outcome);
    this.#scheduleTurn();
  }

  /** One timer for the hub: set anew only when the next deadline is earlier than the one waited for. */
  #armHubTimer(now: InstantMs): void {
    const deadlineMs = this.#hub.nextTimeoutMs();
    if (deadlineMs >= this.#hubTimerMs) return;
    clearTimeout(this.#hubTimer);
    this.#hubTimerMs = deadlineMs;
    const delayMs = Math.min(Math.max(1, Math.ceil(deadlineMs - now.monotonic)), timerMsMax);
    this.#hubTimer = setTimeout(() => {
      this.#hubTimerMs = Infinity;
      this.#scheduleTurn();
    }, delayMs);
  }

  #when(isMet: () => boolean): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#scheduleTurn();
    return new Promise((resolve) => this.#waiters.push({ isMet, resolve }));
  }

  #notifyWaiters(): void {
    if (this.#waiters.length === 0) return;
    const waiting: Waiter[] = [];
    for (const waiter of this.#waiters) {
      if (waiter.isMet()) waiter.resolve();
      else waiting.push(waiter);
    }
    this.#waiters = waiting;
  }
}

/** `setTimeout` takes no more; a later deadline is looked at again then. */
const timerMsMax = 0x7fff_ffff;

const committedInput: HubInput = { kind: 'committed' };
const commitFailedInput: HubInput = { kind: 'commit-failed' };
const shutdownInput: SessionInput = { kind: 'shutdown' };
const closedInput: SessionInput = { kind: 'socket-closed' };
const fullInput: SessionInput = { kind: 'socket-full' };
const drainedInput: SessionInput = { kind: 'socket-drained' };
/** What the hub is told when a session cannot say it any more: the will is due. */
const lostCommand: LinkCommand = { kind: 'close', publishWill: true, sessionExpirySeconds: undefined };
