/** Users of SIP: those of the configuration, which win, and those made by requests, which are kept. */
import type { Limits } from '../../base/limits.js';
import { decodeUtf8, encodeUtf8, utf8Bytes } from '../../base/utf8.js';
import type { Aor, PasswordAlgorithm, SipUser } from '../../domain/call.js';
import type { Store } from '../../ports/store.js';
import type { CommitQueue } from '../commit-queue.js';
import type { CallOptions } from '../hub-core.js';
import { encodeJson, parseJson } from '../rows.js';
import type { CallCounts } from './call-counts.js';

export class Users {
  readonly #queue: CommitQueue;
  readonly #limits: Limits;
  readonly #counts: CallCounts;
  readonly #asked: readonly PasswordAlgorithm[];
  readonly #configured: ReadonlyMap<Aor, SipUser>;
  readonly #kept = new Map<Aor, SipUser>();

  constructor(queue: CommitQueue, limits: Limits, counts: CallCounts, options: CallOptions) {
    this.#queue = queue;
    this.#limits = limits;
    this.#counts = counts;
    this.#asked = options.algorithms ?? ['sha-256'];
    this.#configured = new Map(options.users.map((user) => [user.aor, user]));
    this.#count();
  }

  find(aor: Aor): SipUser | undefined {
    return this.#configured.get(aor) ?? this.#kept.get(aor);
  }

  /** Devices that are told of the user's calls. */
  devicesOf(aor: Aor): readonly string[] {
    return (this.find(aor)?.devices ?? []).slice(0, this.#limits.callDevicesMax);
  }

  /** What phones are asked for and the user's password has no hash of; nothing for whom there is no such user. */
  missingAlgorithms(aor: Aor): readonly PasswordAlgorithm[] {
    const user = this.find(aor);
    return user === undefined ? [] : this.#asked.filter((algorithm) => user.ha1[algorithm] === undefined);
  }

  isConfigured(aor: Aor): boolean {
    return this.#configured.has(aor);
  }

  get isFull(): boolean {
    return this.#kept.size >= this.#limits.usersMax;
  }

  /** Addresses in order, after this one. */
  list(after: Aor | undefined): Aor[] {
    const aors = new Set([...this.#configured.keys(), ...this.#kept.keys()]);
    return [...aors].filter((aor) => after === undefined || aor > after).sort();
  }

  /** The row goes with the batch being filled. Returns how to put everything back. */
  put(user: SipUser): () => void {
    return this.#change(user.aor, user);
  }

  remove(aor: Aor): () => void {
    return this.#change(aor, undefined);
  }

  recover(store: Store): void {
    for (const { key, value } of store.scan('user')) {
      const aor = decodeUtf8(key, 0, key.length);
      if (aor !== undefined) this.#kept.set(aor, parseJson(value) as SipUser);
    }
    this.#count();
  }

  #change(aor: Aor, user: SipUser | undefined): () => void {
    const old = this.#kept.get(aor);
    this.#set(aor, user);
    this.#queue.put('user', encodeUtf8(aor), user && encodeJson(user));
    return () => this.#set(aor, old);
  }

  #set(aor: Aor, user: SipUser | undefined): void {
    if (user === undefined) this.#kept.delete(aor);
    else this.#kept.set(aor, user);
    this.#count();
  }

  #count(): void {
    let count = this.#configured.size;
    for (const aor of this.#kept.keys()) if (!this.#configured.has(aor)) count++;
    this.#counts.users = count;
  }
}

/** `user@domain`, the domain in small letters, no spaces or control characters; short enough for a store key. */
export function isAor(aor: string, limits: Limits): boolean {
  const at = aor.lastIndexOf('@');
  const domain = aor.slice(at + 1);
  return (
    at > 0 &&
    domain.length > 0 &&
    domain === domain.toLowerCase() &&
    !/[\s\p{Cc}<>"]/u.test(aor) &&
    utf8Bytes(aor) <= limits.aorBytesMax
  );
}
