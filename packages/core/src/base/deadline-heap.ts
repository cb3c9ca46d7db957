/** Deadlines of many things, the earliest first. A binary heap; cancelling is lazy. */

interface Slot<T> {
  readonly dueMs: number;
  readonly what: T;
}

export class DeadlineHeap<T> {
  readonly #slots: Slot<T>[] = [];

  get size(): number {
    return this.#slots.length;
  }

  /** The earliest deadline; Infinity when there is none. */
  get nextMs(): number {
    return this.#slots.length === 0 ? Infinity : this.#slots[0].dueMs;
  }

  /** Something may be in the heap more than once: whoever takes it checks whether it is still due. */
  add(dueMs: number, what: T): void {
    const slots = this.#slots;
    let index = slots.length;
    const slot = { dueMs, what };
    slots.push(slot);
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (slots[parent].dueMs <= dueMs) break;
      slots[index] = slots[parent];
      index = parent;
    }
    slots[index] = slot;
  }

  /** Takes out the earliest thing that is due at `nowMs`; undefined: none is. */
  takeDue(nowMs: number): T | undefined {
    const slots = this.#slots;
    if (slots.length === 0 || slots[0].dueMs > nowMs) return undefined;
    const { what } = slots[0];
    const moved = slots.pop()!;
    if (slots.length > 0) this.#sink(moved);
    return what;
  }

  clear(): void {
    this.#slots.length = 0;
  }

  #sink(moved: Slot<T>): void {
    const slots = this.#slots;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= slots.length) break;
      if (child + 1 < slots.length && slots[child + 1].dueMs < slots[child].dueMs) child++;
      if (slots[child].dueMs >= moved.dueMs) break;
      slots[index] = slots[child];
      index = child;
    }
    slots[index] = moved;
  }
}
