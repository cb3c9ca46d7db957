/** How fast the disk itself is: what any server must wait for that answers only what is safe. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const WRITES = 1_000;
const BYTES = 4_096;

/** Appends of 4 KiB, each synced: milliseconds of `fdatasync` alone. */
export function measureDisk(directory) {
  const path = join(directory, 'disk');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(BYTES, 'w');
  const took = [];
  try {
    for (let index = 0; index < WRITES; index++) {
      writeSync(file, block);
      const begin = performance.now();
      fdatasyncSync(file);
      took.push(performance.now() - begin);
    }
  } finally {
    closeSync(file);
    rmSync(path);
  }
  took.sort((a, b) => a - b);
  return { fdatasyncMsP50: took[WRITES / 2], fdatasyncMsP99: took[Math.floor(WRITES * 0.99)] };
}
