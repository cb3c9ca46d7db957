import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { ConnectQueue } from '../../src/listeners/connect-queue.js';
import { Admission, Gate } from '../../src/listeners/gate.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { ManualClock } from '../runtime/fakes.js';
import { DoorSocket } from './door-socket.js';

function makeQueue(connectsPerSecondMax: number, connectQueueMax = 1_000) {
  const clock = new ManualClock();
  const gate = new Gate({
    clock: clock.read,
    limits: runtimeLimits,
    connectionsMax: 10_000,
    connectionsPerAddressMax: 10_000,
    connectsPerSecondPerAddressMax: 10_000,
    handshakesMax: 5,
    handshakeMs: 1_000,
  });
  const limits = { connectQueueMax, connectTickMs: 1_000_000, connectsSavedMs: 100 };
  const hub = { openingCount: 0 };
  const queue = new ConnectQueue({
    clock: clock.read,
    limits,
    connectsPerSecondMax,
    openingCount: () => hub.openingCount,
  });
  const served: string[] = [];
  const arrive = (name: string, address = name): DoorSocket => {
    const socket = new DoorSocket();
    const admission = new Admission(gate, socket as unknown as Socket);
    assert(gate.admit(admission));
    admission.beginHandshake();
    queue.enter(admission, address, () => served.push(name));
    return socket;
  };
  const passMs = (ms: number): void => {
    clock.nowMs += ms;
    queue.serve();
  };
  return { queue, gate, hub, served, arrive, passMs };
}

describe('connect queue', () => {
  it('lets so many go on at once, then so many each second, oldest first', () => {
    const { queue, served, arrive, passMs } = makeQueue(100);
    for (let index = 0; index < 40; index += 1) arrive(`c${index}`, '192.0.2.1');
    assert.equal(served.length, 10, 'what a tenth of a second allows');
    assert.equal(queue.waitingCount, 30);
    passMs(50);
    assert.equal(served.length, 15);
    passMs(1_000);
    assert.equal(served.length, 25, 'no more than a tenth of a second is saved up');
    passMs(100);
    passMs(100);
    assert.deepEqual(
      served,
      Array.from({ length: 40 }, (_, index) => `c${index}`),
    );
    passMs(100);
    arrive('later');
    assert.equal(served.at(-1), 'later', 'nobody waits any more');
    queue.close();
  });

  it('lets nobody go on while a second’s worth waits for the hub', () => {
    const { queue, hub, served, arrive, passMs } = makeQueue(100);
    hub.openingCount = 100;
    for (let index = 0; index < 20; index += 1) arrive(`c${index}`, '192.0.2.1');
    passMs(1_000);
    assert.equal(queue.waitingCount, 20);
    hub.openingCount = 99;
    passMs(10);
    assert.equal(served.length, 10, 'then at the same rate as ever');
    assert.equal(queue.waitingCount, 10);
    queue.close();
  });

  it('nobody overtakes those that wait, and addresses have their turns one after the other', () => {
    const { queue, served, arrive, passMs } = makeQueue(10);
    arrive('first', '192.0.2.1');
    for (let index = 0; index < 100; index += 1) arrive(`flood${index}`, '192.0.2.1');
    arrive('a', '192.0.2.2');
    arrive('b', '192.0.2.3');
    for (let count = 0; count < 4; count += 1) passMs(100);
    assert.deepEqual(served, ['first', 'flood0', 'a', 'b', 'flood1']);
    // One network counts as one address.
    arrive('six0', '2001:db8::1');
    arrive('six1', '2001:db8::2');
    arrive('six2', '2001:db9::1');
    for (let count = 0; count < 4; count += 1) passMs(100);
    assert.deepEqual(served.slice(5), ['flood2', 'six0', 'six2', 'flood3']);
    queue.close();
  });

  it('is bounded: the address with most loses its newest', () => {
    const { queue, served, arrive, passMs } = makeQueue(10, 5);
    arrive('first', '192.0.2.1');
    const flood = Array.from({ length: 7 }, (_, index) => arrive(`flood${index}`, '192.0.2.1'));
    assert.deepEqual(
      flood.map(({ isDestroyed }) => isDestroyed),
      [false, false, false, false, false, true, true],
    );
    const other = arrive('other', '192.0.2.2');
    assert.equal(other.isDestroyed, false);
    assert.equal(flood[4]!.isDestroyed, true);
    assert.equal(queue.waitingCount, 5);
    assert.equal(queue.refused, 3);
    passMs(100);
    passMs(100);
    assert.deepEqual(served, ['first', 'flood0', 'other']);
    queue.close();
    assert(
      flood.slice(1).every(({ isDestroyed }) => isDestroyed),
      'those that wait are closed at the end',
    );
  });

  it('who waits is not counted as slow, and who is gone costs no turn', () => {
    const { queue, gate, served, arrive, passMs } = makeQueue(10);
    const sockets = Array.from({ length: 9 }, (_, index) => arrive(`c${index}`, `192.0.2.${index + 1}`));
    assert.equal(gate.handshakeCount, 1);
    assert(
      sockets.every(({ isDestroyed }) => !isDestroyed),
      'nobody was displaced',
    );
    sockets[1]!.destroy();
    sockets[2]!.destroy();
    passMs(100);
    assert.deepEqual(served, ['c0', 'c3']);
    assert.equal(gate.handshakeCount, 2);
    queue.close();
  });
});
