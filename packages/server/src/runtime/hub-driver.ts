/**
 * Drives the hub and its store, and gives them the time.
 *
 * Commands and requests reach the hub at once. What it answers is collected once per turn of the event loop; only
 * when that grows too much it is let out at once. Decides nothing about messages, and knows neither flows nor
 * sessions: whoever holds them is the {@link HubClient}, and the {@link CallClient} for calls.
 *
 * Faults: a hub that throws ends the driver (`onFailed`), because its state may be wrong and the store is right; a
 * commit that fails is told to the hub, and the server goes on.
 */
import type { InstantMs, Machine } from '@wakeline/core/base';
import type { CallCommand, ControlRequest, FlowId, LinkCommand, WakeOutcome } from '@wakeline/core/domain';
import type { HubInput, HubOutput } from '@wakeline/core/hub';
import type { Store, StoreChange } from '@wakeline/core/ports';
import type { Clock } from './clock.js';
import { DeadlineTimer } from './deadline-timer.js';
import type { HubClient, HubPort } from './hub-port.js';
import type { Log } from './log.js';
import type { CallClient, CallHub } from './sip-side.js';

/** The hub as it is driven. */
export interface DrivenHub extends Machine<HubInput, HubOutput> {
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

export interface HubDriverOptions {
  readonly hub: DrivenHub;
  readonly store: Pick<Store, 'commit'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Called for each commit that is synced. */
  readonly onCommitted?: (durationMs: number) => void;
  /** Called once, when the hub threw. Nothing is given to it any more. */
  readonly onFailed: (error: unknown) => void;
}

interface Waiter {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
}

export class HubDriver implements HubPort, CallHub {
  /** Commits that the store could not make; only grows. */
  commitFailures = 0;
  readonly #options: HubDriverOptions;
  readonly #hub: DrivenHub;
  #client: HubClient | undefined;
  #callClient: CallClient | undefined;
  #commitsUnderWay = 0;
  #turn: NodeJS.Immediate | undefined;
  readonly #hubTimer = new DeadlineTimer(() => this.scheduleTurn());
  #isStopped = false;
  #waiters: Waiter[] = [];

  constructor(options: HubDriverOptions) {
    this.#options = options;
    this.#hub = options.hub;
  }

  /** Begins to run turns. Call once, after the hub has recovered and before anything else. */
  start(client: HubClient, callClient?: CallClient): void {
    this.#client = client;
    this.#callClient = callClient;
    this.scheduleTurn();
  }

  get isCongested(): boolean {
    return this.#hub.isCongested;
  }

  readonly isAway = false;

  isFlowCongested(): boolean {
    return false;
  }

  get hasMuchToSay(): boolean {
    return this.#hub.hasMuchToSay;
  }

  giveCommands(now: InstantMs, flow: FlowId, commands: readonly LinkCommand[]): void {
    this.#giveHub(now, { kind: 'link', flow, commands });
  }

  giveRequest(now: InstantMs, request: ControlRequest): void {
    this.#giveHub(now, { kind: 'request', request });
  }

  giveCalls(now: InstantMs, commands: readonly CallCommand[]): void {
    this.#giveHub(now, { kind: 'calls', commands });
  }

  giveWakeResult(now: InstantMs, ticket: number, outcome: WakeOutcome): void {
    this.#giveHub(now, { kind: 'wake-result', ticket, outcome });
  }

  /** Hands the hub something that is no flow's: the disk's state, the wish to drain. */
  tell(input: Extract<HubInput, { kind: 'disk' | 'drain' }>): void {
    this.#giveHub(this.#options.clock(), input);
    this.scheduleTurn();
  }

  /** Resolves when nothing waits to be committed; sees to it that nothing waits for its time. */
  whenIdle(): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    this.#hub.flush(this.#options.clock());
    this.scheduleTurn();
    const isMet = (): boolean => this.#commitsUnderWay === 0 && !this.#hub.hasPendingWork();
    return new Promise((resolve) => this.#waiters.push({ isMet, resolve }));
  }

  /** Lets go of every timer; nothing reaches the hub any more. Idempotent. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#hubTimer.stop();
    clearImmediate(this.#turn);
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters = [];
  }

  scheduleTurn(): void {
    if (this.#turn !== undefined || this.#isStopped) return;
    this.#turn = setImmediate(() => {
      this.#turn = undefined;
      this.#runTurn();
    });
  }

  #runTurn(): void {
    if (this.#isStopped) return;
    const now = this.#options.clock();
    this.#client?.beginTurn(now);
    this.#callClient?.beginTurn(now);
    const hub = this.#hub;
    try {
      if (hub.nextTimeoutMs() <= now.monotonic) hub.handleTimeout(now);
    } catch (error) {
      this.#handleHubError(error);
      return;
    }
    this.letOut(now);
    if (this.#isStopped) return;
    if (hub.hasMore) this.scheduleTurn();
    this.#hubTimer.arm(now, hub.nextTimeoutMs());
    this.#notifyWaiters();
  }

  letOut(now: InstantMs): void {
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
    this.#client?.endEvents(now);
    this.#callClient?.endEvents(now);
  }

  #handleHubOutput(now: InstantMs, output: HubOutput): void {
    switch (output.kind) {
      case 'link':
        this.#client?.handleEvents(now, output.flow, output.events);
        return;
      case 'reply':
        this.#client?.handleReply(output.reply);
        return;
      case 'calls':
        this.#callClient?.handleCalls(output.events);
        return;
      case 'wake':
        this.#callClient?.handleWake(output.wake);
        return;
      case 'commit':
        this.#commit(output.changes);
    }
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

  #commit(changes: readonly StoreChange[]): void {
    const { store, clock, log, onCommitted } = this.#options;
    this.#commitsUnderWay += 1;
    const sinceMs = clock().monotonic;
    store.commit(changes).then(
      () => {
        onCommitted?.(clock().monotonic - sinceMs);
        this.#endCommit(committedInput);
      },
      (error: unknown) => {
        this.commitFailures += 1;
        log.error({ err: error, changes: changes.length }, 'commit failed');
        this.#endCommit(commitFailedInput);
      },
    );
  }

  #endCommit(outcome: HubInput): void {
    this.#commitsUnderWay -= 1;
    this.#giveHub(this.#options.clock(), outcome);
    this.scheduleTurn();
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

const committedInput: HubInput = { kind: 'committed' };
const commitFailedInput: HubInput = { kind: 'commit-failed' };
