/**
 * Waking the devices of a call, by all routes there are, until they come; and telling the user's devices how it ended.
 *
 * A leg without a live flow, or whose flow says nothing, is woken at 0, 2, 5 and 10 s and then every 10 s, by its push
 * resource and by the user's Wakeline devices in turn. A wake has the call's id, so that it replaces the one before.
 */
import { NEVER, SECOND_MS, wallOf } from '../../base/time.js';
import type { Aor, PasswordAlgorithm, WakeOutcome } from '../../domain/call.js';
import { Urgency } from '../../domain/message.js';
import type { HubCore } from '../hub-core.js';
import type { Bindings } from './bindings.js';
import type { CallBook } from './call-book.js';
import type { Call, Leg, RouteState } from './call.js';
import type { CallNotice, DeviceNotices } from './device-notices.js';
import type { Users } from './users.js';
import type { Waker } from './waker.js';

/** Ms after the first at which the next ones are due; then every {@link WAKE_INTERVAL_MS}. */
const WAKE_OFFSETS_MS = [0, 2 * SECOND_MS, 5 * SECOND_MS, 10 * SECOND_MS] as const;
const WAKE_INTERVAL_MS = 10 * SECOND_MS;

export interface CallWakesOptions {
  readonly core: HubCore;
  readonly book: CallBook;
  readonly bindings: Bindings;
  readonly users: Users;
  readonly waker: Waker;
  readonly notices: DeviceNotices;
}

export class CallWakes {
  readonly #core: HubCore;
  readonly #book: CallBook;
  readonly #bindings: Bindings;
  readonly #users: Users;
  readonly #waker: Waker;
  readonly #notices: DeviceNotices;
  /** A route was refused: there may be nothing left to wait for. */
  onRefused: (call: Call) => void = () => {};

  constructor(options: CallWakesOptions) {
    this.#core = options.core;
    this.#book = options.book;
    this.#bindings = options.bindings;
    this.#users = options.users;
    this.#waker = options.waker;
    this.#notices = options.notices;
  }

  /** Devices that wake the user; none when the user has unregistered, which nothing wakes. */
  devicesOf(aor: Aor): readonly string[] {
    return this.#bindings.isUnregistered(aor) ? [] : this.#users.devicesOf(aor);
  }

  /** What the user's phones may be asked for in vain ({@link Users.missingAlgorithms}). */
  missingAlgorithms(aor: Aor): readonly PasswordAlgorithm[] {
    return this.#users.missingAlgorithms(aor);
  }

  /** Starts, goes on with or ends waking, as the legs need it. */
  schedule(call: Call): void {
    const { now } = this.#core;
    const isNeeded =
      !call.isOver &&
      now.monotonic < call.parkDeadlineMs &&
      (this.#sleepers(call).length > 0 || this.#hasUnaccounted(call));
    if (!isNeeded) {
      call.wakeDueMs = NEVER;
      return;
    }
    if (call.wakeDueMs !== NEVER) return;
    call.wakeTick = 0;
    call.wakeBeganMs = now.monotonic;
    for (const route of call.routes.values()) route.sequence = 0;
    this.run(call);
  }

  /** Sends the wakes that are due now. */
  run(call: Call): void {
    const { now } = this.#core;
    const sleepers = this.#sleepers(call);
    const tick = call.wakeTick++;
    call.wakeDueMs = call.wakeBeganMs + offsetOf(call.wakeTick);
    if (now.monotonic >= call.parkDeadlineMs) return void (call.wakeDueMs = NEVER);
    const ttlSeconds = Math.max(1, Math.ceil((call.parkDeadlineMs - now.monotonic) / SECOND_MS));
    const hasDevices = this.#usableDevices(call).length > 0;
    const byDevices: Leg[] = [];
    for (const leg of sleepers) {
      if (call.isOver) return;
      const resource = this.#pushOf(call, leg);
      const isPushed = resource !== undefined && (tick % 2 === 0 || !hasDevices);
      if (isPushed) this.#push(call, leg, resource, ttlSeconds);
      else if (hasDevices) byDevices.push(leg);
    }
    if (call.isOver) return;
    if (byDevices.length > 0 || this.#hasUnaccounted(call)) this.#ring(call, byDevices, ttlSeconds);
    this.#book.touch(call);
  }

  /** Whether the leg's device may still come. */
  hasHope(call: Call, leg: Leg): boolean {
    const { now } = this.#core;
    const binding = this.#bindings.find(call.aor, leg.instance, now);
    if (leg.isAlerting || (binding !== undefined && binding.flow !== 0 && !leg.isSuspect)) return true;
    if (now.monotonic >= call.parkDeadlineMs) return false;
    const routes = [
      ...(binding?.push === undefined ? [] : [pushKey(binding.push.resource)]),
      ...this.devicesOf(call.aor).map(deviceKey),
    ];
    // Nothing to wake it by: it is waited for as long as it is registered.
    if (routes.length === 0) return binding !== undefined && !leg.isPushRefused;
    return routes.some((key) => call.routes.get(key)?.isRefused !== true);
  }

  /** Whether somebody may still come of whom no leg is known. */
  hasDeviceHope(call: Call): boolean {
    if (this.#core.now.monotonic >= call.parkDeadlineMs) return false;
    return this.#hasUnaccounted(call) && this.#usableDevices(call).length > 0;
  }

  /** The user's devices are told how the call ended; a call that was missed leaves a record that stays. */
  tell(call: Call): void {
    const { limits } = this.#core;
    const state = endNotice(call);
    if (!call.isMissed && !call.areDevicesTold) return;
    const ttlSeconds = call.isMissed ? undefined : Math.ceil(limits.callTombstoneMs / SECOND_MS);
    const urgency = call.areDevicesTold ? Urgency.high : Urgency.normal;
    const answeredBy = call.answered && call.findLeg(call.answered.leg)?.instance;
    for (const deviceId of this.#users.devicesOf(call.aor)) {
      const outcome = this.#notices.send(
        deviceId,
        { ...identityOf(call), state, instance: answeredBy, reason: call.reason },
        { urgency, ttlSeconds, replaceKey: replaceKey(call.id) },
      );
      const isTold = typeof outcome !== 'string';
      const text = isTold ? `${deviceId} is told: ${state}` : `${deviceId} is not told: ${outcome}`;
      this.#book.trace(call, 'tell', text);
    }
  }

  // ---- routes ----------------------------------------------------------------------------------------------

  /** Legs whose device is not there, or does not say anything. */
  #sleepers(call: Call): Leg[] {
    const { now } = this.#core;
    return call.legs.filter((leg) => {
      if (leg.isOver) return false;
      const binding = this.#bindings.find(call.aor, leg.instance, now);
      return leg.isSuspect || binding === undefined || binding.flow === 0;
    });
  }

  /** More devices than legs: at least one of them belongs to a phone that is not registered. */
  #hasUnaccounted(call: Call): boolean {
    return this.devicesOf(call.aor).length > call.legs.length;
  }

  #usableDevices(call: Call): string[] {
    return this.devicesOf(call.aor).filter((id) => call.routes.get(deviceKey(id))?.isRefused !== true);
  }

  /** RFC 8599 §5.5: a binding that has expired wakes nobody. */
  #pushOf(call: Call, leg: Leg): string | undefined {
    const { now } = this.#core;
    const binding = this.#bindings.find(call.aor, leg.instance, now);
    if (binding?.push === undefined || binding.expiresMs <= now.wall) return undefined;
    const { resource } = binding.push;
    return call.routes.get(pushKey(resource))?.isRefused === true ? undefined : resource;
  }

  #push(call: Call, leg: Leg, resource: string, ttlSeconds: number): void {
    const about = { leg: leg.number };
    const wake = this.#waker.push(resource, call.id, ttlSeconds, (outcome) =>
      this.#handleOutcome(call, leg, resource, outcome),
    );
    const host = hostOf(resource);
    if (wake.kind === 'limited')
      return this.#book.trace(call, 'note', `not woken by ${host}: ${wake.why}`, about);
    if (wake.kind === 'gone' || wake.kind === 'refused') {
      this.#refuse(call, leg, resource, wake.kind, wake.why);
      return;
    }
    this.#noteWake(call, [leg]);
    this.#book.trace(call, 'wake', `woken by a push to ${host}, ${ttlSeconds} s left`, about);
    if (wake.kind === 'later') call.later(wake.send);
  }

  #handleOutcome(call: Call, leg: Leg, resource: string, outcome: WakeOutcome): void {
    if (call.isDropped || call.isOver) return;
    if (outcome === 'gone' || outcome === 'refused') {
      this.#refuse(call, leg, resource, outcome, `it answered: ${outcome}`);
      return;
    }
    const text = outcome === 'accepted' ? 'took the push' : 'could not be reached, it is tried again';
    this.#book.trace(call, 'wake-result', `${hostOf(resource)} ${text}`, { leg: leg.number });
    this.#book.touch(call);
  }

  #refuse(call: Call, leg: Leg, resource: string, outcome: 'gone' | 'refused', why: string): void {
    routeOf(call, pushKey(resource)).isRefused = true;
    leg.isPushRefused = true;
    const about = { leg: leg.number };
    this.#book.trace(call, 'wake-result', `${hostOf(resource)} wakes nobody: ${why}`, about);
    if (outcome === 'gone') this.#bindings.dropPush(call.aor, resource);
    this.#book.touch(call);
    this.onRefused(call);
  }

  /** A message to the user's devices says that the call waits. */
  #ring(call: Call, legs: readonly Leg[], ttlSeconds: number): void {
    const deadlineMs = wallOf(this.#core.now, call.parkDeadlineMs);
    let isRefused = false;
    for (const deviceId of this.#usableDevices(call)) {
      const route = routeOf(call, deviceKey(deviceId));
      if (this.#notices.hasAcknowledged(deviceId, route.sequence)) continue;
      if (!this.#waker.take(deviceKey(deviceId))) {
        this.#book.trace(call, 'note', `${deviceId} is not woken: as many wakes in a minute as there may be`);
        continue;
      }
      const outcome = this.#notices.send(
        deviceId,
        { ...identityOf(call), state: 'ringing', deadlineMs },
        { urgency: Urgency.high, ttlSeconds, replaceKey: replaceKey(call.id) },
      );
      if (typeof outcome === 'string') {
        route.isRefused = isRefused = true;
        this.#book.trace(call, 'wake-result', `${deviceId} cannot be woken: ${outcome}`);
        continue;
      }
      route.sequence = outcome.sequence;
      call.areDevicesTold = true;
      this.#core.callCounts.wakes++;
      this.#noteWake(call, legs);
      this.#book.trace(call, 'wake', `${deviceId} is told that it rings, ${ttlSeconds} s left`);
    }
    if (isRefused) this.onRefused(call);
  }

  #noteWake(call: Call, legs: readonly Leg[]): void {
    call.wakes++;
    for (const leg of legs) {
      leg.wakes++;
      if (leg.state === 'asleep') leg.state = 'waking';
    }
  }
}

function offsetOf(tick: number): number {
  const last = WAKE_OFFSETS_MS.length - 1;
  return tick <= last ? WAKE_OFFSETS_MS[tick] : WAKE_OFFSETS_MS[last] + (tick - last) * WAKE_INTERVAL_MS;
}

function routeOf(call: Call, key: string): RouteState {
  const route = call.routes.get(key) ?? { isRefused: false, sequence: 0 };
  call.routes.set(key, route);
  return route;
}

function pushKey(resource: string): string {
  return `push ${resource}`;
}

function deviceKey(deviceId: string): string {
  return `device ${deviceId}`;
}

function replaceKey(callId: string): string {
  return `call/${callId}`;
}

function identityOf(call: Call) {
  const { id, aor, sipCallId, caller, startedWallMs: startedMs } = call;
  return { call: id, aor, sipCallId, from: caller.uri, fromName: caller.displayName, startedMs };
}

function endNotice(call: Call): CallNotice['state'] {
  if (call.state === 'answered') return 'answered-elsewhere';
  if (call.state === 'rejected') return 'declined-elsewhere';
  return call.state === 'cancelled' ? 'cancelled' : 'missed';
}

/** What may be told of a capability URL: whose it is. */
function hostOf(resource: string): string {
  return /^https?:\/\/([^/?#]+)/.exec(resource)?.[1] ?? 'a push resource';
}
