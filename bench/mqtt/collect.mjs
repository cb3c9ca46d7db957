/**
 * Loaded into every Node server that is measured (`--import`): on SIGUSR2 it collects all garbage and then makes
 * the file `$BENCH_COLLECT/PID`, so that memory is read after a collection and not at some point between two.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGUSR2', () => {
  // Finalizers of the first make garbage for the next.
  collect();
  setImmediate(() => {
    collect();
    writeFileSync(join(process.env.BENCH_COLLECT, String(process.pid)), '');
  });
});
