/** Version of the package whose code this process runs: after an upgrade, processes of two versions meet. */
import { lazyModule } from '../lazy-module.js';

const manifest = lazyModule<{ readonly version: string }>('@wakeline/server/package.json');

export function programVersion(): string {
  return manifest().version;
}
