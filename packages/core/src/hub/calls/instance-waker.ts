/** Wakes one instance for something that is no call: by its push resource, else by the devices of its user. */
import { SECOND_MS } from '../../base/time.js';
import type { Aor } from '../../domain/call.js';
import { Urgency } from '../../domain/message.js';
import type { HubCore } from '../hub-core.js';
import type { Bindings } from './bindings.js';
import type { DeviceNotices } from './device-notices.js';
import type { Users } from './users.js';
import type { Waker } from './waker.js';

export class InstanceWaker {
  readonly #core: HubCore;
  readonly #bindings: Bindings;
  readonly #users: Users;
  readonly #waker: Waker;
  readonly #notices: DeviceNotices;

  constructor(core: HubCore, bindings: Bindings, users: Users, waker: Waker, notices: DeviceNotices) {
    this.#core = core;
    this.#bindings = bindings;
    this.#users = users;
    this.#waker = waker;
    this.#notices = notices;
  }

  /** Whether it is worth waiting: it is registered, and comes back by itself or can be woken; or a device may wake it. */
  canWake(aor: Aor, instance: string): boolean {
    return this.#bindings.find(aor, instance, this.#core.now) !== undefined || this.#devices(aor).length > 0;
  }

  /** `id`: 32 characters of base64url, the same for every wake for one thing. `untilMs`: monotonic. */
  wake(aor: Aor, instance: string, id: string, untilMs: number): void {
    const { now } = this.#core;
    const binding = this.#bindings.find(aor, instance, now);
    const ttlSeconds = Math.max(1, Math.ceil((untilMs - now.monotonic) / SECOND_MS));
    const isBound = binding !== undefined && binding.expiresMs > now.wall;
    if (isBound && binding.push !== undefined) {
      const { resource } = binding.push;
      const wake = this.#waker.push(resource, id, ttlSeconds, (outcome) => {
        if (outcome === 'gone') this.#bindings.dropPush(aor, resource);
      });
      if (wake.kind === 'gone') this.#bindings.dropPush(aor, resource);
      if (wake.kind === 'later') wake.send();
      if (wake.kind === 'sent' || wake.kind === 'later') return;
    }
    const deadlineMs = Math.round(untilMs - now.monotonic + now.wall);
    for (const deviceId of this.#devices(aor)) {
      if (!this.#waker.take(`device ${deviceId}`)) continue;
      const outcome = this.#notices.send(
        deviceId,
        { call: id, aor, state: 'request', deadlineMs },
        { urgency: Urgency.high, ttlSeconds, replaceKey: `request/${id}` },
      );
      if (typeof outcome !== 'string') this.#core.callCounts.wakes++;
    }
  }

  #devices(aor: Aor): readonly string[] {
    return this.#bindings.isUnregistered(aor) ? [] : this.#users.devicesOf(aor);
  }
}
