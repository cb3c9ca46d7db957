import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DiskWatch } from '../../src/runtime/disk-watch.js';
import { FakeLog } from './fakes.js';

describe('disk watch', () => {
  it('refuses below the floor, and allows again only well above it', async () => {
    const changes: boolean[] = [];
    let freeBytes = 1_000;
    const watch = new DiskWatch({
      freeBytes: () => Promise.resolve(freeBytes),
      floorBytes: 100,
      limits: { diskPollMs: 1_000, diskHysteresisShare: 0.25 },
      log: new FakeLog(),
      onChange: (appendsAllowed) => changes.push(appendsAllowed),
    });
    for (freeBytes of [1_000, 100, 99, 50, 100, 124, 125, 100, 99]) await watch.look();
    assert.deepEqual(changes, [false, true, false]);
  });

  it('a host that cannot tell changes nothing', async () => {
    const watch = new DiskWatch({
      freeBytes: () => Promise.reject(new Error('no such directory')),
      floorBytes: 100,
      limits: { diskPollMs: 1_000, diskHysteresisShare: 0.25 },
      log: new FakeLog(),
      onChange: () => assert.fail('nothing is known'),
    });
    await watch.look();
  });
});
