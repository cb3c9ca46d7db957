/**
 * The canaries: second connections of devices that wait for one push after a silence, so that a device learns which
 * silence its network allows without risk for its main connection.
 *
 * Known here, and not in the process that holds the socket, because main connection and canary may be in two. In memory
 * only: a probe that does not survive the server counts for nothing.
 *
 * Must not: touch the device's session, inbox or main connection, or tell one device of another's canary.
 */
import { DeadlineHeap } from '../base/deadline-heap.js';
import type { InstantMs } from '../base/time.js';
import type { Refusal } from '../domain/device.js';
import type { FlowId, LinkCommand, LinkEvent } from '../domain/link.js';
import type { CanaryView } from '../domain/question.js';
import type { Limits } from '../base/limits.js';
import type { Device } from './device-state.js';
import type { Outbox } from './outbox.js';

export type OpenCanary = LinkCommand & { readonly kind: 'canary' };

/** One device's newest. */
interface Canary {
  readonly flow: FlowId;
  readonly deviceId: string;
  readonly silenceMs: number;
  /** Monotonic ms of the push, later of the end. */
  dueMs: number;
  isSent: boolean;
  isOpen: boolean;
  /** It came while the main connection that there is now was there. */
  isCurrent: boolean;
}

function refused(reason: Refusal, isNew: boolean): LinkEvent {
  // Who was let in once hears no other answer to CONNECT.
  return isNew ? { kind: 'refused', reason } : { kind: 'end', reason };
}

/** Deadlines of canaries that are gone, beyond which they are taken out. */
const STALE_DEADLINES_MAX = 1_000;

export class Canaries {
  readonly #outbox: Outbox;
  readonly #limits: Limits;
  /** By device. Those that have ended stay while the main connection does: the device asks about them. */
  readonly #known = new Map<string, Canary>();
  /** Those that are open. */
  readonly #open = new Map<FlowId, Canary>();
  #deadlines = new DeadlineHeap<Canary>();
  /** Pushes written so far. */
  pushes = 0;

  constructor(outbox: Outbox, limits: Limits) {
    this.#outbox = outbox;
    this.#limits = limits;
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  get nextMs(): number {
    return this.#deadlines.nextMs;
  }

  /** `device`: whose it is, or why it is nobody's. */
  handleOpen(now: InstantMs, flow: FlowId, command: OpenCanary, device: Device | Refusal): void {
    const { silenceMs, resumed } = command;
    const refusal = typeof device === 'string' ? device : this.#refusalOf(device, command);
    if (refusal !== undefined) {
      const isNew = resumed === undefined;
      return this.#outbox.pushBare(flow, refused(refusal, isNew));
    }
    const { id: deviceId, inboxView, flow: mainFlow } = device as Device;
    const old = this.#known.get(deviceId);
    if (old?.isOpen === true) this.#end(old, 'session-taken-over');
    const isSent = resumed?.isSent === true;
    const waitMs = isSent ? silenceMs + this.#limits.canaryReadMs : silenceMs;
    const canary: Canary = {
      flow,
      deviceId,
      silenceMs,
      dueMs: now.monotonic + waitMs - (resumed?.elapsedMs ?? 0),
      isSent,
      isOpen: true,
      isCurrent: mainFlow !== null || resumed !== undefined,
    };
    this.#known.delete(deviceId);
    this.#makeRoom();
    this.#known.set(deviceId, canary);
    this.#open.set(flow, canary);
    this.#watch(canary);
    if (resumed !== undefined) return;
    const { epoch } = inboxView;
    this.#outbox.pushBare(flow, {
      kind: 'opened',
      deviceId,
      epoch,
      assigned: false,
      sessionPresent: false,
      released: [],
    });
  }

  #refusalOf(device: Device, { silenceMs, resumed }: OpenCanary): Refusal | undefined {
    const { canarySilenceMsMin, canarySilenceMsMax, canariesMax } = this.#limits;
    if (!Number.isSafeInteger(silenceMs) || silenceMs < canarySilenceMsMin || silenceMs > canarySilenceMsMax)
      return 'canary-invalid';
    const old = this.#known.get(device.id);
    if (resumed !== undefined) {
      // Another one of the device is newer; or the hub was away when the push was due, and a late one would lie.
      if (old?.isOpen === true) return 'session-taken-over';
      return !resumed.isSent && resumed.elapsedMs > silenceMs ? 'hub-away' : undefined;
    }
    return old?.isOpen !== true && this.#open.size >= canariesMax ? 'quota-exceeded' : undefined;
  }

  /** Of those that have ended, the oldest is forgotten first: its device is told that there was none. */
  #makeRoom(): void {
    if (this.#known.size < this.#limits.canariesMax) return;
    for (const [deviceId, { isOpen }] of this.#known) {
      if (isOpen) continue;
      this.#known.delete(deviceId);
      return;
    }
  }

  /** Commands of a flow that is no device's main connection. Those of one that has ended are left alone. */
  handleCommands(flow: FlowId, commands: readonly LinkCommand[]): void {
    const canary = this.#open.get(flow);
    if (canary !== undefined && commands.some(({ kind }) => kind === 'close')) this.#close(canary);
  }

  handleTimeout(now: InstantMs): void {
    for (;;) {
      const canary = this.#deadlines.takeDue(now.monotonic);
      if (canary === undefined) return;
      if (!canary.isOpen || canary.dueMs > now.monotonic) continue;
      if (canary.isSent) {
        this.#end(canary, 'canary-over');
        continue;
      }
      canary.isSent = true;
      this.pushes++;
      this.#outbox.pushBare(canary.flow, { kind: 'canary-due', silenceMs: canary.silenceMs });
      canary.dueMs = now.monotonic + this.#limits.canaryReadMs;
      this.#watch(canary);
    }
  }

  /** The device's main connection is gone: what was probed beside it says nothing of the next one. */
  handleMainLost(deviceId: string): void {
    const canary = this.#known.get(deviceId);
    if (canary === undefined) return;
    if (canary.isOpen) canary.isCurrent = false;
    else this.#known.delete(deviceId);
  }

  /** The newest since the device's main connection came; undefined: there is none. */
  find(deviceId: string): CanaryView | undefined {
    const canary = this.#known.get(deviceId);
    if (canary === undefined || !canary.isCurrent) return undefined;
    const { silenceMs, isSent, isOpen } = canary;
    return { silenceMs, isSent, isOpen };
  }

  /** The device is removed, or was given another credential: its canary ends. */
  endOf(deviceId: string): void {
    const canary = this.#known.get(deviceId);
    if (canary === undefined) return;
    if (canary.isOpen) this.#end(canary, 'session-lost');
    this.#known.delete(deviceId);
  }

  #end(canary: Canary, reason: Refusal): void {
    this.#outbox.pushBare(canary.flow, { kind: 'end', reason });
    this.#close(canary);
  }

  #close(canary: Canary): void {
    canary.isOpen = false;
    this.#open.delete(canary.flow);
    if (!canary.isCurrent && this.#known.get(canary.deviceId) === canary) this.#known.delete(canary.deviceId);
  }

  #watch(canary: Canary): void {
    if (this.#deadlines.size > 2 * this.#open.size + STALE_DEADLINES_MAX) {
      this.#deadlines.clear();
      for (const open of this.#open.values()) this.#deadlines.add(open.dueMs, open);
    } else this.#deadlines.add(canary.dueMs, canary);
  }
}
