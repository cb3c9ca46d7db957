/**
 * A seeded pseudo-random generator (xoshiro128**, Blackman and Vigna 2018), for simulation and for choices
 * that need no secrecy. Identifiers and tokens come from the injected `Random` port, never from here.
 */

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** The same seed gives the same sequence on every machine. */
  constructor(seed: number) {
    // splitmix32 spreads one word over the four words of state.
    let word = seed | 0;
    const next = (): number => {
      word = (word + 0x9e3779b9) | 0;
      let mixed = word ^ (word >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next();
  }

  /** 32 random bits as an unsigned integer. */
  nextUint32(): number {
    const scrambled = Math.imul(this.#b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** Uniform in [0, 1), 32 bits of resolution. */
  nextFloat(): number {
    return this.nextUint32() / 0x1_0000_0000;
  }

  /** Uniform integer in [minimum, maximum], both included. */
  nextInteger(minimum: number, maximum: number): number {
    return minimum + Math.floor(this.nextFloat() * (maximum - minimum + 1));
  }
}
