/**
 * The policy of a box: when the program sleeps, what wakes it, how long it may run, and what happens when it
 * dies. A pure machine: time, samples of the sockets and the ends of processes come in as data, orders to the
 * shell (`sleepbox.ts`) and timeline events go out as data. It must not touch processes, files or clocks.
 *
 * One pass through sleep: awake → look at the sockets → `freeze` → frozen, look again → `watch` → looked at
 * once more by the watcher → asleep → something arrives → `thaw` → awake. Something found by one of the two looks after
 * freezing thaws at once, so nothing that came in between can be missed.
 */
import { Account } from './account.js';
import { ActivityGauge } from './activity-gauge.js';
import { AudioDetector, type AudioEvidence } from './audio.js';
import type {
  BoxEvent,
  BoxPhase,
  BoxStatus,
  BoxSummary,
  DownReason,
  SleepReason,
  WakeCause,
  WindowCause,
} from './events.js';
import { ConnectionBook } from './connection-book.js';
import type { BoxInput, BoxOutput, BoxPolicy } from './box-types.js';
import { KeepaliveHandler } from './keepalive-handler.js';
import { limits } from './limits.js';
import { Prng } from './prng.js';
import { RelaunchBackoff } from './relaunch-backoff.js';
import type { Arrival, ConnectionSample, SocketSnapshot } from './sockets.js';

interface PendingWake {
  readonly cause: WakeCause;
  readonly at: number;
  readonly arrival?: Arrival;
}

export class BoxMachine {
  readonly #policy: BoxPolicy;
  readonly #account = new Account();
  readonly #book: ConnectionBook;
  readonly #audio = new AudioDetector();
  readonly #activity = new ActivityGauge();
  readonly #handler: KeepaliveHandler;
  readonly #backoff: RelaunchBackoff;
  readonly #outputs: BoxOutput[] = [];

  #phase: BoxPhase = 'starting';
  #pid: number | null = null;
  #launchedAt = 0;
  #controlConnections = 0;

  #windowMs: number;
  #windowEndsAt = Infinity;
  #windowEventAt = -Infinity;
  #lookAt = Infinity;
  #isLooking = false;
  #lastArrivalAt = -Infinity;
  #sleepAsked: SleepReason | undefined;
  #doneLooks = 0;
  #unconnectedSince: number | undefined;
  #heldBecause: string | undefined;
  #audioEvidence: AudioEvidence | undefined;
  #audioHeldSince: number | undefined;

  #watchedCount = 0;
  #pendingWake: PendingWake | undefined;
  #arrivalWhileFreezing: Arrival | undefined;
  #isFreezeUndone = false;
  #isHandlerPending = false;
  #isNetworkCut = false;
  #maintenanceGapMs: number;
  #maintenanceAt = Infinity;
  #relaunchAt = Infinity;
  #stopReason: DownReason | undefined;
  #killAt = Infinity;

  constructor(policy: BoxPolicy) {
    this.#policy = policy;
    this.#windowMs = policy.windowMs;
    this.#book = new ConnectionBook(this.#account, policy.marks);
    this.#handler = new KeepaliveHandler(new Prng(policy.seed), policy.handlerMs);
    this.#backoff = new RelaunchBackoff(policy.relaunch);
    this.#maintenanceGapMs = this.#maintenanceFirstMs();
  }

  get phase(): BoxPhase {
    return this.#phase;
  }

  get markCount(): number {
    return this.#book.markCount;
  }

  summary(now: number): BoxSummary {
    return this.#account.summary(now);
  }

  status(now: number): BoxStatus {
    const isAwake = this.#phase === 'awake';
    return {
      name: this.#policy.name,
      phase: this.#phase,
      pid: this.#pid,
      profile: this.#policy.profileName,
      windowMs: this.#policy.windowMs,
      windowLeftMs: isAwake ? Math.max(0, Math.round(this.#windowEndsAt - now)) : null,
      marked: this.#book.watched().length,
      audio: this.#audio.evidence(now) !== undefined,
      keepaliveMs: this.#handler.timeoutMs ?? null,
      summary: this.summary(now),
    };
  }

  pollOutput(): BoxOutput | undefined {
    return this.#outputs.shift();
  }

  nextTimeoutMs(): number {
    const lookAt = this.#phase === 'awake' && !this.#isLooking ? this.#lookAt : Infinity;
    const canFire = this.#pid !== null && this.#stopReason === undefined;
    const handlerAt = canFire ? this.#handler.nextTimeoutMs() : Infinity;
    const maintenanceAt = this.#phase === 'asleep' ? this.#maintenanceAt : Infinity;
    return Math.min(lookAt, handlerAt, maintenanceAt, this.#relaunchAt, this.#killAt);
  }

  handleTimeout(now: number): void {
    if (now >= this.#killAt) {
      this.#killAt = Infinity;
      this.#outputs.push({ type: 'kill', signal: 'SIGKILL' });
    }
    if (now >= this.#relaunchAt) {
      this.#relaunchAt = Infinity;
      this.#account.relaunches++;
      this.#launch();
    }
    if (this.#pid !== null && this.#stopReason === undefined) this.#handleHandlerTimeout(now);
    if (this.#phase === 'asleep' && now >= this.#maintenanceAt) this.#wake({ cause: 'maintenance', at: now });
    if (this.#phase === 'awake' && !this.#isLooking && now >= this.#lookAt) this.#look();
  }

  handleInput(now: number, input: BoxInput): void {
    switch (input.type) {
      case 'start':
        this.#launch();
        break;
      case 'launched':
        this.#handleLaunched(now, input.pid);
        break;
      case 'snapshot':
        this.#isLooking = false;
        if (this.#phase === 'awake') this.#handleSnapshot(now, input.snapshot);
        break;
      case 'frozen':
        if (this.#phase === 'freezing') this.#handleFrozen(now, input.snapshot);
        break;
      case 'freeze-failed':
        if (this.#phase !== 'freezing') break;
        this.#event({
          type: 'warning',
          code: 'FREEZE_FAILED',
          message: 'it could not be frozen; another window',
        });
        this.#thawForWindow();
        break;
      case 'watched':
        if (this.#phase === 'freezing') this.#handleWatched(now, input.connections);
        break;
      case 'arrived':
        if (this.#phase === 'asleep') this.#handleArrived(now, input.connection, input.at);
        else if (this.#phase === 'freezing')
          this.#shouldThawAtOnce(now, this.#book.update([input.connection]));
        break;
      case 'thawed':
        if (this.#phase === 'waking') this.#handleThawed(now);
        break;
      case 'exited':
        this.#handleExited(now, input.code, input.signal);
        break;
      case 'program-connected':
        this.#controlConnections = input.connections;
        break;
      case 'stop':
        this.#handleStop(now, input.reason);
        break;
      default:
        this.#handleControl(now, input);
    }
  }

  #handleControl(now: number, input: BoxInput): void {
    switch (input.type) {
      case 'mark':
        this.#event({ type: 'marks', count: this.#book.mark(input.mark) });
        break;
      case 'unmark':
        this.#event({ type: 'marks', count: this.#book.unmark(input.mark) });
        break;
      case 'keepalive':
        if (input.timeoutMs === undefined) this.#handler.clear();
        else this.#handler.set(now, input.timeoutMs);
        this.#event(
          input.timeoutMs === undefined
            ? { type: 'keepalive', action: 'cleared' }
            : { type: 'keepalive', action: 'set', timeoutMs: input.timeoutMs },
        );
        break;
      case 'done':
        if (this.#handler.isRunning) {
          this.#handler.handleDone();
          this.#event({ type: 'keepalive', action: 'done' });
        }
        if (this.#phase === 'awake') this.#askSleep('done');
        break;
      case 'audio':
        this.#audio.handleSaid(input.on);
        if (this.#phase === 'awake') this.#updateAudio(now);
        break;
      case 'notify':
        this.#account.notifications++;
        this.#event({ type: 'notification', title: input.title, body: input.body });
        break;
      case 'user-sleep':
        if (this.#phase === 'awake') this.#askSleep('user');
        break;
      case 'user-wake':
        if (this.#phase === 'asleep') this.#wake({ cause: 'user', at: now });
        else if (this.#phase === 'awake') this.#beginWindow(now, 'user');
        else if (this.#phase === 'freezing') this.#pendingWake = { cause: 'user', at: now };
        break;
    }
  }

  // --- launch and death -------------------------------------------------------------------------------------

  #launch(): void {
    this.#phase = 'starting';
    this.#outputs.push({ type: 'launch' });
  }

  #handleLaunched(now: number, pid: number): void {
    this.#pid = pid;
    this.#launchedAt = now;
    this.#account.launches++;
    this.#account.handleState(now, true);
    this.#audio.handleLaunch();
    this.#audioEvidence = undefined;
    this.#book.handleLaunch(); // a launch starts from scratch: marks and handler must be set again
    this.#handler.clear();
    this.#isHandlerPending = false;
    this.#isNetworkCut = false;
    this.#activity.handleLaunch();
    this.#event({ type: 'launch', pid, launches: this.#account.launches });
    if (this.#policy.keepaliveMs !== undefined) this.#handler.set(now, this.#policy.keepaliveMs);
    if (this.#stopReason !== undefined) {
      this.#phase = 'stopping';
      this.#outputs.push({ type: 'kill', signal: 'SIGTERM' });
      return;
    }
    this.#phase = 'awake';
    this.#lastArrivalAt = now;
    this.#beginWindow(now, 'launch');
  }

  #handleExited(now: number, code: number | null, signal: string | null): void {
    if (this.#phase === 'down') return;
    this.#endAudioHold(now);
    this.#account.handleState(now, undefined);
    const ranMs = this.#pid === null ? 0 : now - this.#launchedAt;
    this.#pid = null;
    this.#isLooking = false;
    this.#lookAt = Infinity;
    this.#handler.clear();
    this.#book.handleLaunch();
    this.#pendingWake = undefined;
    this.#event({ type: 'exit', code, signal, ranMs: Math.round(ranMs) });
    if (this.#stopReason !== undefined) return this.#down(now, this.#stopReason);
    if (code === 0 && signal === null) return this.#down(now, 'exit-0');
    const delayMs = this.#backoff.delayAfterRun(ranMs);
    this.#phase = 'relaunching';
    this.#relaunchAt = now + delayMs;
    this.#event({ type: 'relaunch', delayMs });
  }

  #handleStop(now: number, reason: DownReason): void {
    if (this.#stopReason !== undefined || this.#phase === 'down') return;
    this.#stopReason = reason;
    this.#relaunchAt = Infinity;
    if (this.#phase === 'relaunching') return this.#down(now, reason);
    const wasStarting = this.#pid === null;
    this.#phase = 'stopping';
    this.#killAt = now + limits.termGraceMs;
    if (!wasStarting) this.#outputs.push({ type: 'thaw', network: true });
    this.#outputs.push({ type: 'kill', signal: 'SIGTERM' });
  }

  #down(now: number, reason: DownReason): void {
    this.#phase = 'down';
    this.#relaunchAt = Infinity;
    this.#killAt = Infinity;
    this.#event({ type: 'down', reason });
    this.#event({ type: 'summary', summary: this.summary(now) });
    const exitCode = reason === 'SIGINT' ? 130 : reason === 'SIGTERM' ? 143 : reason === 'SIGHUP' ? 129 : 0;
    this.#outputs.push({ type: 'down', exitCode, reason });
  }

  // --- awake ------------------------------------------------------------------------------------------------

  #beginWindow(now: number, cause: WindowCause): void {
    this.#endAudioHold(now);
    const { windowMs, maintenanceWindowMs, profile } = this.#policy;
    const length =
      cause === 'maintenance' ? (maintenanceWindowMs ?? profile.maintenance?.windowMs ?? windowMs) : windowMs;
    this.#windowMs = length;
    this.#windowEndsAt = now + length;
    this.#sleepAsked = undefined;
    this.#activity.handleWindow();
    this.#heldBecause = undefined;
    this.#unconnectedSince = undefined;
    this.#scheduleLook(now);
  }

  #maintenanceFirstMs(): number {
    return this.#policy.maintenanceMs ?? this.#policy.profile.maintenance?.firstMs ?? Infinity;
  }

  #scheduleLook(now: number): void {
    const stepMs = Math.min(limits.awakeSampleMs, this.#windowMs / 2);
    this.#lookAt = now < this.#windowEndsAt ? Math.min(now + stepMs, this.#windowEndsAt) : now + stepMs;
  }

  #look(): void {
    this.#isLooking = true;
    this.#lookAt = Infinity;
    this.#outputs.push({ type: 'look' });
  }

  #askSleep(reason: SleepReason): void {
    if (this.#sleepAsked !== 'user') this.#sleepAsked = reason;
    this.#doneLooks = 0;
    this.#lookAt = -Infinity;
  }

  #handleSnapshot(now: number, snapshot: SocketSnapshot): void {
    const arrival = this.#book.compare(snapshot.tcp);
    this.#audio.handleSnapshot(now, snapshot);
    this.#updateAudio(now);
    if (this.#lookAt === -Infinity) {
      // Sleep was asked for after this look was taken: what it found came before, another one decides.
      if (arrival !== undefined) this.#lastArrivalAt = now;
      this.#look();
      return;
    }
    if (arrival !== undefined) this.#handleArrivalAwake(now, arrival);
    if (this.#isNetworkCut) this.#outputs.push({ type: 'network', action: 'cut' }); // sockets opened since
    if (this.#sleepAsked !== undefined) this.#doneLooks++;
    const retryAt = this.#findReasonToStayAwake(now, snapshot);
    this.#activity.handleLook(snapshot);
    if (retryAt !== undefined) {
      this.#lookAt = retryAt;
      return;
    }
    this.#phase = 'freezing';
    this.#endAudioHold(now);
    this.#outputs.push({ type: 'freeze' });
  }

  #handleArrivalAwake(now: number, arrival: Arrival): void {
    this.#lastArrivalAt = now;
    if (!this.#policy.profile.dataExtends) return;
    // The first look after `done` may find what came before it and has been dealt with: quiet time is enough.
    const mayPrecedeDone =
      this.#sleepAsked === 'done' && this.#doneLooks === 0 && arrival.connection.unreadBytes === 0;
    if (mayPrecedeDone || this.#sleepAsked === 'user') return;
    this.#account.windowsExtended++;
    this.#beginWindow(now, 'data');
    if (now - this.#windowEventAt >= limits.windowEventMsMin) this.#windowEvent(now, arrival, false);
  }

  #windowEvent(now: number, arrival: Arrival, whileFreezing: boolean): void {
    this.#windowEventAt = now;
    this.#event({
      type: 'window',
      cause: arrival.cause,
      windowMs: this.#windowMs,
      connection: arrival.connection.peer,
      bytes: arrival.bytes,
      whileFreezing,
    });
  }

  /** When to look again because the program may not sleep yet; undefined: now it may. */
  #findReasonToStayAwake(now: number, snapshot: SocketSnapshot): number | undefined {
    // Connected again: what the program has to say on it comes next, and so does the answer.
    if (this.#heldBecause === 'no-connection' && this.#book.watched().length > 0)
      this.#beginWindow(now, 'data');
    const isWindowOver = now >= this.#windowEndsAt;
    if (this.#sleepAsked === undefined && !isWindowOver) {
      this.#scheduleLook(now);
      return this.#lookAt;
    }
    const isForced = this.#sleepAsked === 'user';
    const soon = now + Math.min(limits.awakeSampleMs, this.#windowMs / 2);
    if (!isForced && this.#handler.isRunning) return soon; // it says done, or its deadline comes
    if (!isForced && this.#audioEvidence !== undefined) {
      this.#audioHeldSince ??= now;
      this.#hold('audio');
      return soon;
    }
    if (this.#sleepAsked === 'done' && !isWindowOver && this.#book.hasUnread()) {
      this.#hold('unread-data');
      return soon;
    }
    if (!isForced && this.#isUnconnected(now)) {
      this.#hold('no-connection');
      return soon;
    }
    const quietAt = this.#lastArrivalAt + this.#policy.quietMs;
    if (now < quietAt) return quietAt;
    return this.#activity.isBusy(now, snapshot) ? now + this.#policy.quietMs : undefined;
  }

  #isUnconnected(now: number): boolean {
    if (this.#policy.unconnectedAwakeMs === 0 || this.#book.watched().length > 0) {
      this.#unconnectedSince = undefined;
      return false;
    }
    this.#unconnectedSince ??= now;
    return now - this.#unconnectedSince < this.#policy.unconnectedAwakeMs;
  }

  #hold(because: 'audio' | 'no-connection' | 'unread-data'): void {
    if (this.#heldBecause === because) return;
    this.#heldBecause = because;
    this.#event({ type: 'held', because });
  }

  #updateAudio(now: number): void {
    const evidence = this.#policy.hasAudio ? this.#audio.evidence(now) : undefined;
    if (evidence === this.#audioEvidence) return;
    const wasOn = this.#audioEvidence !== undefined;
    this.#audioEvidence = evidence;
    if (evidence !== undefined) {
      if (!wasOn) this.#event({ type: 'audio', on: true, evidence });
      return;
    }
    this.#event({ type: 'audio', on: false, heldMs: Math.round(this.#endAudioHold(now)) });
  }

  #endAudioHold(now: number): number {
    const heldMs = this.#audioHeldSince === undefined ? 0 : now - this.#audioHeldSince;
    this.#audioHeldSince = undefined;
    this.#account.audioMs += heldMs;
    return heldMs;
  }

  // --- to sleep and back ------------------------------------------------------------------------------------

  #handleFrozen(now: number, snapshot: SocketSnapshot): void {
    const arrival = this.#book.compare(snapshot.tcp);
    if (this.#shouldThawAtOnce(now, arrival)) return;
    if (this.#policy.profile.wakesOn.includes('network') && this.#activity.hasRunUnseen(snapshot)) {
      return this.#thawForWindow();
    }
    const { sockets, wakesOn } = this.#policy.profile;
    this.#audio.handleAsleep(snapshot);
    if (sockets !== 'kept') {
      this.#outputs.push({ type: 'network', action: sockets === 'cut' ? 'cut' : 'destroy' });
      this.#isNetworkCut = sockets === 'cut';
    }
    const watched = wakesOn.includes('network') ? this.#book.watched() : [];
    this.#watchedCount = watched.length;
    this.#outputs.push({ type: 'watch', connections: watched });
  }

  #handleWatched(now: number, connections: readonly ConnectionSample[]): void {
    const arrival = this.#book.update(connections);
    if (this.#shouldThawAtOnce(now, arrival)) return;
    this.#phase = 'asleep';
    this.#activity.handleAsleep();
    const by = this.#sleepAsked ?? 'window-end';
    const awakeMs = this.#account.handleState(now, false);
    this.#event({ type: 'asleep', awakeMs: Math.round(awakeMs), marked: this.#watchedCount, by });
    const { maintenance } = this.#policy.profile;
    if (maintenance !== undefined && this.#maintenanceAt === Infinity) {
      this.#maintenanceAt = now + this.#maintenanceGapMs;
      const maxMs =
        this.#policy.maintenanceMs === undefined ? maintenance.maxMs : this.#policy.maintenanceMs * 6;
      this.#maintenanceGapMs = Math.min(this.#maintenanceGapMs * 2, maxMs);
    }
    if (this.#isHandlerPending) this.#wake({ cause: 'keepalive', at: now });
    else if (this.#pendingWake !== undefined) this.#wake(this.#pendingWake);
  }

  #shouldThawAtOnce(now: number, arrival: Arrival | undefined): boolean {
    if (this.#stopReason !== undefined) return true;
    if (arrival === undefined || !this.#policy.profile.wakesOn.includes('network')) return false;
    this.#account.arrivalsWhileFreezing++;
    this.#lastArrivalAt = now;
    this.#thawForWindow(arrival);
    return true;
  }

  /** Freezing is given up: the program never slept, it has a new window. */
  #thawForWindow(arrival?: Arrival): void {
    this.#phase = 'waking';
    this.#pendingWake = undefined;
    this.#arrivalWhileFreezing = arrival;
    this.#isFreezeUndone = true;
    this.#outputs.push({ type: 'thaw', network: true });
  }
  #handleArrived(now: number, connection: ConnectionSample, at: number): void {
    const arrival = this.#book.update([connection]);
    if (arrival !== undefined) {
      this.#wake({ cause: arrival.cause, at, arrival });
      return;
    }
    // An edge without news. Watching has ended, so it must begin again, with another look.
    this.#phase = 'freezing';
    this.#account.handleState(now, true);
    this.#outputs.push({ type: 'watch', connections: this.#book.watched() });
  }

  #wake(wake: PendingWake): void {
    this.#phase = 'waking';
    this.#pendingWake = wake;
    this.#isFreezeUndone = false;
    if (wake.cause === 'maintenance' || wake.cause === 'user') this.#maintenanceAt = Infinity;
    if (wake.cause === 'user') this.#maintenanceGapMs = this.#maintenanceFirstMs(); // idleness begins anew
    // Doze: an alarm runs without network, the user and maintenance bring it back.
    const network = wake.cause !== 'keepalive';
    if (network) this.#isNetworkCut = false;
    this.#outputs.push({ type: 'thaw', network });
  }

  #handleThawed(now: number): void {
    this.#phase = 'awake';
    const wake = this.#pendingWake;
    this.#pendingWake = undefined;
    if (this.#isFreezeUndone || wake === undefined) {
      this.#isFreezeUndone = false;
      this.#isNetworkCut = false;
      this.#account.windowsExtended++;
      this.#beginWindow(now, 'data');
      if (this.#arrivalWhileFreezing !== undefined) this.#windowEvent(now, this.#arrivalWhileFreezing, true);
      this.#arrivalWhileFreezing = undefined;
    } else {
      this.#account.wakes[wake.cause]++;
      const asleepMs = Math.round(this.#account.handleState(now, true));
      const latencyMs = Math.round((now - wake.at) * 100) / 100;
      this.#account.handleLatency(latencyMs);
      if (wake.arrival !== undefined) this.#lastArrivalAt = now;
      this.#beginWindow(now, wake.cause);
      const from = wake.arrival && { connection: wake.arrival.connection.peer, bytes: wake.arrival.bytes };
      this.#event({
        type: 'wake',
        cause: wake.cause,
        asleepMs,
        latencyMs,
        windowMs: this.#windowMs,
        ...from,
      });
    }
    if (this.#isHandlerPending) this.#runHandler(now);
  }

  // --- keep-alive handler -----------------------------------------------------------------------------------

  #handleHandlerTimeout(now: number): void {
    if (this.#handler.isOverrun(now)) {
      this.#account.handlerOverruns++;
      this.#handler.clear();
      this.#event({ type: 'keepalive', action: 'overrun' });
      this.#outputs.push({ type: 'kill', signal: 'SIGKILL' });
      return;
    }
    if (!this.#handler.isDue(now)) return;
    this.#handler.handleFired(now);
    this.#isHandlerPending = true;
    if (this.#phase === 'asleep') this.#wake({ cause: 'keepalive', at: now });
    else if (this.#phase === 'awake') this.#runHandler(now);
    // Freezing or waking: it runs as soon as that is over.
  }

  #runHandler(now: number): void {
    this.#isHandlerPending = false;
    this.#account.handlerRuns++;
    this.#event({ type: 'keepalive', action: 'run' });
    // Only a program that listens can be told, and only one that was told can overrun.
    if (this.#controlConnections === 0) return;
    const deadlineMs = this.#handler.handleRun(now);
    this.#outputs.push({ type: 'tell', message: { event: 'keepalive', deadlineMs } });
  }

  // --- helpers ----------------------------------------------------------------------------------------------

  #event(event: BoxEvent): void {
    this.#outputs.push({ type: 'event', event });
  }
}
