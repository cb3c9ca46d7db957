/** Version of the package whose code this process runs: after an upgrade, processes of two versions meet. */
import { readFileSync } from 'node:fs';

export function programVersion(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
