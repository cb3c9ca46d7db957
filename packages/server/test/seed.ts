/** Where tests that choose at random begin: always at the same place in the gate, elsewhere each time in the long form. */
export const firstSeed = Number(
  process.env['WAKELINE_SEED'] ?? (process.env['WAKELINE_LONG'] === '1' ? Date.now() % 1_000_000 : 1),
);
