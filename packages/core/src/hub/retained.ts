/** Retained messages: the last of each topic, kept for who subscribes later. */
import type { Limits } from '../base/limits.js';
import type { Qos } from '../domain/message.js';
import { RecordView, recordBytes, writeRecord } from './record.js';
import type { RecordContent } from './record.js';

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

interface Node {
  children: Map<string, Node> | null;
  message: RetainedMessage | null;
}

export class RetainedTree {
  readonly #root: Node = { children: null, message: null };
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
    const old = this.#find(topic)?.message ?? null;
    if (this.#bytes + bytes - (old?.bytes.length ?? 0) > this.#limits.retainedBytesMax) return false;
    return old !== null || this.#count < this.#limits.retainedMessagesMax;
  }

  set(message: RetainedMessage): void {
    let node = this.#root;
    for (const level of message.topic.split('/')) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = { children: null, message: null };
        node.children.set(level, child);
      }
      node = child;
    }
    if (node.message === null) this.#count++;
    else this.#bytes -= node.message.bytes.length;
    node.message = message;
    this.#bytes += message.bytes.length;
  }

  delete(topic: string): void {
    const levels = topic.split('/');
    const path: Node[] = [this.#root];
    for (const level of levels) {
      const child = path[path.length - 1].children?.get(level);
      if (child === undefined) return;
      path.push(child);
    }
    const last = path[path.length - 1];
    if (last.message === null) return;
    this.#count--;
    this.#bytes -= last.message.bytes.length;
    last.message = null;
    for (let depth = levels.length; depth > 0; depth--) {
      const node = path[depth];
      if (node.message !== null || node.children !== null) break;
      const parent = path[depth - 1];
      parent.children!.delete(levels[depth - 1]);
      if (parent.children!.size === 0) parent.children = null;
    }
  }

  has(topic: string): boolean {
    return (this.#find(topic)?.message ?? null) !== null;
  }

  /** All messages whose topic the filter matches. */
  match(filter: string): RetainedMessage[] {
    const found: RetainedMessage[] = [];
    collect(this.#root, filter.split('/'), 0, found);
    return found;
  }

  #find(topic: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const level of topic.split('/')) {
      node = node.children?.get(level);
      if (node === undefined) return undefined;
    }
    return node;
  }
}

function collect(node: Node, levels: readonly string[], depth: number, found: RetainedMessage[]): void {
  if (depth === levels.length) {
    if (node.message !== null) found.push(node.message);
    return;
  }
  const level = levels[depth];
  if (level === '#') return collectAll(node, depth, found);
  if (level !== '+') {
    const child = node.children?.get(level);
    if (child !== undefined) collect(child, levels, depth + 1, found);
    return;
  }
  for (const [name, child] of node.children ?? []) {
    // [MQTT-4.7.2-1]
    if (depth > 0 || !name.startsWith('$')) collect(child, levels, depth + 1, found);
  }
}

function collectAll(node: Node, depth: number, found: RetainedMessage[]): void {
  if (node.message !== null) found.push(node.message);
  for (const [name, child] of node.children ?? []) {
    if (depth > 0 || !name.startsWith('$')) collectAll(child, depth + 1, found);
  }
}
