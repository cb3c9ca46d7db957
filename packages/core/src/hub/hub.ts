/**
 * The hub: one machine that owns every inbox. Commands of flows and requests go in; events, replies and commits come
 * out. It knows no protocol, holds no socket and never waits.
 *
 * A turn: inputs are handled as they come, and everything they cause is collected; then `pollOutput` gives first the
 * commit (so that the disk starts early), then what there is to say, then deliveries within the turn's budget.
 */
import type { Machine } from '../base/machine.js';
import type { InstantMs } from '../base/time.js';
import { lookAtMs, SECOND_MS } from '../base/time.js';
import { assert, unreachable } from '../base/assert.js';
import type { Aor, SipUser } from '../domain/call.js';
import type { ApiToken, Statistics } from '../domain/control.js';
import type { LinkCommand } from '../domain/link.js';
import { CallSide } from './calls/call-side.js';
import type { Device, Flow } from './device-state.js';
import { FlowState } from './device-state.js';
import { EntryFlag } from './entry-table.js';
import { HubCore } from './hub-core.js';
import type { HubOptions } from './hub-core.js';
import type { Lane } from './lane.js';
import type { HubInput, HubOutput } from './machine.js';
import { Publisher } from './publisher.js';
import { Questions } from './questions.js';
import { recover } from './recovery.js';
import { Registrar } from './registrar.js';
import { Requests } from './requests.js';
import { resumeFlow } from './resume.js';
import { RetainedSender } from './retained-sender.js';
import { Sessions } from './sessions.js';
import { SystemTopics } from './system-topics.js';

/** How often old receipts and idempotency keys are looked for, ms. */
const SWEEP_INTERVAL_MS = 10 * SECOND_MS;

export class Hub implements Machine<HubInput, HubOutput> {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #sessions: Sessions;
  readonly #registrar: Registrar;
  readonly #requests: Requests;
  readonly #system: SystemTopics;
  readonly #retained: RetainedSender;
  readonly #calls: CallSide | undefined;
  readonly #questions: Questions;
  #sweepDueMs = Infinity;

  constructor(options: HubOptions) {
    this.#core = new HubCore(options);
    this.#publisher = new Publisher(this.#core);
    this.#sessions = new Sessions(this.#core, this.#publisher, (flow, commands) =>
      this.#handleCommands(flow, commands),
    );
    this.#registrar = new Registrar(this.#core, this.#publisher);
    this.#requests = new Requests(this.#core, this.#publisher, this.#sessions, this.#registrar);
    this.#system = new SystemTopics(
      this.#core,
      () => this.#requests.statistics(),
      (...figure) => this.#publisher.sendFigure(...figure),
    );
    this.#sessions.system = this.#system;
    this.#retained = new RetainedSender(this.#core, (...retained) =>
      this.#publisher.sendRetained(...retained),
    );
    this.#sessions.retainedSender = this.#retained;
    const { calls } = options;
    this.#calls = calls && new CallSide(this.#core, this.#publisher, calls);
    this.#requests.calls = this.#calls;
    this.#questions = new Questions(this.#core, this.#publisher, this.#calls);
  }

  /** Reads the store. Called once, before any input. Throws STORE_CORRUPT when it cannot be read. */
  recover(now: InstantMs): void {
    this.#advance(now);
    this.#sweepDueMs = now.monotonic + SWEEP_INTERVAL_MS;
    this.#system.begin(now);
    recover(this.#core, this.#sessions);
    this.#calls?.recover();
  }

  handleInput(now: InstantMs, input: HubInput): void {
    this.#advance(now);
    const core = this.#core;
    switch (input.kind) {
      case 'link':
        return this.#handleLink(input.flow, input.commands);
      case 'request':
        return this.#requests.handle(input.request);
      case 'committed':
        this.#handleCommitted();
        return this.#calls?.handleSettled();
      case 'commit-failed':
        return this.#handleCommitFailed();
      case 'calls':
        return this.#callSide().handleCommands(input.commands);
      case 'wake-result':
        return this.#callSide().handleWakeResult(input.ticket, input.outcome);
      case 'disk':
        core.appendsAllowed = input.appendsAllowed;
        return;
      case 'drain':
        core.isDraining = true;
        return core.watchers.answerAll();
      default:
        unreachable(input);
    }
  }

  handleTimeout(now: InstantMs): void {
    this.#advance(now);
    const core = this.#core;
    for (;;) {
      const device = core.expiryDeadlines.takeDue(now.wall);
      if (device === undefined) break;
      this.#expireMessages(device);
    }
    for (;;) {
      const device = core.willDeadlines.takeDue(now.monotonic);
      if (device === undefined) break;
      this.#sessions.handleWillDue(device);
    }
    for (;;) {
      const device = core.sessionDeadlines.takeDue(now.wall);
      if (device === undefined) break;
      this.#sessions.handleSessionDue(device);
    }
    if (this.#sweepDueMs <= now.monotonic) {
      this.#sweepDueMs = now.monotonic + SWEEP_INTERVAL_MS;
      core.receipts.sweep(now);
      core.endpoints.sweep(now);
      core.networks.sweep(now);
      this.#calls?.sweep();
    }
    core.canaries.handleTimeout(now);
    core.watchers.handleTimeout(now);
    this.#calls?.handleTimeout();
    this.#system.handleTimeout(now);
  }

  /** Drain until undefined; that ends the turn. When {@link hasMore} says so, begin another one soon. */
  pollOutput(): HubOutput | undefined {
    const core = this.#core;
    this.#retained.run();
    const changes = core.queue.takeCommit();
    if (changes !== undefined) return { kind: 'commit', changes };
    for (;;) {
      const output = core.outbox.poll();
      if (output !== undefined) return output;
      if (!core.deliverer.run(core.now)) break;
    }
    core.deliverer.beginTurn();
    this.#retained.beginTurn();
    return undefined;
  }

  /** Something to send was left over because the turn's budget was spent. */
  get hasMore(): boolean {
    return this.#core.deliverer.hasReady || this.#retained.hasReady;
  }

  nextTimeoutMs(): number {
    const core = this.#core;
    const wallDueMs = Math.min(core.expiryDeadlines.nextMs, core.sessionDeadlines.nextMs);
    return Math.min(
      core.queue.nextTimeoutMs,
      core.willDeadlines.nextMs,
      this.#sweepDueMs,
      core.canaries.nextMs,
      core.watchers.nextMs,
      this.#system.dueMs,
      this.#calls?.nextTimeoutMs() ?? Infinity,
      lookAtMs(core.now, wallDueMs),
    );
  }

  // ---- views -----------------------------------------------------------------------------------------------

  /** The API token with this SHA-256 (hex); undefined: there is none, or it was revoked. */
  findApiToken(sha256: string): ApiToken | undefined {
    return this.#core.apiTokens.get(sha256);
  }

  /** The user of SIP with this address; undefined: there is none, or no SIP is spoken. */
  findUser(aor: Aor): SipUser | undefined {
    return this.#calls?.findUser(aor);
  }

  /** Users of SIP who cannot log in by all that phones are asked for, in the order of their addresses. Looks at all users. */
  usersMissingAlgorithms(): readonly Aor[] {
    return this.#calls?.usersMissingAlgorithms() ?? [];
  }

  statistics(): Statistics {
    return this.#requests.statistics();
  }

  /** What this turn has to say is much: let it out before more is put in, so that slow readers are noticed. */
  get hasMuchToSay(): boolean {
    const { outbox, limits } = this.#core;
    return outbox.count > limits.turnEventsMax || outbox.bytes > limits.turnBytesMax;
  }

  /** Deadlines that are waited for: sessions, wills, expiries. */
  get deadlineCount(): number {
    const { sessionDeadlines, willDeadlines, expiryDeadlines } = this.#core;
    return sessionDeadlines.size + willDeadlines.size + expiryDeadlines.size;
  }

  /** The open batch is over its limit: nothing more should be read from senders until a commit is done. */
  get isCongested(): boolean {
    return this.#core.queue.openBytes > this.#core.limits.openBatchBytesMax;
  }

  /** Something is not on disk yet that should be before the process leaves. */
  hasPendingWork(): boolean {
    return this.#core.queue.hasWork || this.#retained.hasWork;
  }

  /** The server is about to leave: cursors are written now instead of at the end of their interval. */
  flush(now: InstantMs): void {
    this.#advance(now);
    this.#core.queue.flushSoon();
  }

  // ---- links -----------------------------------------------------------------------------------------------

  #callSide(): CallSide {
    assert(this.#calls !== undefined, 'calls are given only to a hub that was told of users');
    return this.#calls;
  }

  #advance(now: InstantMs): void {
    this.#core.now = now;
    this.#core.queue.advance(now);
  }

  #handleLink(flowId: number, commands: readonly LinkCommand[]): void {
    const [first] = commands;
    if (first?.kind === 'open') {
      this.#sessions.handleOpen(flowId, first);
      const flow = this.#core.flows.get(flowId);
      if (flow !== undefined && commands.length > 1) this.#handleCommands(flow, commands.slice(1));
      return;
    }
    if (first?.kind === 'canary') {
      const device = this.#sessions.find(first);
      this.#core.canaries.handleOpen(this.#core.now, flowId, first, device);
    }
    if (first?.kind === 'resume') resumeFlow(this.#core, this.#sessions, flowId, first);
    // A flow that was refused or ended may still have sent commands: they crossed the end on the way.
    const flow = this.#core.flows.get(flowId);
    if (flow === undefined) this.#core.canaries.handleCommands(flowId, commands);
    else this.#handleCommands(flow, first?.kind === 'resume' ? commands.slice(1) : commands);
  }

  #handleCommands(flow: Flow, commands: readonly LinkCommand[]): void {
    for (const command of commands) {
      if (flow.state === FlowState.ended) return;
      if (flow.state === FlowState.opening && command.kind !== 'close') (flow.held ??= []).push(command);
      else this.#handleCommand(flow, command);
    }
  }

  #handleCommand(flow: Flow, command: LinkCommand): void {
    switch (command.kind) {
      case 'publish':
        return this.#publisher.handlePublish(flow, command);
      case 'state':
        return this.#publisher.handleState(flow, command);
      case 'awake':
        return this.#noteAwake(flow, false);
      case 'register':
        return this.#registrar.handleRegister(flow, command);
      case 'unregister':
        return this.#registrar.handleUnregister(flow, command);
      case 'ask':
        return this.#questions.handle(flow, command);
      case 'fail':
        return this.#handleFail(flow, command.sequence, command.reason);
      case 'acknowledge':
        return this.#handleAcknowledge(flow, command.sequence);
      case 'received':
        return this.#handleReceived(flow, command.sequence);
      case 'complete':
        return this.#handleComplete(flow, command.sequence);
      case 'release':
        return this.#publisher.handleRelease(flow, command.packetId);
      case 'subscribe':
        return this.#sessions.handleSubscribe(flow, command.ticket, command.subscriptions);
      case 'unsubscribe':
        return this.#sessions.handleUnsubscribe(flow, command.ticket, command.filters);
      case 'writable':
        flow.isWritable = command.writable;
        return this.#core.deliverer.wake(flow.device);
      case 'close':
        return this.#sessions.handleClose(flow, command);
      case 'open':
      case 'canary':
      case 'resume':
        // A session opens once; a second one is a fault of the link, not of the peer.
        return this.#core.endFlow(flow, 'protocol-error');
      default:
        unreachable(command);
    }
  }

  /**
   * A device that said it is asleep has sent something. Acknowledgements within its window do not prolong it: else
   * messages that may wait, coming one by one, would keep it awake for ever.
   */
  #noteAwake(flow: Flow, isAcknowledgement: boolean): void {
    const core = this.#core;
    const { presence, device } = flow;
    if (presence === null || presence.activity !== 'asleep') return;
    const wasSleeping = presence.isSleeping(core.now);
    if (isAcknowledgement && !wasSleeping) return;
    if (wasSleeping && device.hasUnsent) core.wakesNatural++;
    presence.open(core.now, device.inboxView.lastSequence);
    core.deliverer.wake(device);
  }

  /** The device has the message: it is done. */
  #handleAcknowledge(flow: Flow, sequence: number): void {
    this.#noteAwake(flow, true);
    const core = this.#core;
    const { device } = flow;
    const { inbox } = device;
    const entry = core.queue.log.findInflight(inbox, sequence);
    if (entry === 0) return;
    core.acknowledged++;
    core.noteAcknowledged(device, entry);
    core.queue.log.finish(inbox, entry);
    if (!device.isDurable && inbox.waiting === 0) core.noteQuiet(device.number);
    core.deliverer.wake(device);
  }

  /** The device has the message, and nothing more will come of it. */
  #handleFail(flow: Flow, sequence: number, reason: string): void {
    this.#noteAwake(flow, true);
    const core = this.#core;
    const { device } = flow;
    const entry = core.queue.log.findInflight(device.inbox, sequence);
    if (entry === 0) return core.endAcknowledged(device, sequence, reason);
    core.endEntry(device, entry, 'failed', reason);
    core.deliverer.wake(device);
  }

  /** QoS 2, first half: the device has it; from here on only its id is in use. */
  #handleReceived(flow: Flow, sequence: number): void {
    this.#noteAwake(flow, true);
    const core = this.#core;
    const { device } = flow;
    const { inbox } = device;
    const entry = core.queue.log.findInflight(inbox, sequence);
    if (entry !== 0) {
      if (!(core.queue.log.entries.flags[entry] & EntryFlag.qos2)) return;
      core.acknowledged++;
      core.noteAcknowledged(device, entry);
      core.queue.log.finish(inbox, entry);
      (inbox.released ??= new Set()).add(sequence);
    } else if (!inbox.released?.has(sequence)) return;
    const isStored = device.isDurable && device.session!.isDurable;
    if (isStored) core.queue.putCursor(inbox);
    core.answer(flow, { kind: 'release', sequence }, isStored, undefined);
  }

  /** QoS 2, second half: the id is free. */
  #handleComplete(flow: Flow, sequence: number): void {
    this.#noteAwake(flow, true);
    const { device } = flow;
    const { inbox } = device;
    if (!inbox.released?.delete(sequence)) return;
    if (inbox.released.size === 0) inbox.released = null;
    this.#core.queue.log.markCursorDirty(inbox);
    this.#core.deliverer.wake(device);
  }

  // ---- time and disk ---------------------------------------------------------------------------------------

  #handleCommitted(): void {
    const core = this.#core;
    const { touches, cursors } = core.queue.committed();
    for (const { inbox } of touches) {
      const device = core.byNumber.get(inbox.number);
      if (device === undefined) continue;
      if (core.options.onTimeline !== undefined) this.#tellStored(device);
      core.deliverer.wake(device);
    }
    for (const { number } of cursors) core.noteQuiet(number);
    core.watchers.committed();
    core.putInboxesAway();
  }

  #handleCommitFailed(): void {
    const core = this.#core;
    for (const inbox of core.queue.failed()) {
      const device = core.byNumber.get(inbox.number);
      if (device === undefined) continue;
      core.watchExpiry(device);
      core.deliverer.wake(device);
    }
  }

  #tellStored(device: Device): void {
    const { inbox } = device;
    const { entries } = this.#core.queue.log;
    for (const lane of [inbox.topics, inbox.addressedIfAny]) {
      let entry = lane?.tail ?? 0;
      while (entry !== 0 && entries.sequence[entry] > inbox.toldThrough) entry = entries.previous[entry];
      entry = entry === 0 ? (lane?.head ?? 0) : entries.next[entry];
      for (; entry !== 0 && entries.sequence[entry] <= inbox.committed; entry = entries.next[entry]) {
        this.#core.tell('stored', device, entry);
      }
    }
    inbox.toldThrough = inbox.committed;
  }

  /** Ends what of the inbox has outlived its time and was never sent. */
  #expireMessages(device: Device): void {
    const core = this.#core;
    const { inbox } = device;
    if (device.isRemoved || inbox.earliestExpirySeconds * 1000 > core.now.wall) return;
    inbox.earliestExpirySeconds = Infinity;
    this.#expireLane(device, inbox.topics);
    if (inbox.addressedIfAny !== null) this.#expireLane(device, inbox.addressedIfAny);
    core.watchExpiry(device);
  }

  #expireLane(device: Device, lane: Lane): void {
    const core = this.#core;
    const { inbox } = device;
    const { entries } = core.queue.log;
    const nowSeconds = Math.floor(core.now.wall / 1000);
    let entry = lane.head;
    while (entry !== 0) {
      const next = entries.next[entry];
      const expirySeconds = entries.expirySeconds[entry];
      if (expirySeconds !== 0 && !(entries.flags[entry] & EntryFlag.sent)) {
        const isDue = expirySeconds <= nowSeconds;
        if (isDue && entries.sequence[entry] <= inbox.committed) {
          core.endEntry(device, entry, 'expired', 'time to live is over');
        } else {
          const lookAgain = Math.max(expirySeconds, nowSeconds + 1);
          inbox.earliestExpirySeconds = Math.min(inbox.earliestExpirySeconds, lookAgain);
        }
      }
      entry = next;
    }
  }
}
