import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LinkEvent } from '@wakeline/core/domain';
import { Bench, openCommand, openedEvent } from './fakes.js';

describe('pump: connections that the hub has not answered', () => {
  const opening = (): Bench => {
    const bench = new Bench();
    bench.react = (input) => (input.kind === 'bytes' ? [{ kind: 'commands', commands: [openCommand] }] : []);
    return bench;
  };

  it('are counted until it lets the device in, refuses it or ends the flow', async () => {
    const bench = opening();
    const flows = Array.from({ length: 3 }, () => bench.connect());
    assert.equal(bench.pump.openingCount, 0);
    for (const { socket } of flows) socket.receive('x');
    assert.equal(bench.pump.openingCount, 3);
    const answers: LinkEvent[] = [
      openedEvent,
      { kind: 'refused', reason: 'draining' },
      { kind: 'end', reason: 'draining' },
    ];
    for (const [index, answer] of answers.entries()) {
      bench.hub.send(flows[index]!.id, answer);
      bench.driver.tell({ kind: 'disk', appendsAllowed: true });
      await bench.turn();
      assert.equal(bench.pump.openingCount, 2 - index, answer.kind);
    }
    bench.stop();
  });

  it('and no longer than the connection lasts', async () => {
    const bench = opening();
    const { socket } = bench.connect();
    socket.receive('x');
    assert.equal(bench.pump.openingCount, 1);
    socket.destroy();
    await bench.turn();
    assert.equal(bench.pump.openingCount, 0);
    bench.stop();
  });
});
