/**
 * Where the instances of users are: one row per address-of-record, changed as a whole by one REGISTER (RFC 3261 §10.3).
 *
 * A binding outlives its flow, and a live flow outlasts its binding's expiry: what can be reached is not given up because
 * a sleeping phone did not refresh in time. Lists are never changed in place, so that a failed commit can put one back.
 */
import { DeadlineHeap } from '../../base/deadline-heap.js';
import type { Limits } from '../../base/limits.js';
import type { InstantMs } from '../../base/time.js';
import { decodeUtf8, encodeUtf8 } from '../../base/utf8.js';
import type {
  Aor,
  BindRefusal,
  Binding,
  BindingChange,
  BindingTarget,
  CallCommand,
  SipFlow,
} from '../../domain/call.js';
import type { BindingSummary } from '../../domain/call-view.js';
import type { Store } from '../../ports/store.js';
import type { CommitQueue } from '../commit-queue.js';
import { encodeJson, parseJson } from '../rows.js';
import type { CallCounts } from './call-counts.js';

export type Bind = CallCommand & { readonly kind: 'bind' };

interface AorBindings {
  /** Newest first. */
  readonly list: readonly Binding[];
  /** The last of them was removed, not merely forgotten: nothing wakes the user any more. */
  readonly isUnregistered: boolean;
}

const none: AorBindings = { list: [], isUnregistered: false };

/** What a REGISTER changed; `undo` puts everything back. */
export interface BindEffect {
  /** Everything that is bound now. */
  readonly bindings: readonly Binding[];
  /** Instances that were registered or refreshed. */
  readonly instances: readonly string[];
  readonly undo: () => void;
}

export class Bindings {
  readonly #queue: CommitQueue;
  readonly #limits: Limits;
  readonly #counts: CallCounts;
  readonly #byAor = new Map<Aor, AorBindings>();
  /** Flows that are alive, and whose users they carry. */
  readonly #flows = new Map<SipFlow, Set<Aor>>();
  /** Users whose next expiry is to be looked at, by wall-clock ms. */
  readonly #expiries = new DeadlineHeap<Aor>();
  /** The earliest time at which the heap has each of them. */
  readonly #watched = new Map<Aor, number>();

  constructor(queue: CommitQueue, limits: Limits, counts: CallCounts) {
    this.#queue = queue;
    this.#limits = limits;
    this.#counts = counts;
  }

  // ---- looking ---------------------------------------------------------------------------------------------

  /** Those that a call may go to: not expired, or with a live flow. Newest first. */
  targets(aor: Aor, now: InstantMs): readonly Binding[] {
    const { list } = this.#byAor.get(aor) ?? none;
    return list.filter((binding) => binding.expiresMs > now.wall || binding.flow !== 0);
  }

  /** Where an instance is: its newest binding with a live flow, else its newest. */
  find(aor: Aor, instance: string, now: InstantMs): Binding | undefined {
    const own = this.targets(aor, now).filter((binding) => binding.instance === instance);
    return own.find(({ flow }) => flow !== 0) ?? own[0];
  }

  /** One binding for each instance, as {@link find} has it. */
  instances(aor: Aor, now: InstantMs): readonly Binding[] {
    const targets = this.targets(aor, now);
    const names = new Set(targets.map(({ instance }) => instance));
    return [...names].map((instance) => this.find(aor, instance, now)!);
  }

  /** What a REGISTER is answered: not expired, newest first. */
  listed(aor: Aor, now: InstantMs): readonly Binding[] {
    return (this.#byAor.get(aor) ?? none).list.filter((binding) => binding.expiresMs > now.wall);
  }

  isUnregistered(aor: Aor): boolean {
    return this.#byAor.get(aor)?.isUnregistered === true;
  }

  isLive(flow: SipFlow): boolean {
    return flow !== 0 && this.#flows.has(flow);
  }

  /** Those that outlive a restart of the server. */
  placed(now: InstantMs): Binding[] {
    const found: Binding[] = [];
    for (const { list } of this.#byAor.values())
      found.push(...list.filter(({ place, expiresMs }) => place !== undefined && expiresMs > now.wall));
    return found;
  }

  // ---- changing --------------------------------------------------------------------------------------------

  /** All of it or nothing takes effect; the row goes with the batch being filled. */
  bind(now: InstantMs, command: Bind): BindEffect | BindRefusal {
    const { aor, run, cseq, changes, removeAll } = command;
    const old = this.#byAor.get(aor) ?? none;
    const current = old.list.filter((binding) => binding.expiresMs > now.wall || binding.flow !== 0);
    const isOlder = (binding: Binding): boolean => binding.run === run && binding.cseq >= cseq;
    // RFC 3261 §10.3 steps 6 and 7
    if (removeAll && current.some(isOlder)) return 'stale';
    let list: readonly Binding[] = removeAll ? [] : current;
    for (const change of changes) {
      if (current.some((binding) => isSamePlace(binding, change) && isOlder(binding))) return 'stale';
      list = list.filter((binding) => !isSamePlace(binding, change));
      if (change.expiresSeconds > 0) list = [this.#bindingOf(now, command, change), ...list];
    }
    if (list.length > this.#limits.bindingsPerAorMax) return 'too-many-bindings';
    if (old === none && list.length > 0 && this.#byAor.size >= this.#limits.usersMax) return 'too-many-users';
    const next: AorBindings = { list, isUnregistered: list.length === 0 };
    if (command.flow !== 0 && list.some(({ flow }) => flow === command.flow)) this.#note(command.flow, aor);
    this.#set(aor, next);
    this.#put(aor);
    for (const { expiresMs } of list) this.#watch(aor, expiresMs);
    return {
      bindings: list.filter((binding) => binding.expiresMs > now.wall),
      instances: changes.filter(({ expiresSeconds }) => expiresSeconds > 0).map(({ instance }) => instance),
      undo: () => this.#set(aor, this.#withLiveFlows(old, now)),
    };
  }

  /** Bindings of the flow go on without it. Returns whose instances were on it. */
  loseFlow(now: InstantMs, flow: SipFlow): { readonly aor: Aor; readonly instance: string }[] {
    const aors = this.#flows.get(flow);
    this.#flows.delete(flow);
    const lost: { aor: Aor; instance: string }[] = [];
    for (const aor of aors ?? []) {
      const bindings = this.#byAor.get(aor);
      if (bindings === undefined) continue;
      for (const binding of bindings.list)
        if (binding.flow === flow) lost.push({ aor, instance: binding.instance });
      this.#set(aor, this.#withLiveFlows(bindings, now));
      // What had expired and was kept for its flow ends with it.
      this.#watch(aor, 0);
    }
    return lost;
  }

  /** A place that outlived the restart has a flow again. False: there is no such binding any more. */
  giveFlow(aor: Aor, instance: string, regId: number, flow: SipFlow): boolean {
    const bindings = this.#byAor.get(aor);
    const isIt = (binding: Binding): boolean => binding.instance === instance && binding.regId === regId;
    if (bindings === undefined || !bindings.list.some(isIt)) return false;
    this.#note(flow, aor);
    const list = bindings.list.map((binding) =>
      isIt(binding) ? { ...binding, flow, lostMs: undefined } : binding,
    );
    this.#set(aor, { ...bindings, list });
    return true;
  }

  /** The endpoint will not come back: the bindings that named it are woken by it no more. */
  dropPush(aor: Aor, resource: string): void {
    const bindings = this.#byAor.get(aor);
    if (bindings === undefined || !bindings.list.some(({ push }) => push?.resource === resource)) return;
    const list = bindings.list.map((binding) =>
      binding.push?.resource === resource ? { ...binding, push: undefined } : binding,
    );
    this.#set(aor, { ...bindings, list });
    this.#put(aor);
  }

  /** The user is gone, with its bindings. Returns how to put them back. */
  remove(now: InstantMs, aor: Aor): () => void {
    const old = this.#byAor.get(aor) ?? none;
    this.#set(aor, none);
    this.#put(aor);
    return () => this.#set(aor, this.#withLiveFlows(old, now));
  }

  /** Forgets what has expired and has no flow. */
  handleTimeout(now: InstantMs): void {
    for (
      let aor = this.#expiries.takeDue(now.wall);
      aor !== undefined;
      aor = this.#expiries.takeDue(now.wall)
    ) {
      this.#watched.delete(aor);
      const bindings = this.#byAor.get(aor);
      if (bindings === undefined) continue;
      const list = this.targets(aor, now);
      for (const { expiresMs } of list) if (expiresMs > now.wall) this.#watch(aor, expiresMs);
      if (list.length === bindings.list.length) continue;
      this.#set(aor, { ...bindings, list });
      this.#put(aor);
    }
  }

  /** Wall-clock ms. */
  get nextWallMs(): number {
    return this.#expiries.nextMs;
  }

  recover(store: Store, now: InstantMs): void {
    for (const { key, value } of store.scan('binding')) {
      const aor = decodeUtf8(key, 0, key.length);
      if (aor === undefined) continue;
      const row = parseJson(value) as AorBindings;
      const list = row.list
        .map((binding) => ({ ...binding, flow: 0, lostMs: binding.lostMs ?? now.wall }))
        .filter((b) => b.expiresMs > now.wall);
      this.#set(aor, { list, isUnregistered: row.isUnregistered });
      for (const { expiresMs } of list) this.#watch(aor, expiresMs);
      if (list.length < row.list.length) this.#put(aor);
    }
  }

  #bindingOf(now: InstantMs, command: Bind, change: BindingChange): Binding {
    const { aor, run, cseq, flow } = command;
    const { expiresSeconds, ...place } = change;
    return { ...place, aor, run, cseq, flow, expiresMs: now.wall + expiresSeconds * 1000 };
  }

  #watch(aor: Aor, wallMs: number): void {
    if (wallMs >= (this.#watched.get(aor) ?? Infinity)) return;
    this.#watched.set(aor, wallMs);
    this.#expiries.add(wallMs, aor);
  }

  #note(flow: SipFlow, aor: Aor): void {
    const aors = this.#flows.get(flow);
    if (aors === undefined) this.#flows.set(flow, new Set([aor]));
    else aors.add(aor);
  }

  #withLiveFlows(bindings: AorBindings, { wall }: InstantMs): AorBindings {
    const list = bindings.list.map((binding) =>
      binding.flow === 0 || this.isLive(binding.flow) ? binding : { ...binding, flow: 0, lostMs: wall },
    );
    return { ...bindings, list };
  }

  #set(aor: Aor, bindings: AorBindings): void {
    const old = this.#byAor.get(aor) ?? none;
    const live = (of: AorBindings): number => of.list.filter(({ flow }) => flow !== 0).length;
    this.#counts.bindings += bindings.list.length - old.list.length;
    this.#counts.bindingsLive += live(bindings) - live(old);
    if (bindings.list.length === 0 && !bindings.isUnregistered) this.#byAor.delete(aor);
    else this.#byAor.set(aor, bindings);
  }

  #put(aor: Aor): void {
    const bindings = this.#byAor.get(aor);
    this.#queue.put('binding', encodeUtf8(aor), bindings && encodeJson(bindings));
  }
}

/** RFC 5626 §6: by instance and reg-id. A phone without reg-id has one contact at a time, whatever it had before. */
function isSamePlace(binding: Binding, change: BindingChange): boolean {
  if (binding.instance !== change.instance) return false;
  return binding.regId === change.regId || binding.regId === 0 || change.regId === 0;
}

export function targetOf(binding: Binding): BindingTarget {
  const { aor, instance, regId, contact, path, run, flow } = binding;
  return { aor, instance, regId, contact, path, run, flow };
}

export function bindingSummary(binding: Binding): BindingSummary {
  const { aor, instance, regId, contact, flow, expiresMs, push, userAgent } = binding;
  return { aor, instance, regId, contact, flow, expiresMs, push, userAgent };
}
