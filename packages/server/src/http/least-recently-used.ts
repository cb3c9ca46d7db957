/** A map of bounded size: what was used longest ago makes room. */
export class LeastRecentlyUsed<Value> {
  readonly #countMax: number;
  readonly #values = new Map<string, Value>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): Value | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size <= this.#countMax) return;
    const [oldest] = this.#values.keys();
    this.#values.delete(oldest!);
  }

  delete(key: string): void {
    this.#values.delete(key);
  }
}
