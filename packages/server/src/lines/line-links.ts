/**
 * The line processes as the hub process has them: links that come and go, each with the flows that live in it.
 *
 * A flow has one number in its line and another here, which is unique over all lines and never used again while the
 * hub lives. Commands are taken slice by slice while the hub is not congested; a line that does not take what it is
 * sent is full, and then nothing is handed to its flows. A line that is gone has lost its flows.
 *
 * Must not: speak any protocol of devices, or decide about messages.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { InstantMs } from '@wakeline/core/base';
import type { ControlReply, ControlRequest, FlowId, LinkCommand, LinkEvent } from '@wakeline/core/domain';
import type { HubRequest } from '../http/options.js';
import type { Clock } from '../runtime/clock.js';
import type { HubClient, HubPort } from '../runtime/hub-port.js';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import { RequestDesk, refused } from '../runtime/request-desk.js';
import { CommandReader } from './command-codec.js';
import { EventWriter } from './event-codec.js';
import { FrameKind, LinkError, linkProtocolVersion } from './link-frames.js';
import type { Frame } from './link-frames.js';
import { answerAsk, LinkAsks, LinkSocket, valueOf } from './link-socket.js';
import type { LinkAnswer, LinkAsk, LinkHello } from './link-socket.js';

export interface LineLinksOptions {
  readonly hub: HubPort;
  readonly version: string;
  readonly clock: Clock;
  readonly limits: RuntimeLimits;
  readonly log: Log;
  /** Answers what a line process asks of this one. */
  readonly answer: (what: string, value: unknown) => unknown;
}

/** A flow, by both of its numbers. */
interface LineFlow {
  readonly link: LineLink;
  readonly lineId: FlowId;
  readonly hubId: FlowId;
  /** The device takes more, as its line said last. */
  isWritable: boolean;
}

/** One line process. */
class LineLink {
  readonly socket: LinkSocket;
  readonly commands = new CommandReader();
  readonly events: EventWriter;
  readonly flows = new Map<FlowId, LineFlow>();
  readonly asks = new LinkAsks();
  /** Undefined until it has said who it is. */
  name: string | undefined;
  /** It was told that the hub leaves, and has sent everything. */
  hasLeft = false;
  /** Its flows are marked as not writable. */
  isFull = false;
  /** What the host had taken when that was last seen to change, and when (monotonic ms). */
  progress = 0;
  progressMs = 0;
  /** Events were written in this turn. */
  isDirty = false;

  constructor(makeSocket: (link: LineLink) => LinkSocket) {
    this.socket = makeSocket(this);
    this.events = new EventWriter(this.socket.writer);
  }
}

export class LineLinks implements HubClient {
  readonly #options: LineLinksOptions;
  readonly #hub: HubPort;
  readonly #limits: RuntimeLimits;
  readonly #desk: RequestDesk;
  readonly #links = new Set<LineLink>();
  readonly #flows = new Map<FlowId, LineFlow>();
  #lastFlow: FlowId = 0;
  /** Links with commands that wait for the hub. */
  #waiting: LineLink[] = [];
  #dirty: LineLink[] = [];
  #server: Server | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #leaveWaiters: (() => void)[] = [];
  #closeWaiters: (() => void)[] = [];
  #isStopped = false;

  constructor(options: LineLinksOptions) {
    this.#options = options;
    this.#hub = options.hub;
    this.#limits = options.limits;
    this.#desk = new RequestDesk(options.limits.requestsWaitingMax);
  }

  /** Listens for lines. The path must be free; the socket is for the user of this process alone. */
  async listen(path: string): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    const listening = once(server, 'listening');
    // The mode is set before anybody can connect: a socket is made, at once, with what the mask leaves.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
    await listening;
    this.#sweepTimer = setInterval(() => this.sweep(), this.#limits.sweepMs);
  }

  /** Lines that have said who they are. */
  get lineCount(): number {
    return [...this.#links].filter(({ name }) => name !== undefined).length;
  }

  /** Asks the hub on behalf of this process. */
  request(request: HubRequest): Promise<ControlReply> {
    if (this.#isStopped) return Promise.resolve(refused(0, 'draining'));
    const reply = this.#desk.open(request, (complete) => this.#giveRequest(complete));
    this.#hub.scheduleTurn();
    return reply;
  }

  /** Asks every line; those that fail or do not answer within the time are left out. */
  async askAll(what: string, timeoutMs: number): Promise<unknown[]> {
    const answers: unknown[] = [];
    const asked = [...this.#links]
      .filter(({ name }) => name !== undefined)
      .map(async (link) => {
        try {
          answers.push(await link.asks.ask(what, undefined, (ask) => link.socket.send(FrameKind.ask, ask)));
        } catch (error) {
          this.#options.log.warn({ err: error, line: link.name, what }, 'a line did not answer');
        }
      });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([Promise.all(asked), late]);
    clearTimeout(timer);
    return answers;
  }

  /** Tells the lines that this hub leaves; resolves when each has sent all that it had, or is gone. */
  leave(): Promise<void> {
    for (const link of this.#links) {
      if (link.name === undefined) link.socket.destroy();
      else link.socket.send(FrameKind.leave);
    }
    if (this.#hasEveryoneLeft) return Promise.resolve();
    return new Promise((resolve) => this.#leaveWaiters.push(resolve));
  }

  /** Closes the links behind what was written, and no line comes in any more. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearInterval(this.#sweepTimer);
    this.#server?.close();
    for (const link of this.#links) link.socket.end();
    this.#desk.close();
    this.#notifyLeft();
  }

  /** Resolves when every link is closed. Call after {@link stop}. */
  whenClosed(): Promise<void> {
    if (this.#links.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#closeWaiters.push(resolve));
  }

  // What the hub says.

  beginTurn(now: InstantMs): void {
    this.#desk.release(
      () => !this.#hub.isCongested && !this.#isStopped,
      (request) => this.#hub.giveRequest(now, request),
    );
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const link of waiting) {
      if (!this.#links.has(link)) continue;
      try {
        if (this.#takeCommands(now, link)) link.socket.resume();
      } catch (error) {
        // What is wrong in a frame may show only when the rest of it is taken.
        link.socket.fail(error);
      }
    }
  }

  handleEvents(_now: InstantMs, id: FlowId, events: readonly LinkEvent[]): void {
    const flow = this.#flows.get(id);
    if (flow === undefined) return;
    const { link, lineId } = flow;
    for (const event of events) {
      if (link.socket.open(FrameKind.events)) link.events.begin();
      link.events.write(lineId, event);
    }
    const last = events[events.length - 1]?.kind;
    if (last === 'end' || last === 'refused') this.#forget(flow);
    if (link.isDirty) return;
    link.isDirty = true;
    this.#dirty.push(link);
  }

  handleReply(reply: ControlReply): void {
    this.#desk.reply(reply);
  }

  endEvents(now: InstantMs): void {
    if (this.#dirty.length === 0) return;
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const link of dirty) {
      link.isDirty = false;
      link.socket.flush();
      link.events.begin();
      this.#watchFullness(now, link);
    }
  }

  /** Ends lines that take nothing for `stallMs`. Run each `sweepMs`. */
  sweep(): void {
    const now = this.#options.clock();
    for (const link of this.#links) {
      if (!link.isFull) continue;
      const { sentBytes } = link.socket;
      if (sentBytes !== link.progress) {
        link.progress = sentBytes;
        link.progressMs = now.monotonic;
      } else if (now.monotonic - link.progressMs >= this.#limits.stallMs) {
        this.#options.log.error({ line: link.name }, 'a line takes nothing and is cut off');
        link.socket.destroy();
      }
    }
  }

  // What the lines say.

  #accept(socket: Socket): void {
    const link = new LineLink(
      (made) =>
        new LinkSocket(
          socket,
          {
            handleFrame: (frame) => this.#handleFrame(made, frame),
            handleReadEnd: () => this.#hub.scheduleTurn(),
            handleDrained: () => this.#handleDrained(made),
            handleClosed: (error) => this.#handleClosed(made, error),
          },
          this.#limits.linkFrameBytesMax,
          this.#limits.linkFlushBytes,
        ),
    );
    this.#links.add(link);
  }

  #handleFrame(link: LineLink, frame: Frame): boolean {
    if (this.#isStopped) return true;
    if (link.name === undefined && frame.kind !== FrameKind.hello)
      throw new LinkError('it does not say who it is');
    switch (frame.kind) {
      case FrameKind.commands:
        link.commands.begin(frame.content);
        return this.#takeCommands(this.#options.clock(), link);
      case FrameKind.request:
        this.#handleRequest(link, valueOf(frame) as ControlRequest);
        return true;
      case FrameKind.ask:
        answerAsk(valueOf(frame) as LinkAsk, this.#options.answer, (answer) =>
          link.socket.send(FrameKind.answer, answer),
        );
        return true;
      case FrameKind.answer:
        link.asks.handleAnswer(valueOf(frame) as LinkAnswer);
        return true;
      case FrameKind.hello:
        this.#handleHello(link, valueOf(frame) as LinkHello);
        return true;
      case FrameKind.left:
        link.hasLeft = true;
        if (this.#hasEveryoneLeft) this.#notifyLeft();
        return true;
      default:
        throw new LinkError(`frame ${frame.kind}`);
    }
  }

  #handleHello(link: LineLink, hello: LinkHello): void {
    const { version } = this.#options;
    link.socket.send(FrameKind.hello, { protocol: linkProtocolVersion, version, pid: process.pid });
    if (hello.protocol !== linkProtocolVersion) {
      this.#options.log.error(
        { line: hello.line, version: hello.version },
        'a line speaks another link protocol',
      );
      link.socket.end();
      return;
    }
    link.name = hello.line ?? String(hello.pid);
    this.#options.log.info({ line: link.name, pid: hello.pid, version: hello.version }, 'line joined');
  }

  /** Gives the hub what of the frame it takes. False: it has enough, and the link waits. */
  #takeCommands(now: InstantMs, link: LineLink): boolean {
    while (!link.commands.isDone) {
      if (this.#hub.isCongested) {
        this.#waiting.push(link);
        return false;
      }
      const commands = link.commands.next(this.#limits.commandsPerSliceMax);
      this.#giveCommands(now, link, link.commands.flow, commands);
      if (this.#hub.hasMuchToSay) this.#hub.letOut(now);
    }
    this.#hub.scheduleTurn();
    return true;
  }

  #giveCommands(now: InstantMs, link: LineLink, lineId: FlowId, commands: readonly LinkCommand[]): void {
    let flow = link.flows.get(lineId);
    if (flow === undefined) {
      const first = commands[0]?.kind;
      // The hub has ended the flow; these crossed its word on the way.
      if (first !== 'open' && first !== 'canary' && first !== 'resume') return;
      flow = { link, lineId, hubId: ++this.#lastFlow, isWritable: true };
      link.flows.set(lineId, flow);
      this.#flows.set(flow.hubId, flow);
      this.#hub.giveCommands(now, flow.hubId, link.isFull ? [...commands, notWritable] : commands);
    } else {
      this.#hub.giveCommands(now, flow.hubId, commands);
    }
    this.#noteWritable(now, flow, commands);
    if (commands[commands.length - 1]!.kind === 'close') this.#forget(flow);
  }

  #noteWritable(now: InstantMs, flow: LineFlow, commands: readonly LinkCommand[]): void {
    for (const command of commands) {
      if (command.kind !== 'writable') continue;
      flow.isWritable = command.writable;
      if (command.writable && flow.link.isFull) this.#hub.giveCommands(now, flow.hubId, [notWritable]);
    }
  }

  #forget(flow: LineFlow): void {
    this.#flows.delete(flow.hubId);
    flow.link.flows.delete(flow.lineId);
  }

  #handleRequest(link: LineLink, request: ControlRequest): void {
    const { ticket } = request;
    void this.#desk
      .open(request, (complete) => this.#giveRequest(complete))
      .then((reply) => link.socket.send(FrameKind.reply, { ...reply, ticket }));
    this.#hub.scheduleTurn();
  }

  #giveRequest(request: ControlRequest): void {
    if (this.#hub.isCongested) this.#desk.hold(request);
    else this.#hub.giveRequest(this.#options.clock(), request);
  }

  /** Marks the line's flows when it takes too little. */
  #watchFullness(now: InstantMs, link: LineLink): void {
    const { unsentBytes } = link.socket;
    if (unsentBytes >= this.#limits.linkUnsentBytesFatal) {
      this.#options.log.error({ line: link.name, unsentBytes }, 'a line is cut off: too much unsent');
      link.socket.destroy();
      return;
    }
    if (link.isFull || unsentBytes < this.#limits.linkUnsentBytesMax) return;
    link.isFull = true;
    link.progress = link.socket.sentBytes;
    link.progressMs = now.monotonic;
    for (const { hubId } of link.flows.values()) this.#hub.giveCommands(now, hubId, [notWritable]);
  }

  #handleDrained(link: LineLink): void {
    if (!link.isFull || this.#isStopped) return;
    link.isFull = false;
    const now = this.#options.clock();
    for (const { hubId, isWritable } of link.flows.values()) {
      if (isWritable) this.#hub.giveCommands(now, hubId, [writable]);
    }
    this.#hub.scheduleTurn();
  }

  #handleClosed(link: LineLink, error: unknown): void {
    if (!this.#links.delete(link)) return;
    if (error instanceof LinkError) this.#options.log.error({ err: error, line: link.name }, 'link broken');
    link.asks.fail(new Error('the line is gone'));
    if (!this.#isStopped) {
      const now = this.#options.clock();
      this.#options.log.info({ line: link.name, flows: link.flows.size }, 'line gone');
      for (const flow of link.flows.values()) {
        this.#flows.delete(flow.hubId);
        this.#hub.giveCommands(now, flow.hubId, [lost]);
      }
      this.#hub.scheduleTurn();
    }
    link.flows.clear();
    if (this.#links.size === 0) for (const resolve of this.#closeWaiters) resolve();
    if (this.#hasEveryoneLeft) this.#notifyLeft();
  }

  get #hasEveryoneLeft(): boolean {
    return [...this.#links].every(({ hasLeft, name }) => hasLeft || name === undefined);
  }

  #notifyLeft(): void {
    const waiters = this.#leaveWaiters;
    this.#leaveWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

const writable: LinkCommand = { kind: 'writable', writable: true };
const notWritable: LinkCommand = { kind: 'writable', writable: false };
/** The line is gone, and its devices cannot help it. */
const lost: LinkCommand = { kind: 'close', publishWill: 'after-grace', sessionExpirySeconds: undefined };
