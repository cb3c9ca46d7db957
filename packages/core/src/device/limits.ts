/** Bounds of a device. docs/limits.md says what happens at each. */
export const deviceLimits = {
  /** Networks of which a keepalive policy remembers what it has learned. */
  networksMax: 100,
} as const;
