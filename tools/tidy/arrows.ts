/**
 * Who may import whom: the one place where it is written. `tidy` checks the sources against it, and
 * ARCHITECTURE.md prints it; `node tools/dist/tidy.js --arrows` gives the lines to paste there.
 */

/** From a folder or package to those that it may import; `all`: every other one of its kind. */
export type Arrows = Readonly<Record<string, readonly string[] | 'all'>>;

/** Folders of packages/core/src. None imports Node or npm. */
export const coreArrows: Arrows = {
  base: [],
  domain: ['base'],
  ports: ['domain', 'base'],
  wire: ['base'],
  session: ['wire', 'domain', 'base'],
  hub: ['domain', 'ports', 'base'],
  device: ['session', 'domain', 'base'],
  testing: ['device', 'domain', 'ports', 'base'],
};

/** Packages, by the name that others import. */
export const packageArrows: Arrows = {
  '@wakeline/core': [],
  '@wakeline/server': ['@wakeline/core'],
  '@wakeline/device': ['@wakeline/core'],
  '@wakeline/lab': ['@wakeline/core'],
  '@wakeline/sleepbox': [],
  '@wakeline/console': [],
  wakeline: 'all',
};

/** One line for each arrow, as ARCHITECTURE.md prints them between its two markers. */
export function arrowLines(): readonly string[] {
  return [...Object.entries(coreArrows), ...Object.entries(packageArrows)].map(
    ([from, to]) => `${from} → ${to === 'all' ? 'all' : to.join(', ') || 'nothing'}`,
  );
}
