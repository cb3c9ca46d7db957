/**
 * SIP messages (RFC 3428) that wait for the instances of a user: one copy for each, handed over one at a time, done when
 * the instance has answered 2xx. What is stored is said to be only when it is on disk.
 */
import { fromHex, toHex } from '../../base/hex.js';
import type { Limits } from '../../base/limits.js';
import { SECOND_MS } from '../../base/time.js';
import type { Aor, CallCommand, CallEvent } from '../../domain/call.js';
import type { HubCore } from '../hub-core.js';
import { encodeJson, parseJson } from '../rows.js';
import { targetOf } from './bindings.js';
import type { Bindings } from './bindings.js';
import { getU48, putU48 } from './call-rows.js';
import type { InstanceWaker } from './instance-waker.js';
import type { Users } from './users.js';

type Message = CallCommand & { readonly kind: 'message' };
type Result = CallCommand & { readonly kind: 'message-result' };
type Refusal = Extract<CallEvent, { readonly kind: 'message-stored' }>['reason'];

/** First byte of a key. */
const Row = { copy: 0, repeat: 1 } as const;

/** How long a wake for a message is of use, ms. */
const WAKE_MS = 60 * SECOND_MS;

/** Refusals after which the same copy may succeed later. */
const retried: ReadonlySet<number> = new Set([401, 407, 408, 480, 481, 486, 487]);

interface Copy {
  readonly sequence: number;
  readonly aor: Aor;
  readonly instance: string;
  readonly callerUri: string;
  readonly contentType: string;
  readonly body: Uint8Array;
  /** Wall-clock ms. */
  readonly expiresMs: number;
  /** The sender named the time. */
  readonly hasExpires: boolean;
  /** The flow on which it is under way; 0: it waits. */
  flow: number;
}

interface CopyRow extends Omit<Copy, 'sequence' | 'body' | 'flow'> {
  readonly body: string;
}

interface Repeat {
  readonly key: Uint8Array;
  /** Wall-clock ms. */
  readonly untilMs: number;
}

export class SipMessages {
  readonly #core: HubCore;
  readonly #limits: Limits;
  readonly #bindings: Bindings;
  readonly #users: Users;
  readonly #waker: InstanceWaker;
  /** By instance, oldest first. */
  readonly #queues = new Map<string, Copy[]>();
  /** In order of acceptance. */
  readonly #repeats = new Map<string, Repeat>();
  #nextSequence = 1;

  constructor(core: HubCore, bindings: Bindings, users: Users, waker: InstanceWaker) {
    this.#core = core;
    this.#limits = core.limits;
    this.#bindings = bindings;
    this.#users = users;
    this.#waker = waker;
  }

  handle(command: Message): void {
    const core = this.#core;
    const { ticket, aor, repeatKey } = command;
    const stored = (reason: Refusal): void => core.outbox.call({ kind: 'message-stored', ticket, reason });
    if (core.isDraining) return stored('draining');
    if (this.#isRepeat(repeatKey))
      return core.queue.after({ committed: () => stored(undefined), failed: () => stored('storage-failed') });
    const instances = this.#bindings.instances(aor, core.now).map(({ instance }) => instance);
    if (instances.length === 0)
      return stored(this.#users.find(aor) === undefined ? 'unknown-user' : 'no-devices');
    if (!core.appendsAllowed) return stored('storage-failed');
    const open = instances.filter(
      (instance) => this.#countOf(aor, instance) < this.#limits.sipMessagesPerInstanceMax,
    );
    if (open.length === 0 || command.body.length > this.#limits.sipMessageBytesMax)
      return stored('inbox-full');
    const copies = open.map((instance) => this.#copyOf(command, instance));
    for (const copy of copies) {
      this.#put(copy);
      this.#queueOf(copy).push(copy);
    }
    core.callCounts.messagesWaiting += copies.length;
    this.#remember(repeatKey);
    core.queue.after({
      committed: () => {
        stored(undefined);
        for (const copy of copies) {
          this.#committed.add(copy);
          this.deliver(aor, copy.instance);
          if (copy.flow === 0)
            this.#waker.wake(aor, copy.instance, wakeId(copy), core.now.monotonic + WAKE_MS);
        }
      },
      undo: () => {
        this.#repeats.delete(repeatKey);
        for (const copy of copies) this.#take(copy);
      },
      failed: () => stored('storage-failed'),
    });
  }

  /** Copies that are on disk. */
  readonly #committed = new WeakSet<Copy>();

  /** Hands the oldest copy to the instance, if it is there and has none under way. */
  deliver(aor: Aor, instance: string): void {
    const { now, outbox } = this.#core;
    const copy = this.#queues.get(nameOf(aor, instance))?.[0];
    const binding = this.#bindings.find(aor, instance, now);
    if (copy === undefined || copy.flow !== 0 || !this.#committed.has(copy)) return;
    if (binding === undefined || binding.flow === 0) return;
    copy.flow = binding.flow;
    const { sequence, callerUri, contentType, body, hasExpires, expiresMs } = copy;
    const secondsLeft = Math.max(1, Math.ceil((expiresMs - now.wall) / SECOND_MS));
    outbox.call({
      kind: 'deliver-message',
      sequence,
      target: targetOf(binding),
      callerUri,
      contentType,
      body,
      expiresSeconds: hasExpires ? secondsLeft : undefined,
    });
  }

  handleResult({ aor, instance, sequence, status }: Result): void {
    const copy = this.#queues.get(nameOf(aor, instance))?.find((each) => each.sequence === sequence);
    if (copy === undefined) return;
    copy.flow = 0;
    const isDone =
      status !== undefined && (status < 300 || (status < 500 && !retried.has(status)) || status >= 600);
    // What may succeed later waits for the next REGISTER: at once it would fail again.
    if (!isDone) return;
    this.#finish(copy);
    this.deliver(aor, instance);
  }

  handleFlowLost(aor: Aor, instance: string, flow: number): void {
    for (const copy of this.#queues.get(nameOf(aor, instance)) ?? []) if (copy.flow === flow) copy.flow = 0;
  }

  /** Ends what has outlived its time, and forgets what can no longer be repeated. */
  sweep(): void {
    const { now, queue } = this.#core;
    for (const copies of this.#queues.values()) {
      const ended = copies.filter(({ flow, expiresMs }) => flow === 0 && expiresMs <= now.wall);
      for (const copy of ended) this.#finish(copy);
    }
    for (const [repeatKey, { key, untilMs }] of this.#repeats) {
      if (untilMs > now.wall) return;
      this.#repeats.delete(repeatKey);
      queue.put('sipMessage', key, undefined);
    }
  }

  recover(): void {
    const { store } = this.#core.options;
    for (const { key, value } of store.scan('sipMessage')) {
      if (key[0] === Row.repeat) {
        const { repeatKey, untilMs } = parseJson(value) as { repeatKey: string; untilMs: number };
        this.#repeats.set(repeatKey, { key, untilMs });
        this.#nextSequence = Math.max(this.#nextSequence, getU48(key, 7) + 1);
        continue;
      }
      const row = parseJson(value) as CopyRow;
      const sequence = getU48(key, 1);
      const copy: Copy = { ...row, sequence, body: fromHex(row.body) ?? new Uint8Array(0), flow: 0 };
      this.#queueOf(copy).push(copy);
      this.#committed.add(copy);
      this.#nextSequence = Math.max(this.#nextSequence, sequence + 1);
      this.#core.callCounts.messagesWaiting++;
    }
  }

  #isRepeat(repeatKey: string): boolean {
    const repeat = this.#repeats.get(repeatKey);
    return repeat !== undefined && repeat.untilMs > this.#core.now.wall;
  }

  #remember(repeatKey: string): void {
    const { now, queue } = this.#core;
    const untilMs = Math.round(now.wall + this.#limits.sipRepeatMsMax);
    const key = new Uint8Array(13);
    key[0] = Row.repeat;
    putU48(key, 1, untilMs);
    putU48(key, 7, this.#nextSequence++);
    this.#repeats.delete(repeatKey);
    this.#repeats.set(repeatKey, { key, untilMs });
    queue.put('sipMessage', key, encodeJson({ repeatKey, untilMs }));
    if (this.#repeats.size <= this.#limits.sipRepeatsMax) return;
    const [[oldest, { key: oldestKey }]] = this.#repeats;
    this.#repeats.delete(oldest);
    queue.put('sipMessage', oldestKey, undefined);
  }

  #copyOf({ aor, caller, contentType, body, expiresSeconds }: Message, instance: string): Copy {
    const mostMs = this.#limits.sipMessageMsMax;
    const lifeMs = Math.min(mostMs, expiresSeconds === undefined ? mostMs : expiresSeconds * SECOND_MS);
    return {
      sequence: this.#nextSequence++,
      aor,
      instance,
      callerUri: caller.uri,
      contentType,
      body: body.slice(),
      expiresMs: Math.round(this.#core.now.wall + lifeMs),
      hasExpires: expiresSeconds !== undefined,
      flow: 0,
    };
  }

  #put(copy: Copy): void {
    const { sequence, body, flow: _, ...rest } = copy;
    this.#core.queue.put('sipMessage', copyKey(sequence), encodeJson({ ...rest, body: toHex(body) }));
  }

  #finish(copy: Copy): void {
    this.#take(copy);
    this.#core.queue.put('sipMessage', copyKey(copy.sequence), undefined);
  }

  #take(copy: Copy): void {
    const name = nameOf(copy.aor, copy.instance);
    const copies = this.#queues.get(name);
    const index = copies?.indexOf(copy) ?? -1;
    if (copies === undefined || index < 0) return;
    copies.splice(index, 1);
    if (copies.length === 0) this.#queues.delete(name);
    this.#core.callCounts.messagesWaiting--;
  }

  #queueOf({ aor, instance }: Copy): Copy[] {
    const name = nameOf(aor, instance);
    const copies = this.#queues.get(name) ?? [];
    this.#queues.set(name, copies);
    return copies;
  }

  #countOf(aor: Aor, instance: string): number {
    return this.#queues.get(nameOf(aor, instance))?.length ?? 0;
  }
}

function nameOf(aor: Aor, instance: string): string {
  return `${aor}\n${instance}`;
}

/** Key of a copy: u8 0, u48 sequence number. */
function copyKey(sequence: number): Uint8Array {
  const key = new Uint8Array(7);
  key[0] = Row.copy;
  putU48(key, 1, sequence);
  return key;
}

/** 32 characters, the same for every wake for one copy. */
function wakeId({ sequence }: Copy): string {
  return sequence.toString(16).padStart(32, '0');
}
