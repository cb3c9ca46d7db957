/** Unpredictable bytes for identifiers and epochs. The host's cryptographic generator; seeded in simulation. */
export interface Random {
  /** Fills `target` and returns it. */
  fill(target: Uint8Array): Uint8Array;
}
