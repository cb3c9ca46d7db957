/**
 * What a device said it is doing, on one connection, and what may be sent to it meanwhile.
 *
 * While a device is asleep, what is of low urgency waits for it to be awake. Never a part of what waits: either a
 * message is passed by nothing, or everything up to a sequence number is released, so that what is sent ascends as
 * it would to a device that is awake. Exists only for devices that said something.
 */
import type { InstantMs } from '../base/time.js';
import type { Activity, DeviceState } from '../domain/device.js';
import { Urgency } from '../domain/message.js';

export class Presence {
  activity: Activity = 'active';
  /** As the device named it; undefined: it did not. */
  windowMs: number | undefined;
  network: string | undefined;
  /** What is less urgent does not wake the device. */
  wakeUrgency: Urgency = Urgency.normal;
  readonly #windowMsDefault: number;
  /** Monotonic ms; a device that is asleep counts as awake before it. */
  #awakeUntilMs = -Infinity;
  /** Everything up to this sequence number may go, whatever its urgency. */
  #releasedThrough = 0;
  /** Up to here nothing waits that is worth a wake. */
  lookedThrough = 0;

  constructor(windowMsDefault: number) {
    this.#windowMsDefault = windowMsDefault;
  }

  /** Whether the device sleeps now, so that what is sent to it wakes it. */
  isSleeping(now: InstantMs): boolean {
    return this.activity === 'asleep' && now.monotonic >= this.#awakeUntilMs;
  }

  /** Whether the message with this number may go without a wake. */
  isReleased(now: InstantMs, sequence: number): boolean {
    return sequence <= this.#releasedThrough || !this.isSleeping(now);
  }

  /** It is awake from now on, for its window; everything that waits, up to a number, is released. */
  open(now: InstantMs, through: number): void {
    this.#awakeUntilMs = now.monotonic + (this.windowMs ?? this.#windowMsDefault);
    this.#releasedThrough = Math.max(this.#releasedThrough, through);
  }

  /**
   * The device says what it is doing. When it says `asleep` its window is over; if it was thought to be asleep
   * already it has just been awake, and what waits up to a number is for it.
   */
  report(now: InstantMs, state: DeviceState, through: number): void {
    const wasSleeping = this.isSleeping(now);
    this.activity = state.activity;
    this.windowMs = state.windowMs;
    this.network = state.network;
    this.wakeUrgency = state.wakeUrgency ?? Urgency.normal;
    if (wasSleeping) this.#releasedThrough = Math.max(this.#releasedThrough, through);
    this.#awakeUntilMs = -Infinity;
  }
}
