/** Version of the package whose code this process runs: after an upgrade, processes of two versions meet. */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export function programVersion(): string {
  return (require('@wakeline/server/package.json') as { version: string }).version;
}
