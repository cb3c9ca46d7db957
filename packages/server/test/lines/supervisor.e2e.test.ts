/** A supervisor with its real processes, told to replace them at awkward moments. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLines } from '../../src/lines/index.js';
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

describe('supervisor', () => {
  test(
    'lines are restarted while one of them is starting: the old ones go, and there are two again',
    { skip: process.platform !== 'linux', timeout: 300_000 },
    async (t) => {
      const server = await startLines(configOf(await temporaryDirectory(t), { lines: 2 }));
      try {
        // One that has lived is started again without delay.
        await sleep(runtimeLimits.restartLivedMs);
        const before = server.linePids;
        const restarted = server.restartLines();
        process.kill(before[0]!, 'SIGKILL');
        const starting = (): number | undefined => server.linePids.find((pid) => !before.includes(pid));
        await until(() => starting() !== undefined);
        const late = starting()!;
        process.kill(late, 'SIGSTOP');
        await until(() => !server.linePids.includes(late));
        process.kill(late, 'SIGCONT');
        await restarted;
        assert.equal(server.linePids.length, 2);
        assert(
          server.linePids.every((pid) => pid !== late && !before.includes(pid)),
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
    'lines die young while all are restarted: there are two, and both are ended with the server',
    { skip: process.platform !== 'linux', timeout: 300_000 },
    async (t) => {
      const server = await startLines(configOf(await temporaryDirectory(t), { lines: 2 }));
      try {
        const restarted = server.restartLines();
        for (const pid of server.linePids) process.kill(pid, 'SIGKILL');
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
