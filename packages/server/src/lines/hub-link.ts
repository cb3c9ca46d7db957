/**
 * The hub as a line process has it: at the other end of a Unix socket, and away now and then.
 *
 * While the hub is away, connections stay. Those whose device waits for an answer are ended, because nobody can give
 * it any more; what the others say waits here, within bounds. When there is a hub again, it is told of each connection
 * first ({@link FlowRecord.resume}) and then gets what waited.
 *
 * Must not: speak any protocol of devices, or decide about messages.
 */
import { connect } from 'node:net';
import type { InstantMs } from '@wakeline/core/base';
import type { ControlReply, ControlRequest, FlowId, LinkCommand, LinkEvent } from '@wakeline/core/domain';
import type { Clock } from '../runtime/clock.js';
import type { HubClient, HubPort } from '../runtime/hub-port.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import { refused } from '../runtime/request-desk.js';
import { CanaryRecord } from './canary-record.js';
import { commandBytes, encodeCommand, keptCommand } from './command-codec.js';
import { EventReader } from './event-codec.js';
import { FlowRecord, RecentAcknowledgements } from './flow-record.js';
import { FrameKind, LinkError, linkProtocolVersion } from './link-frames.js';
import type { Frame } from './link-frames.js';
import { answerAsk, LinkAsks, LinkSocket, valueOf } from './link-socket.js';
import type { LinkAnswer, LinkAsk, LinkHello } from './link-socket.js';

export interface HubLinkOptions {
  /** Path of the hub's socket. */
  readonly path: string;
  /** Which line process this is, for people. */
  readonly name: string;
  readonly version: string;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  /** Answers what the hub asks of this process. */
  readonly answer: (what: string, value: unknown) => unknown;
  /** Called once: the hub speaks another version of the link, and this process has to be replaced. */
  readonly onForeignHub: (hello: LinkHello) => void;
}

/** What happened so far; numbers only grow. */
export interface HubLinkCounters {
  /** Times that a hub was joined. */
  joins: number;
  /** Flows told to a hub by `resume`. */
  flowsResumed: number;
  /** Flows ended because their device waited for an answer of a hub that went. */
  flowsEndedByLoss: number;
}

const State = {
  /** No hub. */
  away: 0,
  /** The hub is known to leave: what it was sent it still answers. */
  leaving: 1,
  joined: 2,
} as const;
type State = (typeof State)[keyof typeof State];

export class HubLink implements HubPort {
  readonly counters: HubLinkCounters = { joins: 0, flowsResumed: 0, flowsEndedByLoss: 0 };
  /** What the hub has to say is let out as it comes. */
  readonly hasMuchToSay = false;
  readonly #options: HubLinkOptions;
  readonly #limits: RuntimeLimits;
  readonly #flows = new Map<FlowId, FlowRecord>();
  readonly #recent: RecentAcknowledgements;
  readonly #reader = new EventReader();
  readonly #asks = new LinkAsks();
  #client: HubClient | undefined;
  #state: State = State.away;
  #link: LinkSocket | undefined;
  /** Bytes of commands that wait for a hub. */
  #heldBytes = 0;
  /** The link holds so much that nothing more should be read from devices. */
  #isFull = false;
  /** Tickets of requests that a hub was given and has not answered. */
  readonly #tickets = new Set<number>();
  #heldRequests: ControlRequest[] = [];
  #heldAsks: (() => void)[] = [];
  /** Monotonic ms since when there is no hub. */
  #awaySinceMs = 0;
  #turn: NodeJS.Immediate | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #patienceTimer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #isRetiring = false;
  #hasForeignHub = false;
  #joinWaiters: (() => void)[] = [];

  constructor(options: HubLinkOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#recent = new RecentAcknowledgements(options.limits.linkAcknowledgementsKeptMs);
  }

  /** Begins to look for the hub. Call once. */
  start(client: HubClient): void {
    this.#client = client;
    this.#awaySinceMs = this.#options.clock().monotonic;
    this.#connect();
  }

  /** Lets go of the link and every timer. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#patienceTimer);
    clearImmediate(this.#turn);
    this.#link?.end();
    this.#asks.fail(new HubAwayError());
    for (const resolve of this.#joinWaiters) resolve();
  }

  /** Resolves when there is a hub, or when the link is stopped. */
  whenJoined(): Promise<void> {
    if (this.#state === State.joined || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => this.#joinWaiters.push(resolve));
  }

  /** From here on connections are lost by this process's will: their devices have time to come back. */
  retire(): void {
    this.#isRetiring = true;
  }

  get isJoined(): boolean {
    return this.#state === State.joined;
  }

  /** Asks the hub process something that is not the hub's. Rejects with {@link HubAwayError} when there is none. */
  ask(what: string, value?: unknown): Promise<unknown> {
    if (this.#isStopped || this.#isPatienceOver) return Promise.reject(new HubAwayError());
    const begin = (): Promise<unknown> =>
      this.#asks.ask(what, value, (ask) => this.#link?.send(FrameKind.ask, ask));
    if (this.#state === State.joined) return begin();
    return new Promise((resolve, reject) => {
      this.#heldAsks.push(() => {
        if (this.#state === State.joined) begin().then(resolve, reject);
        else reject(new HubAwayError());
      });
    });
  }

  // What the pump asks and gives.

  get isCongested(): boolean {
    return this.#isFull || this.#heldBytes >= this.#limits.linkAwayBytesMax;
  }

  get isAway(): boolean {
    return this.#state !== State.joined;
  }

  isFlowCongested(flow: FlowId): boolean {
    if (this.#state === State.joined) return false;
    return (this.#flows.get(flow)?.heldBytes ?? 0) >= this.#limits.linkAwayFlowBytesMax;
  }

  giveCommands(now: InstantMs, flow: FlowId, commands: readonly LinkCommand[]): void {
    if (this.#isStopped) return;
    let record = this.#flows.get(flow);
    const [first] = commands;
    if (record === undefined) {
      // The hub has ended the flow; these crossed its word on the way.
      if (first?.kind !== 'open' && first?.kind !== 'canary') return;
      record =
        first.kind === 'canary'
          ? new CanaryRecord(flow, first, this.#options.clock)
          : new FlowRecord(flow, first);
      this.#flows.set(flow, record);
    }
    if (this.#state === State.joined) this.#send(now, record, commands);
    else this.#hold(record, commands);
  }

  giveRequest(_now: InstantMs, request: ControlRequest): void {
    if (this.#state === State.joined) this.#sendRequest(request);
    else if (this.#isPatienceOver) this.#client?.handleReply(refused(request.ticket, 'hub-away'));
    else this.#heldRequests.push(request);
  }

  letOut(): void {}

  scheduleTurn(): void {
    if (this.#turn !== undefined || this.#isStopped) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#runTurn();
    });
  }

  #runTurn(): void {
    const now = this.#options.clock();
    this.#client?.beginTurn(now);
    this.#client?.endEvents(now);
    this.#flush();
  }

  #flush(): void {
    const link = this.#link;
    if (link === undefined) return;
    link.flush();
    this.#isFull = link.unsentBytes >= this.#limits.linkUnsentBytesMax;
  }

  #send(now: InstantMs, record: FlowRecord, commands: readonly LinkCommand[]): void {
    const link = this.#link!;
    for (const given of commands) {
      const command = this.#isRetiring ? withGrace(given) : given;
      record.noteCommand(command, this.#recent, now.monotonic);
      link.open(FrameKind.commands);
      encodeCommand(link.writer, record.flow, command);
      if (command.kind === 'close') this.#flows.delete(record.flow);
    }
    this.#isFull = link.unsentBytes >= this.#limits.linkUnsentBytesMax;
  }

  #sendRequest(request: ControlRequest): void {
    this.#tickets.add(request.ticket);
    this.#link?.send(FrameKind.request, request);
  }

  /** The commands wait for a hub. */
  #hold(record: FlowRecord, commands: readonly LinkCommand[]): void {
    for (const command of commands) {
      if (command.kind === 'close' && !record.isOpened && record.unanswered === 0) {
        // No hub has ever heard of it.
        this.#forget(record);
        return;
      }
      const bytes = commandBytes(command);
      record.heldBytes += bytes;
      this.#heldBytes += bytes;
      (record.held ??= []).push(keptCommand(command));
    }
  }

  #forget(record: FlowRecord): void {
    this.#heldBytes -= record.heldBytes;
    record.heldBytes = 0;
    record.held = null;
    this.#flows.delete(record.flow);
  }

  // The link.

  #connect(): void {
    if (this.#isStopped) return;
    const { limits, log } = this.#options;
    const link: LinkSocket = new LinkSocket(
      connect(this.#options.path),
      {
        handleFrame: (frame) => this.#handleFrame(link, frame),
        handleReadEnd: () => this.#endRead(),
        handleDrained: () => this.#handleDrained(),
        handleClosed: (error) => {
          if (error instanceof LinkError) log.error({ err: error }, 'link broken');
          this.#handleClosed(link);
        },
      },
      limits.linkFrameBytesMax,
      limits.linkFlushBytes,
    );
    this.#link = link;
    const { name: line, version } = this.#options;
    const hello: LinkHello = { protocol: linkProtocolVersion, version, pid: process.pid, line };
    link.send(FrameKind.hello, hello);
  }

  #handleFrame(link: LinkSocket, frame: Frame): boolean {
    switch (frame.kind) {
      case FrameKind.events:
        this.#handleEvents(frame.content);
        return true;
      case FrameKind.reply: {
        const reply = valueOf(frame) as ControlReply;
        if (this.#tickets.delete(reply.ticket)) this.#client?.handleReply(reply);
        return true;
      }
      case FrameKind.ask:
        answerAsk(valueOf(frame) as LinkAsk, this.#options.answer, (answer) =>
          link.send(FrameKind.answer, answer),
        );
        return true;
      case FrameKind.answer:
        this.#asks.handleAnswer(valueOf(frame) as LinkAnswer);
        return true;
      case FrameKind.hello:
        this.#handleHello(link, valueOf(frame) as LinkHello);
        return true;
      case FrameKind.leave:
        this.#handleLeave(link);
        return true;
      default:
        throw new LinkError(`frame ${frame.kind}`);
    }
  }

  #handleEvents(content: Uint8Array): void {
    const now = this.#options.clock();
    const reader = this.#reader;
    reader.begin(content);
    for (let events = reader.next(); events.length > 0; events = reader.next()) {
      const record = this.#flows.get(reader.flow);
      // It was closed here; these crossed its word on the way.
      if (record === undefined) continue;
      for (const event of events) record.noteEvent(event);
      const last = events[events.length - 1]!.kind;
      if (last === 'end' || last === 'refused') this.#forget(record);
      this.#client?.handleEvents(now, reader.flow, events);
    }
    // Deliveries are views of this frame.
    this.#client?.endEvents(now);
  }

  #endRead(): void {
    this.#flush();
    this.#client?.beginTurn(this.#options.clock());
    this.#flush();
  }

  #handleDrained(): void {
    this.#flush();
    if (!this.#isFull) this.scheduleTurn();
  }

  #handleHello(link: LinkSocket, hello: LinkHello): void {
    if (hello.protocol !== linkProtocolVersion) {
      link.destroy();
      if (this.#hasForeignHub) return;
      this.#hasForeignHub = true;
      this.#options.onForeignHub(hello);
      return;
    }
    const now = this.#options.clock();
    this.#state = State.joined;
    this.counters.joins += 1;
    clearTimeout(this.#patienceTimer);
    this.#patienceTimer = undefined;
    this.#options.log.info(
      { hub: hello.pid, version: hello.version, awayMs: Math.round(now.monotonic - this.#awaySinceMs) },
      'hub joined',
    );
    this.#resumeFlows(now);
    const requests = this.#heldRequests;
    this.#heldRequests = [];
    for (const request of requests) this.#sendRequest(request);
    this.#releaseAsks();
    for (const resolve of this.#joinWaiters) resolve();
    this.#joinWaiters = [];
    this.scheduleTurn();
  }

  #resumeFlows(now: InstantMs): void {
    const recent = this.#recent.byFlow();
    for (const record of this.#flows.values()) {
      if (record.isOpened) {
        this.counters.flowsResumed += 1;
        const isCanary = record instanceof CanaryRecord;
        const resume = isCanary ? record.resumeCanary() : record.resume(recent.get(record.flow));
        this.#send(now, record, [resume]);
        if (!record.isWritable) this.#send(now, record, [notWritable]);
      }
      const { held } = record;
      if (held === null) continue;
      this.#heldBytes -= record.heldBytes;
      record.heldBytes = 0;
      record.held = null;
      this.#send(now, record, held);
    }
  }

  #releaseAsks(): void {
    const asks = this.#heldAsks;
    this.#heldAsks = [];
    for (const begin of asks) begin();
  }

  /** The hub is about to be started anew, on purpose: it answers what it has been sent, and that ends here. */
  #handleLeave(link: LinkSocket): void {
    if (this.#state !== State.joined) return;
    this.#state = State.leaving;
    link.flush();
    link.send(FrameKind.left);
  }

  #handleClosed(link: LinkSocket): void {
    if (this.#link !== link || this.#isStopped) return;
    const wasAway = this.#state === State.away;
    this.#link = undefined;
    this.#state = State.away;
    this.#isFull = false;
    if (!wasAway) this.#handleLoss();
    this.#patienceTimer ??= setTimeout(() => this.#endPatience(), this.#limits.linkAwayRequestMs);
    this.#retryTimer = setTimeout(() => this.#connect(), this.#limits.linkRetryMs);
  }

  /** Ends the flows whose devices wait for an answer, and refuses the requests that do. */
  #handleLoss(): void {
    const now = this.#options.clock();
    this.#awaySinceMs = now.monotonic;
    let ended = 0;
    for (const record of this.#flows.values()) {
      if (record.unanswered === 0) continue;
      ended += 1;
      this.#forget(record);
      this.#client?.handleEvents(now, record.flow, awayEvents);
    }
    this.counters.flowsEndedByLoss += ended;
    this.#client?.endEvents(now);
    const tickets = [...this.#tickets];
    this.#tickets.clear();
    for (const ticket of tickets) this.#client?.handleReply(refused(ticket, 'hub-away'));
    this.#asks.fail(new HubAwayError());
    this.#options.log.warn({ flows: this.#flows.size, flowsEnded: ended }, 'hub lost; its flows are kept');
    this.scheduleTurn();
  }

  get #isPatienceOver(): boolean {
    if (this.#state === State.joined) return false;
    return this.#options.clock().monotonic - this.#awaySinceMs >= this.#limits.linkAwayRequestMs;
  }

  /** Nobody should wait for so long without an answer. */
  #endPatience(): void {
    this.#patienceTimer = undefined;
    if (this.#state === State.joined) return;
    const requests = this.#heldRequests;
    this.#heldRequests = [];
    for (const { ticket } of requests) this.#client?.handleReply(refused(ticket, 'hub-away'));
    this.#releaseAsks();
  }
}

/** There is no hub just now. */
export class HubAwayError extends Error {
  override readonly name = 'HubAwayError';
  readonly code = 'hub-away';

  constructor() {
    super('the hub process is being started again');
  }
}

function withGrace(command: LinkCommand): LinkCommand {
  return command.kind === 'close' && command.publishWill
    ? { ...command, publishWill: 'after-grace' }
    : command;
}

const awayEvents: readonly LinkEvent[] = [{ kind: 'end', reason: 'hub-away' }];
const notWritable: LinkCommand = { kind: 'writable', writable: false };
