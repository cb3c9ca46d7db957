/**
 * The part of the hub that serves calls: it takes what the SIP stack says in its order, and joins users, bindings, calls,
 * requests within dialogs and messages. There is none where no SIP is spoken.
 */
import { lookAtMs } from '../../base/time.js';
import type { Aor, CallCommand, CallId, SipUser, WakeOutcome } from '../../domain/call.js';
import type { CallIntent, CallIntentOutcome } from '../../domain/question.js';
import type { CallOptions, HubCore } from '../hub-core.js';
import type { Publisher } from '../publisher.js';
import { Bindings } from './bindings.js';
import type { Bind } from './bindings.js';
import { CallBook } from './call-book.js';
import { CallEnds } from './call-ends.js';
import { CallRequests } from './call-requests.js';
import type { CallRequest } from './call-requests.js';
import { CallWakes } from './call-wakes.js';
import { Calls } from './calls.js';
import { DeviceNotices } from './device-notices.js';
import { InstanceWaker } from './instance-waker.js';
import { Legs } from './legs.js';
import { Reaches } from './reaches.js';
import { SipMessages } from './sip-messages.js';
import { Users } from './users.js';
import { Waker } from './waker.js';

export class CallSide {
  readonly #core: HubCore;
  readonly #users: Users;
  readonly #bindings: Bindings;
  readonly #waker: Waker;
  readonly #book: CallBook;
  readonly #calls: Calls;
  readonly #reaches: Reaches;
  readonly #messages: SipMessages;
  readonly #requests: CallRequests;

  constructor(core: HubCore, publisher: Publisher, options: CallOptions) {
    const { queue, limits, callCounts } = core;
    const bindings = new Bindings(queue, limits, callCounts);
    const users = new Users(queue, limits, callCounts, options);
    const waker = new Waker(core, publisher, options);
    const notices = new DeviceNotices(core, publisher);
    const book = new CallBook(core);
    const wakes = new CallWakes({ core, book, bindings, users, waker, notices });
    const ends = new CallEnds(core, book, wakes);
    const legs = new Legs({ core, book, bindings, wakes, ends });
    const calls = new Calls({ core, options, book, wakes, ends, legs });
    const instanceWaker = new InstanceWaker(core, bindings, users, waker, notices);
    this.#core = core;
    this.#users = users;
    this.#bindings = bindings;
    this.#waker = waker;
    this.#book = book;
    this.#calls = calls;
    this.#reaches = new Reaches(core, bindings, instanceWaker);
    this.#messages = new SipMessages(core, bindings, users, instanceWaker);
    this.#requests = new CallRequests({ core, book, bindings, users, calls });
  }

  findUser(aor: Aor): SipUser | undefined {
    return this.#users.find(aor);
  }

  /** Users whose passwords have no hash of something that phones are asked for, in the order of their addresses. */
  usersMissingAlgorithms(): Aor[] {
    return this.#users.list(undefined).filter((aor) => this.#users.missingAlgorithms(aor).length > 0);
  }

  handleCommands(commands: readonly CallCommand[]): void {
    for (const command of commands) this.#handle(command);
    this.#book.flush();
  }

  handleRequest(request: CallRequest): void {
    this.#requests.handle(request);
    this.#book.flush();
  }

  /** A device says what its user decided. `done` is true once the batch being filled is synced. */
  intend(deviceId: string, call: CallId, intent: CallIntent): CallIntentOutcome {
    return this.#requests.intend(deviceId, call, intent);
  }

  handleWakeResult(ticket: number, outcome: WakeOutcome): void {
    this.#waker.handleResult(ticket, outcome);
    this.#book.flush();
  }

  /** A commit has settled: what that caused goes with the next one. */
  handleSettled(): void {
    this.#book.flush();
  }

  handleTimeout(): void {
    this.#bindings.handleTimeout(this.#core.now);
    this.#calls.handleTimeout();
    this.#reaches.handleTimeout();
    this.#book.flush();
  }

  /** What is too old is forgotten; called now and then. */
  sweep(): void {
    this.#book.sweep();
    this.#messages.sweep();
  }

  nextTimeoutMs(): number {
    return Math.min(
      this.#book.nextMs,
      this.#reaches.nextMs,
      lookAtMs(this.#core.now, this.#bindings.nextWallMs),
    );
  }

  /** Reads the store, and says what there is as the first event of all. */
  recover(): void {
    const { now, outbox, options } = this.#core;
    this.#users.recover(options.store);
    this.#bindings.recover(options.store, now);
    this.#messages.recover();
    const calls = this.#calls.recover();
    outbox.call({ kind: 'restored', bindings: this.#bindings.placed(now), calls });
    outbox.closeCallEvents();
    this.#book.flush();
  }

  #handle(command: CallCommand): void {
    const calls = this.#calls;
    switch (command.kind) {
      case 'bind':
        return this.#bind(command);
      case 'flow-lost':
        return this.#loseFlow(command.flow);
      case 'flow-up': {
        const { aor, instance, regId, flow } = command;
        if (!this.#bindings.giveFlow(aor, instance, regId, flow)) return;
        calls.handleBound(aor, [instance]);
        return this.#handleFlow(aor, instance);
      }
      case 'call':
        return calls.handleCall(command);
      case 'leg-provisional':
      case 'leg-answered':
      case 'leg-refused':
      case 'leg-unreachable':
        return calls.handleLeg(command);
      case 'cancel':
        return calls.handleCancel(command.call);
      case 'caller':
        return calls.handleCaller(command.call, command.isReachable);
      case 'call-note':
        return calls.handleNote(command.call, command.leg, command.text);
      case 'reach':
        return this.#reaches.handle(command);
      case 'message':
        return this.#messages.handle(command);
      case 'message-result':
        return this.#messages.handleResult(command);
    }
  }

  #bind(command: Bind): void {
    const core = this.#core;
    const { ticket, aor } = command;
    const isQuery = command.changes.length === 0 && !command.removeAll;
    if (isQuery) {
      const bindings = this.#bindings.listed(aor, core.now);
      return core.queue.after({
        committed: () => core.outbox.call({ kind: 'bound', ticket, bindings }),
        failed: () => core.outbox.call({ kind: 'bind-refused', ticket, reason: 'storage-failed' }),
      });
    }
    if (core.isDraining) return core.outbox.call({ kind: 'bind-refused', ticket, reason: 'draining' });
    const effect = this.#bindings.bind(core.now, command);
    if (typeof effect === 'string') return core.outbox.call({ kind: 'bind-refused', ticket, reason: effect });
    // The calls' own completions come behind this one: `bound` precedes the offers that it causes.
    core.queue.after({
      committed: () => {
        core.outbox.call({ kind: 'bound', ticket, bindings: effect.bindings });
        for (const instance of effect.instances) this.#handleFlow(aor, instance);
      },
      undo: effect.undo,
      failed: () => {
        core.outbox.call({ kind: 'bind-refused', ticket, reason: 'storage-failed' });
        this.#calls.handleBindFailed(aor);
      },
    });
    this.#calls.handleBound(aor, effect.instances);
    // In one batch with the bindings, so that nothing else comes between.
    this.#book.flush();
  }

  #handleFlow(aor: Aor, instance: string): void {
    this.#reaches.handleFlow(aor, instance);
    this.#messages.deliver(aor, instance);
  }

  #loseFlow(flow: number): void {
    for (const { aor, instance } of this.#bindings.loseFlow(this.#core.now, flow)) {
      this.#messages.handleFlowLost(aor, instance, flow);
      this.#calls.handleFlowLost(aor, instance, flow);
    }
  }
}
