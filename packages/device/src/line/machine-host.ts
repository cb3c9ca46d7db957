/**
 * Drives the device's machine: gives it the clock, one timer, connections and storage, and hands on what it says to the app. All
 * decisions are the machine's; nothing here knows MQTT.
 */
import { NEVER } from '@wakeline/core/base';
import {
  DeviceMachine,
  type CallIntentOutcome,
  type DeviceInput,
  type DeviceMessage,
  type DeviceOutput,
  type RequestAnswer,
  type Status,
} from '@wakeline/core/device';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import { Connections } from './connections.js';
import type { LineSettings } from './options.js';
import { reasonText } from './reason-text.js';
import { StoredState } from './stored-state.js';
import type { LineParts } from './types.js';

export type CallTold = Extract<DeviceOutput, { kind: 'call' }>;
export type CallOverTold = Extract<DeviceOutput, { kind: 'call-over' }>;

/** What a host tells the line. */
export interface HostHandler {
  handleStatus(status: Status): void;
  handleMessage(message: DeviceMessage): void;
  handleAnswer(answer: RequestAnswer): void;
  /** @param deadlineMs wall clock. */
  handleCall(told: CallTold, deadlineMs: number): void;
  handleCallOver(told: CallOverTold): void;
  handleIntended(ticket: number, outcome: CallIntentOutcome, reason: string | undefined): void;
  /** What was stored of Web Push, before everything else; undefined: nothing. */
  handleStoredPush(text: string | undefined): void;
}

const TIMER_MS_MAX = 2 ** 31 - 1;

export class MachineHost {
  readonly #settings: LineSettings;
  readonly #parts: LineParts;
  readonly #handler: HostHandler;
  readonly #stored: StoredState;
  readonly #connections: Connections;
  #machine: DeviceMachine | undefined;
  #isDraining = false;
  #clearTimer: () => void = () => undefined;
  #timerMs = NEVER;
  /** Wall clock of the end of the wake window, ms; undefined: there is none. */
  #windowEndMs: number | undefined;
  #windows = 0;

  constructor(settings: LineSettings, parts: LineParts, handler: HostHandler) {
    this.#settings = settings;
    this.#parts = parts;
    this.#handler = handler;
    this.#stored = new StoredState(parts.storage, settings.warn);
    this.#connections = new Connections({
      url: settings.url,
      transport: settings.transport,
      platform: parts.platform,
      input: (input) => this.input(input),
    });
  }

  get windowEnd(): Date | undefined {
    return this.#windowEndMs === undefined ? undefined : new Date(this.#windowEndMs);
  }

  get lastError(): unknown {
    return this.#connections.lastError;
  }

  get unsentBytes(): number {
    return this.#connections.unsentBytes;
  }

  /** @throws (rejects) DeviceError STORAGE_LOCKED, STORAGE_FAILED */
  async start(): Promise<void> {
    const { deviceId, username, password, keepalive, sessionExpirySeconds } = this.#settings;
    const { platform } = this.#parts;
    const { cursor, knowledge, push } = await this.#stored.open();
    this.#handler.handleStoredPush(push);
    this.#machine = new DeviceMachine({
      deviceId,
      username,
      password,
      sessionExpirySeconds,
      keepalive,
      knowledge,
      floorMs: platform.wakeGapMsMin === 0 ? undefined : platform.wakeGapMsMin,
      windowMs: platform.windowMs,
      cursor,
      seed: platform.random(),
    });
    if (platform.networkKey !== undefined) this.input({ kind: 'network', key: platform.networkKey });
    this.input({ kind: 'activity', activity: platform.activity });
    await platform.start({
      handleNetwork: (key) => this.input({ kind: 'network', key }),
      handleActivity: (activity) => this.input({ kind: 'activity', activity }),
      handleWake: () => this.#handleWake(),
    });
    this.input({ kind: 'start' });
  }

  /** Ends the waiting of {@link start}, if it waits. Never rejects. */
  giveUp(): Promise<void> {
    return this.#parts.storage.close();
  }

  input(input: DeviceInput): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    machine.handleInput(this.#parts.platform.now(), input);
    this.#drain(machine);
  }

  /** The app is done with a message. Resolves when that is stored, where it is to be. */
  async finish(message: DeviceMessage, isHandled: boolean): Promise<void> {
    const isStored = isHandled && message.place !== undefined ? this.#stored.nextStored() : undefined;
    this.input({ kind: 'finish', message: message.id, isHandled });
    this.#stored.settle();
    await isStored;
  }

  /** @throws (rejects) DeviceError STORAGE_FAILED */
  storePush(text: string): Promise<void> {
    return this.#stored.storePush(text);
  }

  /** Leaves the server, stores what is to be stored, and ends everything. Never rejects. */
  async stop(): Promise<void> {
    const { platform } = this.#parts;
    this.input({ kind: 'stop' });
    this.#clearTimer();
    const cancel = new AbortController();
    const late = new Promise<void>((resolve) => {
      const clear = platform.setTimer(resolve, hostLimits.closeMs);
      cancel.signal.addEventListener('abort', clear);
    });
    await Promise.race([
      late,
      Promise.all([this.#connections.closed(), this.#stored.close(), platform.stop()]),
    ]);
    cancel.abort();
    this.#machine = undefined;
  }

  #drain(machine: DeviceMachine): void {
    // What an output leads to may be the next input: its outputs come in the loop that is running.
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      for (let output = machine.pollOutput(); output !== undefined; output = machine.pollOutput()) {
        this.#handleOutput(output);
      }
    } finally {
      this.#isDraining = false;
    }
    this.#setTimer(machine);
  }

  #handleOutput(output: DeviceOutput): void {
    switch (output.kind) {
      case 'connect':
        return this.#connections.open(output.connection, output.role === 'main');
      case 'write':
        return this.#connections.write(output.connection, output.bytes);
      case 'close':
        return this.#connections.close(output.connection);
      case 'status':
        return this.#handler.handleStatus(output.status);
      case 'message':
        return this.#handler.handleMessage(output.message);
      case 'store-cursor':
        void this.#stored.storeCursor(output.cursor, (isStored) =>
          this.input({ kind: isStored ? 'cursor-stored' : 'cursor-failed' }),
        );
        return;
      case 'store-knowledge':
        return this.#stored.storeKnowledge(output.knowledge);
      case 'subscribed':
      case 'published':
        return this.#handler.handleAnswer(output);
      case 'call':
        return this.#handler.handleCall(output, this.#wallMs(output.deadlineMs));
      case 'call-over':
        return this.#handler.handleCallOver(output);
      case 'call-intended':
        return this.#handler.handleIntended(output.ticket, output.outcome, output.reason);
      case 'window':
        this.#windows += 1;
        this.#windowEndMs = this.#wallMs(output.deadlineMs);
        return;
      case 'window-over':
        this.#windowEndMs = undefined;
        if (output.isDone) void this.#sayDone();
    }
  }

  /** A monotonic instant as an app knows time. */
  #wallMs(monotonicMs: number): number {
    const { monotonic, wall } = this.#parts.platform.now();
    return Math.round(wall + monotonicMs - monotonic);
  }

  /** What was written is to be on its way before the device sleeps. */
  async #sayDone(): Promise<void> {
    const windows = this.#windows;
    await this.#connections.flush();
    if (windows === this.#windows) this.#parts.platform.handleDone();
  }

  /** The platform's own wake: what is due is done, in a window of the machine's; else the device may sleep at once. */
  #handleWake(): void {
    const machine = this.#machine;
    if (machine === undefined) return;
    machine.handleTimeout(this.#parts.platform.now());
    this.input({ kind: 'wake' });
    if (this.#windowEndMs === undefined) void this.#sayDone();
  }

  #setTimer(machine: DeviceMachine): void {
    const dueMs = machine.nextTimeoutMs();
    if (dueMs === this.#timerMs) return;
    this.#clearTimer();
    this.#timerMs = dueMs;
    if (dueMs === NEVER) {
      this.#clearTimer = () => undefined;
      return;
    }
    const { platform } = this.#parts;
    const waitMs = Math.min(TIMER_MS_MAX, Math.max(0, Math.ceil(dueMs - platform.now().monotonic)));
    this.#clearTimer = platform.setTimer(() => {
      this.#timerMs = NEVER;
      machine.handleTimeout(platform.now());
      this.#drain(machine);
    }, waitMs);
  }
}

/** An answer as the app hears of it; undefined: all is well. */
export function errorOf(
  what: string,
  { outcome, reason }: Omit<RequestAnswer, 'ticket'>,
): DeviceError | undefined {
  if (typeof outcome === 'number') {
    if (outcome < 0x80) return undefined;
    const text = `the server refused ${what} (${reasonText(outcome, reason)})`;
    return new DeviceError('REFUSED', text, { reasonCode: outcome, reason });
  }
  switch (outcome) {
    case 'not-connected':
      return new DeviceError('NOT_CONNECTED', `${what}: there is no connection`, { retryable: true });
    case 'too-many':
      return new DeviceError('TOO_MANY', `${what}: too many wait`, { retryable: true });
    case 'stopped':
      return new DeviceError('CLOSED', `${what}: the line is closed`);
  }
}
