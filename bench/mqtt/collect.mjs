/**
 * Loaded into every Node server that is measured (`--import`): on SIGURG, which no server
 * uses and which is ignored by default, it collects all garbage and then makes
 * the file `$BENCH_COLLECT/PID`, so that memory is read after a collection and not at some point between two.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

process.on('SIGURG', () => {
  // Finalizers of the first make garbage for the next.
  collect();
  setImmediate(() => {
    collect();
    writeFileSync(join(process.env.BENCH_COLLECT, String(process.pid)), '');
  });
});
