/** Asks tools/peers.sh for the programs that tests talk to, and says what is there. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Names of the peers that are there, with commas: the value of `WAKELINE_PEERS`. A test that needs another one
 * skips and says so; a test that finds the variable unset looks for itself.
 */
export function preparePeers(root: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'wakeline-peers-'));
  const listFile = join(folder, 'peers');
  try {
    const { status, error } = spawnSync('sh', [join(root, 'tools/peers.sh'), listFile], { stdio: 'inherit' });
    if (status !== 0) throw error ?? new Error(`tools/peers.sh ended with exit code ${status}`);
    return readFileSync(listFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('present '))
      .map((line) => line.slice('present '.length))
      .join(',');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
