/**
 * A seeded pseudo-random generator (splitmix32), so that a run can be repeated with its seed. For moments
 * only: nothing secret may come from it.
 */
export class Prng {
  #state: number;

  /** The same seed gives the same sequence on every machine. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 0x1_0000_0000;
  }
}
