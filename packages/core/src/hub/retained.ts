/** Retained messages: the last of each topic, kept for who subscribes later. */
import type { Limits } from '../base/limits.js';
import type { Qos } from '../domain/message.js';
import { recordBytes, writeRecord } from './record.js';
import type { RecordContent, RecordView } from './record.js';
import { TopicLevels } from './topic-levels.js';
import type { LevelNode } from './topic-levels.js';

/** A retained message as stored: one byte QoS, then a record without recipients. */
export class RetainedMessage {
  readonly bytes: Uint8Array;
  readonly topic: string;

  constructor(topic: string, bytes: Uint8Array) {
    this.topic = topic;
    this.bytes = bytes;
  }

  get qos(): Qos {
    return this.bytes[0] as Qos;
  }

  /** Reads the record into the view. */
  read(view: RecordView): boolean {
    return view.parse(this.bytes, 1);
  }
}

export function encodeRetained(content: RecordContent, qos: Qos): Uint8Array {
  const bytes = new Uint8Array(1 + recordBytes(content, 0));
  bytes[0] = qos;
  writeRecord(bytes, 1, content, 0);
  return bytes;
}

export class RetainedTree {
  readonly #levels = new TopicLevels<RetainedMessage>();
  readonly #limits: Limits;
  #count = 0;
  #bytes = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  /** Whether one more message of this size may be kept under the topic. */
  hasRoom(topic: string, bytes: number): boolean {
    const old = this.#levels.find(topic)?.value ?? null;
    if (this.#bytes + bytes - (old?.bytes.length ?? 0) > this.#limits.retainedBytesMax) return false;
    return old !== null || this.#count < this.#limits.retainedMessagesMax;
  }

  set(message: RetainedMessage): void {
    const node = this.#levels.make(message.topic);
    if (node.value === null) this.#count++;
    else this.#bytes -= node.value.bytes.length;
    node.value = message;
    this.#bytes += message.bytes.length;
  }

  delete(topic: string): void {
    const node = this.#levels.find(topic);
    if (!node?.value) return;
    this.#count--;
    this.#bytes -= node.value.bytes.length;
    node.value = null;
    this.#levels.prune(topic);
  }

  /**
   * All messages whose topic the filter matches, found as they are asked for; the tree may change meanwhile. undefined
   * for each level that was looked at on the way.
   */
  walk(filter: string): Generator<RetainedMessage | undefined, void> {
    return walk(this.#levels.root, filter.split('/'), 0);
  }
}

function* walk(
  node: LevelNode<RetainedMessage>,
  levels: readonly string[],
  depth: number,
): Generator<RetainedMessage | undefined, void> {
  const level = levels[depth];
  if (level === undefined || level === '#') yield node.value ?? undefined;
  if (level === undefined) return;
  if (level !== '+' && level !== '#') {
    const child = node.children?.get(level);
    if (child !== undefined) yield* walk(child, levels, depth + 1);
    return;
  }
  for (const [name, child] of node.children ?? []) {
    // [MQTT-4.7.2-1]
    if (depth === 0 && name.startsWith('$')) continue;
    if (level === '+') {
      yield undefined;
      yield* walk(child, levels, depth + 1);
    } else yield* walkAll(child);
  }
}

function* walkAll(node: LevelNode<RetainedMessage>): Generator<RetainedMessage | undefined, void> {
  yield node.value ?? undefined;
  for (const child of node.children?.values() ?? []) yield* walkAll(child);
}
