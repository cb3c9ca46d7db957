/** A supervisor with its real processes, told to replace them at awkward moments. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLines } from '../../src/lines/index.js';
import type { RunningLines } from '../../src/lines/index.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { configOf, temporaryDirectory } from '../listeners/harness.js';

/** The line processes that there are, whoever knows of them. */
function lineProcesses(): number[] {
  const { pid } = process;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
  return children.filter((child) => child !== '' && isLine(child)).map(Number);
}

function isLine(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('line-main.js');
  } catch {
    return false;
  }
}

async function until(isMet: () => boolean): Promise<void> {
  while (!isMet()) await sleep(2);
}

/** Kills a line, and resolves when the one in its place has been started and is not ready. */
async function replaceByDeath(server: RunningLines): Promise<void> {
  const before = server.linePids;
  process.kill(before[0]!, 'SIGKILL');
  await until(() => server.linePids.length === 2 && server.linePids.some((pid) => !before.includes(pid)));
}

describe('supervisor', () => {
  test(
    'lines are restarted while one of them is starting: the old ones go, and there are two again',
    { skip: process.platform !== 'linux' },
    async (t) => {
      const server = await startLines(configOf(await temporaryDirectory(t), { lines: 2 }));
      try {
        await replaceByDeath(server);
        const before = server.linePids;
        await server.restartLines();
        assert.equal(server.linePids.length, 2);
        assert(
          server.linePids.every((pid) => !before.includes(pid)),
          'they are others',
        );
        assert.deepEqual(lineProcesses().sort(), [...server.linePids].sort());
      } finally {
        await server.stop();
      }
      assert.deepEqual(lineProcesses(), []);
    },
  );

  test(
    'a line dies while all are restarted: there are two, and both are ended with the server',
    { skip: process.platform !== 'linux' },
    async (t) => {
      const server = await startLines(configOf(await temporaryDirectory(t), { lines: 2 }));
      try {
        const restarted = server.restartLines();
        process.kill(server.linePids[0]!, 'SIGKILL');
        await restarted;
        // One that died young would be started again only now.
        await sleep(runtimeLimits.restartDelayMs * 1.5);
        assert.equal(server.linePids.length, 2);
        assert.deepEqual(lineProcesses().sort(), [...server.linePids].sort());
      } finally {
        await server.stop();
      }
      assert.deepEqual(lineProcesses(), []);
    },
  );
});
