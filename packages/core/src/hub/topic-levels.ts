/** A tree of topic levels: what subscriptions and retained messages are both kept in. */

export interface LevelNode<Value> {
  children: Map<string, LevelNode<Value>> | null;
  value: Value | null;
}

export class TopicLevels<Value> {
  readonly root: LevelNode<Value> = { children: null, value: null };

  /** The node of a topic or filter, made if need be. */
  make(topic: string): LevelNode<Value> {
    let node = this.root;
    for (const level of topic.split('/')) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = { children: null, value: null };
        node.children.set(level, child);
      }
      node = child;
    }
    return node;
  }

  find(topic: string): LevelNode<Value> | undefined {
    let node: LevelNode<Value> | undefined = this.root;
    for (const level of topic.split('/')) {
      node = node.children?.get(level);
      if (node === undefined) return undefined;
    }
    return node;
  }

  /** Takes out the nodes on the way to the topic that hold nothing any more. */
  prune(topic: string): void {
    prunePath(this.root, topic.split('/'), 0);
  }
}

function prunePath<Value>(node: LevelNode<Value>, levels: readonly string[], depth: number): void {
  const child = node.children?.get(levels[depth]);
  if (child === undefined) return;
  prunePath(child, levels, depth + 1);
  if (child.value !== null || child.children !== null) return;
  node.children!.delete(levels[depth]);
  if (node.children!.size === 0) node.children = null;
}
