/**
 * The pump: carries what sockets and sessions say to the hub and what it says to them.
 *
 * A socket's read runs its session and hands the commands to the hub at once, in slices of which each flow gets one
 * in turn. What the hub answers comes once per turn of the event loop, so that many reads share one write per flow.
 * Only when that grows too much (one read of small publications to many subscribers) it is let out between two
 * slices, so that flows that do not keep up are noticed. The pump decides nothing about messages: it knows neither
 * packets nor inboxes. Where the hub is, in this process or another, it does not know either: see {@link HubPort}.
 *
 * Faults: a session that throws costs its own flow.
 */
import type { InstantMs } from '@wakeline/core/base';
import type { ControlReply, FlowId, LinkCommand, LinkEvent, SessionInput } from '@wakeline/core/domain';
import type { HubRequest } from '../http/options.js';
import type { IdentifiedAgent } from './agent-identity.js';
import type { Decision, Credentials } from './authenticator.js';
import type { Clock } from './clock.js';
import { CommandBatches } from './command-batches.js';
import { FlowTable } from './flow.js';
import type { Flow, FlowOwner, Stall } from './flow.js';
import type { FlowSocket } from './flow-socket.js';
import type { HubClient, HubPort } from './hub-port.js';
import type { RuntimeLimits } from './limits.js';
import { RequestDesk, refused } from './request-desk.js';
import type { Log } from './log.js';
import type { SessionFactory } from './session-factory.js';

export interface PumpOptions {
  readonly hub: HubPort;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  readonly createSession: SessionFactory;
  /** Whose credentials are these? Answers at once where no hashing is needed. */
  readonly authenticate: (credentials: Credentials) => Decision | Promise<Decision>;
  /** An identity for a user agent that presents this secret, or none. */
  readonly identifyAgent: (secret: string | undefined) => IdentifiedAgent;
}

/** What happened so far, for metrics; numbers only grow. */
export interface PumpCounters {
  flowsAttached: number;
  /** Sessions that threw. */
  flowsFailed: number;
  /** Flows ended because their peer took nothing for `stallMs`, or far more was unsent than allowed. */
  flowsStalled: number;
}

const noFlows: Flow[] = [];

export class Pump implements FlowOwner, HubClient {
  readonly counters: PumpCounters = { flowsAttached: 0, flowsFailed: 0, flowsStalled: 0 };

  readonly #options: PumpOptions;
  readonly #hub: HubPort;
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
  #sweepTimer: NodeJS.Timeout | undefined;
  /** Where the sweep under way is. */
  #sweeping: Iterator<Flow> | undefined;
  #openingCount = 0;
  #isStopped = false;
  #emptyWaiters: (() => void)[] = [];

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#hub = options.hub;
    this.#limits = options.limits;
    this.#desk = new RequestDesk(options.limits.requestsWaitingMax);
  }

  /** Begins to watch the clock. Call once. */
  start(): void {
    const { sweepMs, sweepParts } = this.#limits;
    this.#sweepTimer = setInterval(() => this.#sweepPart(), sweepMs / sweepParts);
  }

  /** Live flows, with or without a device. */
  get flowCount(): number {
    return this.#flows.size;
  }

  /** Flows that ask the hub to let their device in, and have no answer yet. */
  get openingCount(): number {
    return this.#openingCount;
  }

  /** Takes over a connection: a new flow with a new session. */
  attach(socket: FlowSocket): FlowId {
    const session = this.#options.createSession(this.#options.clock(), socket);
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
      else this.#hub.giveRequest(this.#options.clock(), complete);
    });
    this.#hub.scheduleTurn();
    return reply;
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
    this.#hub.scheduleTurn();
  }

  /** As {@link shutDownSessions}, for at most so many, the oldest first. */
  shutDownSome(countMax: number): void {
    const now = this.#options.clock();
    let count = 0;
    for (const flow of this.#flows) {
      if (count >= countMax) break;
      if (flow.isEnding) continue;
      count += 1;
      this.#giveSession(now, flow, shutdownInput);
      this.#drainSession(now, flow);
    }
    this.#hub.scheduleTurn();
  }

  /** Resolves when no flow is left. */
  whenEmpty(): Promise<void> {
    if (this.#flows.size === 0 || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => this.#emptyWaiters.push(resolve));
  }

  /** Lets go of every socket and timer; unanswered requests are refused with `draining`. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#sweepTimer);
    for (const flow of this.#flows) flow.socket.destroy();
    this.#desk.close();
    this.#batches.clear();
    this.#notifyEmpty();
  }

  handleFlowBytes(flow: Flow, chunk: Uint8Array): void {
    if (flow.isEnding || this.#isStopped) return;
    if (flow.held !== undefined || this.#isReadingPaused || this.#isHeldBack(flow)) {
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
    this.#hub.scheduleTurn();
  }

  handleFlowDrained(flow: Flow): void {
    if (flow.stall === undefined || this.#isStopped) return;
    flow.stall = undefined;
    if (flow.isEnding) return;
    const now = this.#options.clock();
    this.#giveSession(now, flow, drainedInput);
    this.#drainSession(now, flow);
    this.#hub.scheduleTurn();
  }

  handleFlowPong(flow: Flow): void {
    if (flow.isEnding || this.#isStopped) return;
    const now = this.#options.clock();
    this.#giveSession(now, flow, pongInput);
    this.#drainSession(now, flow);
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
    flow.endingSinceMs = Math.ceil(now.monotonic);
    flow.held = undefined;
    this.#closeAtHub(now, flow);
    this.#hub.scheduleTurn();
    if (this.#flows.size === 0) this.#notifyEmpty();
  }

  /** Looks at every flow: session deadlines, stalled peers, goodbyes that take too long. */
  sweep(): void {
    this.#sweeping = this.#flows[Symbol.iterator]();
    this.#sweepSome(Infinity);
  }

  /** Goes on with the sweep, so that one of all flows takes `sweepMs` and no message waits for the whole of it. */
  #sweepPart(): void {
    this.#sweeping ??= this.#flows[Symbol.iterator]();
    this.#sweepSome(Math.ceil(this.#flows.size / this.#limits.sweepParts));
  }

  #sweepSome(count: number): void {
    const now = this.#options.clock();
    for (let left = count; left > 0; left -= 1) {
      const step = this.#sweeping?.next();
      if (step === undefined || step.done === true) {
        this.#sweeping = undefined;
        break;
      }
      const flow = step.value;
      if (this.#isStopped) return;
      if (flow.isEnding) {
        if (now.monotonic - flow.endingSinceMs >= this.#limits.lingerMs) flow.socket.destroy();
        continue;
      }
      if (flow.socket.hasPeerEnded) {
        flow.socket.destroy();
        continue;
      }
      if (flow.stall !== undefined && this.#isStalled(now, flow, flow.stall)) continue;
      this.#checkDeadline(now, flow);
    }
    this.#hub.scheduleTurn();
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
  #isStalled(now: InstantMs, flow: Flow, stall: Stall): boolean {
    const progress = flow.socket.progressMark();
    if (progress !== stall.progress) {
      stall.progress = progress;
      stall.progressMs = now.monotonic;
      return false;
    }
    if (now.monotonic - stall.progressMs < this.#limits.stallMs) return false;
    this.counters.flowsStalled += 1;
    this.#options.log.debug({ peer: flow.socket.peer, unsentBytes: flow.socket.unsentBytes }, 'flow stalled');
    flow.socket.destroy();
    return true;
  }

  /** The hub has enough, of all or of this flow. */
  #isHeldBack(flow: Flow): boolean {
    const hub = this.#hub;
    return hub.isCongested || (hub.isAway && hub.isFlowCongested(flow.id));
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

  // What the hub says.

  /** Lets held requests and reads go on until the hub has enough again. */
  beginTurn(now: InstantMs): void {
    this.#desk.release(
      () => !this.#hub.isCongested && !this.#isStopped,
      (request) => this.#hub.giveRequest(now, request),
    );
    if (this.#held.length === 0 || this.#isReadingPaused) return;
    const held = this.#held;
    this.#held = noFlows;
    for (const flow of held) {
      if (flow.isEnding) continue;
      if (this.#isStopped || this.#isHeldBack(flow)) {
        if (this.#held === noFlows) this.#held = [];
        this.#held.push(flow);
        continue;
      }
      this.#feedHeld(now, flow);
      if (!flow.isReadPaused) flow.socket.resume();
    }
  }

  handleEvents(now: InstantMs, id: FlowId, events: readonly LinkEvent[]): void {
    const flow = this.#flows.get(id);
    if (flow === undefined) return;
    this.#noteEvents(flow, events);
    this.#giveSession(now, flow, { kind: 'events', events });
    this.#markDirty(flow);
  }

  handleReply(reply: ControlReply): void {
    this.#desk.reply(reply);
  }

  /** May be entered again by way of a drained session's commands; the inner call then drains the outer one's rest. */
  endEvents(now: InstantMs): void {
    while (this.#dirtyStart < this.#dirty.length) {
      const flow = this.#dirty[this.#dirtyStart]!;
      this.#dirtyStart += 1;
      if (flow.isDirty) this.#drainSession(now, flow);
    }
    this.#dirty = noFlows;
    this.#dirtyStart = 0;
  }

  /** Keeps track of whether the hub has a device on the flow. */
  #noteEvents(flow: Flow, events: readonly LinkEvent[]): void {
    if (!flow.isOpened && events[0]?.kind === 'opened') {
      flow.isOpened = true;
      this.#setOpening(flow, false);
      flow.socket.handleOpened();
    }
    const last = events.at(-1)?.kind;
    if (last === 'end' || last === 'refused') this.#setUnknown(flow);
  }

  /** The hub has nothing of the flow any more. */
  #setUnknown(flow: Flow): void {
    flow.isKnownToHub = false;
    this.#setOpening(flow, false);
  }

  #setOpening(flow: Flow, isOpening: boolean): void {
    if (flow.isOpening === isOpening) return;
    flow.isOpening = isOpening;
    this.#openingCount += isOpening ? 1 : -1;
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
        case 'authenticate-agent':
          this.#giveSession(now, flow, this.#options.identifyAgent(output.secret));
          break;
        case 'ping':
          flow.socket.ping();
          break;
        case 'probe-path':
          flow.socket.probePath(output.after);
          break;
        case 'close':
          this.#options.log.debug({ peer: flow.socket.peer, reason: output.reason }, 'flow closed');
          this.#beginEnd(now, flow);
          flow.socket.end(output.farewell);
      }
    }
    if (!flow.isReadPaused || !flow.session.wantsInput) return;
    flow.isReadPaused = false;
    if (flow.held === undefined) flow.socket.resume();
  }

  #giveCommands(now: InstantMs, flow: Flow, commands: readonly LinkCommand[]): void {
    const first = commands[0]?.kind;
    if (first === 'open') this.#setOpening(flow, true);
    if (first === 'open' || first === 'canary') flow.isKnownToHub = true;
    if (commands.at(-1)?.kind === 'close') this.#setUnknown(flow);
    this.#batches.add(flow, commands);
    this.#batches.give(this.#limits.commandsPerSliceMax, (from, slice) => {
      this.#hub.giveCommands(now, from.id, slice);
      if (this.#hub.hasMuchToSay) this.#hub.letOut(now);
    });
    this.#hub.scheduleTurn();
  }

  #write(now: InstantMs, flow: Flow, bytes: Uint8Array): void {
    const socket = flow.socket;
    socket.write(bytes);
    const unsentBytes = socket.unsentBytes;
    if (unsentBytes < this.#limits.unsentBytesMax) return;
    // Only what came on top counts: the burst that filled the socket is not the peer's fault.
    if (flow.stall !== undefined && unsentBytes - flow.stall.fullBytes >= this.#limits.unsentBytesFatal) {
      this.counters.flowsStalled += 1;
      this.#options.log.debug({ peer: socket.peer, unsentBytes }, 'flow ended: too much unsent');
      socket.destroy();
      return;
    }
    if (flow.stall !== undefined) return;
    flow.stall = { fullBytes: unsentBytes, progress: socket.progressMark(), progressMs: now.monotonic };
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
    this.#hub.scheduleTurn();
  }

  /** After this nothing is given to the session; the sweep destroys the socket if it lingers. */
  #beginEnd(now: InstantMs, flow: Flow): void {
    flow.endingSinceMs = Math.ceil(now.monotonic);
    // Read on, so that the peer's farewell is seen.
    if (flow.held !== undefined || flow.isReadPaused) flow.socket.resume();
    flow.held = undefined;
    this.#closeAtHub(now, flow);
  }

  #notifyEmpty(): void {
    const waiters = this.#emptyWaiters;
    this.#emptyWaiters = [];
    for (const resolve of waiters) resolve();
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
    this.#hub.scheduleTurn();
  }
}

const shutdownInput: SessionInput = { kind: 'shutdown' };
const pongInput: SessionInput = { kind: 'pong' };
const closedInput: SessionInput = { kind: 'socket-closed' };
const fullInput: SessionInput = { kind: 'socket-full' };
const drainedInput: SessionInput = { kind: 'socket-drained' };
/** What the hub is told when a session cannot say it any more: the will is due. */
const lostCommand: LinkCommand = { kind: 'close', publishWill: true, sessionExpirySeconds: undefined };
