/**
 * Filters with wildcards, by their levels: one walk finds all that match a topic.
 *
 * What only one filter has is not parted into nodes: a node without children stands for the rest of its filter, which
 * is compared as text. Most filters of a deployment (`devices/17/#`) are then one node each, and long ones cost a
 * comparison where they would cost a walk.
 */
import { levelsMatch } from './topic-filter.js';

class Node<Value> {
  children: Map<string, Node<Value>> | null = null;
  /** The one filter below this node, and where in it the levels below begin. null: none; there may be children. */
  tail: string | null;
  tailStart: number;
  /** Of the filter `tail`, or of the one that ends here. null: there is none. */
  value: Value | null;

  constructor(tail: string | null, tailStart: number, value: Value | null) {
    this.tail = tail;
    this.tailStart = tailStart;
    this.value = value;
  }
}

export class WildcardTree<Value> {
  readonly #root = new Node<Value>(null, 0, null);

  /** The value of a filter; undefined: there is none. */
  get(filter: string): Value | undefined {
    const [node, start] = this.#descend(filter);
    return isPlaceOf(node, filter, start) ? (node.value ?? undefined) : undefined;
  }

  /** Sets the value of a filter. */
  set(filter: string, value: Value): void {
    let [node, start] = this.#descend(filter);
    while (!isPlaceOf(node, filter, start)) {
      if (node.tail !== null) {
        partTail(node);
        if (start > filter.length) continue;
      }
      const end = levelEnd(filter, start);
      const level = filter.slice(start, end);
      const child = node.children?.get(level);
      start = end + 1;
      if (child !== undefined) {
        node = child;
        continue;
      }
      (node.children ??= new Map()).set(level, leaf(filter, start, value));
      return;
    }
    node.value = value;
  }

  delete(filter: string): void {
    const path: { readonly parent: Node<Value>; readonly level: string }[] = [];
    let node = this.#root;
    let start = 0;
    while (start <= filter.length) {
      const end = levelEnd(filter, start);
      const level = filter.slice(start, end);
      const child = node.children?.get(level);
      if (child === undefined) break;
      path.push({ parent: node, level });
      node = child;
      start = end + 1;
    }
    if (!isPlaceOf(node, filter, start)) return;
    node.value = null;
    node.tail = null;
    for (let step = path.pop(); step !== undefined; step = path.pop()) {
      if (node.value !== null || node.children !== null) return;
      node = step.parent;
      node.children!.delete(step.level);
      if (node.children!.size > 0) return;
      node.children = null;
    }
  }

  /** Hands out the value of every filter that matches the topic. MQTT 5.0 §4.7. */
  match(topic: string, take: (value: Value) => void): void {
    const levels = topic.split('/');
    // [MQTT-4.7.2-1] a filter that begins with a wildcard does not match a topic that begins with $.
    walk(this.#root, topic, levels, 0, 0, topic.startsWith('$'), take);
  }

  /** The node on the filter's way that has no child for its next level, and where that level begins. */
  #descend(filter: string): [Node<Value>, number] {
    let node = this.#root;
    let start = 0;
    while (start <= filter.length) {
      const end = levelEnd(filter, start);
      const child = node.children?.get(filter.slice(start, end));
      if (child === undefined) break;
      node = child;
      start = end + 1;
    }
    return [node, start];
  }
}

function walk<Value>(
  node: Node<Value>,
  topic: string,
  levels: readonly string[],
  depth: number,
  start: number,
  isSystem: boolean,
  take: (value: Value) => void,
): void {
  const { children, tail, value } = node;
  if (tail !== null) {
    if (levelsMatch(tail, node.tailStart, topic, start)) take(value!);
    return;
  }
  const isOver = depth === levels.length;
  if (isOver && value !== null) take(value);
  if (children === null) return;
  if (!isOver) {
    const level = levels[depth]!;
    const next = start + level.length + 1;
    const exact = children.get(level);
    if (exact !== undefined) walk(exact, topic, levels, depth + 1, next, false, take);
    if (isSystem) return;
    const single = children.get('+');
    if (single !== undefined) walk(single, topic, levels, depth + 1, next, false, take);
  }
  // `a/#` matches `a` too [MQTT-4.7.1-2].
  const rest = children.get('#');
  if (rest !== undefined) take(rest.value!);
}

/** Where the level that begins at `start` ends. */
function levelEnd(text: string, start: number): number {
  const end = text.indexOf('/', start);
  return end < 0 ? text.length : end;
}

/** The node of a filter of which the levels from `start` on are left. */
function leaf<Value>(filter: string, start: number, value: Value | null): Node<Value> {
  return start > filter.length ? new Node(null, 0, value) : new Node(filter, start, value);
}

/** Makes room for a second filter below the node. */
function partTail<Value>(node: Node<Value>): void {
  const filter = node.tail!;
  const end = levelEnd(filter, node.tailStart);
  const child = leaf(filter, end + 1, node.value);
  node.children = new Map([[filter.slice(node.tailStart, end), child]]);
  node.tail = null;
  node.value = null;
}

/** Whether the filter, of which the levels from `start` on are left, has its value here. */
function isPlaceOf<Value>(node: Node<Value>, filter: string, start: number): boolean {
  return node.tail === null ? start > filter.length : node.tail === filter;
}
