/**
 * Where the instances of users are reachable now: each instance's live flow, as the hub's answers to REGISTERs told it.
 *
 * A mirror, and only of what is live: the hub keeps the bindings. An instance is here as long as its flow lives, also
 * after its binding has expired, since a live flow outlasts it; one that was removed is not.
 */
import type { Aor, Binding, BindingTarget, SipFlow } from '../../../domain/index.js';

export interface Location {
  readonly target: BindingTarget;
  /** Wall-clock ms. */
  readonly expiresMs: number;
}

export function instanceKey(aor: Aor, instance: string): string {
  return `${aor}\0${instance}`;
}

export class Locations {
  /** Instance key to its locations, the newest last. */
  readonly #byInstance = new Map<string, Location[]>();
  readonly #byAor = new Map<Aor, Set<string>>();
  /** Flow to the keys of the instances on it. */
  readonly #byFlow = new Map<SipFlow, Set<string>>();

  /** Instances with a live flow. */
  get size(): number {
    return this.#byInstance.size;
  }

  /** Puts what the hub said is bound for the user in place of what was known. Returns the flows that nobody uses any more. */
  replace(
    aor: Aor,
    bindings: readonly Binding[],
    isLive: (flow: SipFlow) => boolean,
    now: number,
  ): SipFlow[] {
    const before = new Map<string, Location[]>();
    for (const key of this.#byAor.get(aor) ?? []) before.set(key, this.#byInstance.get(key) ?? []);
    const flowsBefore = new Set([...before.values()].flat().map((location) => location.target.flow));
    const after = new Map<string, Location[]>();
    for (const binding of bindings) {
      if (!isLive(binding.flow)) continue;
      const { instance, regId, contact, path, run, flow, expiresMs } = binding;
      const key = instanceKey(aor, instance);
      const list = after.get(key) ?? [];
      list.push({ target: { aor, instance, regId, contact, path, run, flow }, expiresMs });
      after.set(key, list);
    }
    // An expired binding is not among those that are bound, but its live flow is still a way to the phone.
    for (const [key, list] of before) {
      const outlasting = list.filter(({ target, expiresMs }) => expiresMs <= now && isLive(target.flow));
      if (!after.has(key) && outlasting.length > 0) after.set(key, outlasting);
    }
    this.#unlink(aor, before);
    for (const [key, list] of after) this.#link(aor, key, list);
    return [...flowsBefore].filter((flow) => !this.#byFlow.has(flow));
  }

  /** The newest location of an instance; undefined: it has no live flow. */
  find(aor: Aor, instance: string): Location | undefined {
    return this.#byInstance.get(instanceKey(aor, instance))?.at(-1);
  }

  /** Every location of an instance, the newest last. */
  all(aor: Aor, instance: string): readonly Location[] {
    return this.#byInstance.get(instanceKey(aor, instance)) ?? [];
  }

  /** The newest location of each live instance of a user. */
  ofUser(aor: Aor): Location[] {
    const keys = [...(this.#byAor.get(aor) ?? [])];
    return keys.flatMap((key) => this.#byInstance.get(key)?.at(-1) ?? []);
  }

  /** The instance of this user that is on the flow; undefined: none, or several. */
  onFlow(flow: SipFlow, aor: Aor): Location | undefined {
    const keys = [...(this.#byFlow.get(flow) ?? [])].filter((key) => key.startsWith(`${aor}\0`));
    if (keys.length !== 1) return undefined;
    return this.#byInstance.get(keys[0]!)?.findLast((location) => location.target.flow === flow);
  }

  /** When the last binding on the flow expires, wall-clock ms; undefined: there is none. */
  expiryOf(flow: SipFlow): number | undefined {
    let latest: number | undefined;
    for (const key of this.#byFlow.get(flow) ?? []) {
      for (const { target, expiresMs } of this.#byInstance.get(key) ?? []) {
        if (target.flow === flow && expiresMs > (latest ?? -Infinity)) latest = expiresMs;
      }
    }
    return latest;
  }

  hasFlow(flow: SipFlow): boolean {
    return this.#byFlow.has(flow);
  }

  /** The flow is gone. */
  removeFlow(flow: SipFlow): void {
    // A copy: each turn takes its key out.
    for (const key of Array.from(this.#byFlow.get(flow) ?? [])) {
      const aor = key.slice(0, key.indexOf('\0'));
      const list = this.#byInstance.get(key) ?? [];
      this.#unlink(aor, new Map([[key, list]]));
      this.#link(
        aor,
        key,
        list.filter((location) => location.target.flow !== flow),
      );
    }
  }

  #link(aor: Aor, key: string, list: Location[]): void {
    if (list.length === 0) return;
    this.#byInstance.set(key, list);
    addTo(this.#byAor, aor, key);
    for (const { target } of list) addTo(this.#byFlow, target.flow, key);
  }

  #unlink(aor: Aor, lists: ReadonlyMap<string, readonly Location[]>): void {
    for (const [key, list] of lists) {
      this.#byInstance.delete(key);
      removeFrom(this.#byAor, aor, key);
      for (const { target } of list) removeFrom(this.#byFlow, target.flow, key);
    }
  }
}

function addTo<Key>(sets: Map<Key, Set<string>>, key: Key, value: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function removeFrom<Key>(sets: Map<Key, Set<string>>, key: Key, value: string): void {
  const set = sets.get(key);
  if (set !== undefined && set.delete(value) && set.size === 0) sets.delete(key);
}
