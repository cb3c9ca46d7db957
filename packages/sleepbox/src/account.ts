/** Keeps the figures of the summary. Pure; the box machine tells it what happens. */
import type { BoxSummary, WakeCause } from './events.js';
import type { ConnectionSample } from './sockets.js';

/** Latencies kept for the percentile, a ring: a box that runs for months must not grow. */
const latenciesMax = 1_000;

export class Account {
  readonly wakes: Record<WakeCause, number> = {
    data: 0,
    fin: 0,
    rst: 0,
    keepalive: 0,
    maintenance: 0,
    user: 0,
  };
  launches = 0;
  relaunches = 0;
  windowsExtended = 0;
  arrivalsWhileFreezing = 0;
  notifications = 0;
  handlerRuns = 0;
  handlerOverruns = 0;
  audioMs = 0;
  #awakeMs = 0;
  #asleepMs = 0;
  #since: number | undefined;
  #isAwake = false;
  #receivedBytes = 0;
  #sentBytes = 0;
  #canCount = true;
  #latencies: number[] = [];
  #latencyNext = 0;
  #latencyMsMax: number | null = null;

  /** From now on the program is awake, asleep, or not there at all (`undefined`). Returns the time of the state before, ms. */
  handleState(now: number, isAwake: boolean | undefined): number {
    const spentMs = this.#since === undefined ? 0 : now - this.#since;
    if (this.#isAwake) this.#awakeMs += spentMs;
    else this.#asleepMs += spentMs;
    this.#since = isAwake === undefined ? undefined : now;
    this.#isAwake = isAwake ?? false;
    return spentMs;
  }

  handleLatency(latencyMs: number): void {
    this.#latencies[this.#latencyNext] = latencyMs;
    this.#latencyNext = (this.#latencyNext + 1) % latenciesMax;
    this.#latencyMsMax = Math.max(this.#latencyMsMax ?? 0, latencyMs);
  }

  /** Counts what each connection has carried since it was last looked at. */
  handleConnections(
    before: ReadonlyMap<string, ConnectionSample>,
    connections: readonly ConnectionSample[],
  ): void {
    for (const now of connections) {
      const then = before.get(now.inode);
      if (now.receivedBytes === undefined) this.#canCount = false;
      this.#receivedBytes += Math.max(0, (now.receivedBytes ?? 0) - (then?.receivedBytes ?? 0));
      this.#sentBytes += Math.max(0, (now.sentBytes ?? 0) - (then?.sentBytes ?? 0));
    }
  }

  summary(now: number): BoxSummary {
    const currentMs = this.#since === undefined ? 0 : now - this.#since;
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return {
      launches: this.launches,
      relaunches: this.relaunches,
      wakes: { ...this.wakes },
      windowsExtended: this.windowsExtended,
      arrivalsWhileFreezing: this.arrivalsWhileFreezing,
      awakeMs: round(this.#awakeMs + (this.#isAwake ? currentMs : 0)),
      asleepMs: round(this.#asleepMs + (this.#isAwake ? 0 : currentMs)),
      audioMs: round(this.audioMs),
      receivedBytes: this.#canCount ? this.#receivedBytes : null,
      sentBytes: this.#canCount ? this.#sentBytes : null,
      notifications: this.notifications,
      handlerRuns: this.handlerRuns,
      handlerOverruns: this.handlerOverruns,
      latencyMsP50: sorted.length === 0 ? null : round(sorted[sorted.length >> 1] ?? 0),
      latencyMsMax: this.#latencyMsMax === null ? null : round(this.#latencyMsMax),
    };
  }
}

/** To a hundredth of a millisecond: more digits are noise. */
export function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
