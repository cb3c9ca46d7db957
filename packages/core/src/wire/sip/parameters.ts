/** `;name=value` as it is read: few, so that looking through them is sooner than hashing. */

/** Parameters by lower-case name, in their order. Quoted strings without quotes; undefined: a name without `=`. */
export interface Parameters extends Iterable<readonly [string, string | undefined]> {
  readonly size: number;
  get(name: string): string | undefined;
  has(name: string): boolean;
  keys(): Iterable<string>;
}

/** Parameters that were read. A name that comes twice has its first value. */
export class ParameterList implements Parameters {
  readonly #names: readonly string[];
  readonly #values: readonly (string | undefined)[];

  /** Two lists of one length; no name twice. */
  constructor(names: readonly string[], values: readonly (string | undefined)[]) {
    this.#names = names;
    this.#values = values;
  }

  get size(): number {
    return this.#names.length;
  }

  get(name: string): string | undefined {
    const index = this.#names.indexOf(name);
    return index < 0 ? undefined : this.#values[index];
  }

  has(name: string): boolean {
    return this.#names.includes(name);
  }

  keys(): readonly string[] {
    return this.#names;
  }

  *[Symbol.iterator](): Generator<readonly [string, string | undefined]> {
    for (let index = 0; index < this.#names.length; index += 1) {
      yield [this.#names[index]!, this.#values[index]];
    }
  }
}

/** No parameters. */
export const noParameters: Parameters = new ParameterList([], []);
