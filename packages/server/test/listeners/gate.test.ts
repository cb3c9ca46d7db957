import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { Admission, Gate } from '../../src/listeners/gate.js';
import type { GateOptions } from '../../src/listeners/gate.js';
import { ManualClock } from '../runtime/fakes.js';
import { DoorSocket } from './door-socket.js';

function makeGate(options: Partial<GateOptions> = {}) {
  const clock = new ManualClock();
  const gate = new Gate({
    clock: clock.read,
    limits: { connectBurstSeconds: 5, connectAddressesMax: 3 },
    connectionsMax: 100,
    connectionsPerAddressMax: 100,
    connectsPerSecondPerAddressMax: 100,
    handshakesMax: 100,
    handshakeMs: 10_000,
    ...options,
  });
  const arrive = (address: string): { socket: DoorSocket; finish: () => void; leaveTime: () => void } => {
    const socket = new DoorSocket();
    const made = new Admission(gate, socket as unknown as Socket);
    const admission = gate.admit(made) ? made : undefined;
    if (admission?.claim(address) === true) admission.beginHandshake();
    return {
      socket,
      finish: () => admission?.finishHandshake(),
      leaveTime: () => admission?.leaveTimeToOwner(),
    };
  };
  return { gate, clock, arrive };
}

describe('gate', () => {
  it('connections of one address are bounded; a close makes room', () => {
    const { gate, arrive } = makeGate({ connectionsPerAddressMax: 2 });
    const [first, second, third] = [arrive('192.0.2.1'), arrive('192.0.2.1'), arrive('192.0.2.1')];
    assert.deepEqual([first!.socket.isDestroyed, second!.socket.isDestroyed], [false, false]);
    assert.equal(third!.socket.isDestroyed, true);
    assert.equal(arrive('192.0.2.2').socket.isDestroyed, false);
    first!.socket.destroy();
    assert.equal(arrive('192.0.2.1').socket.isDestroyed, false);
    assert.equal(gate.counters.refusedPerAddress, 1);
    assert.equal(gate.connectionCount, 3);
  });

  it('connects per second of one address are bounded, with some saved up, also when it leaves in between', () => {
    const { gate, clock, arrive } = makeGate({ connectsPerSecondPerAddressMax: 2 });
    for (let index = 0; index < 10; index += 1) arrive('192.0.2.1').socket.destroy();
    assert.equal(gate.counters.refusedRate, 0);
    assert.equal(arrive('192.0.2.1').socket.isDestroyed, true);
    assert.equal(gate.counters.refusedRate, 1);
    clock.nowMs += 500;
    assert.equal(arrive('192.0.2.1').socket.isDestroyed, false);
    assert.equal(arrive('192.0.2.1').socket.isDestroyed, true);
  });

  it('whose owner ends what takes too long is not ended here, and still makes room', () => {
    const { gate, clock, arrive } = makeGate({ handshakesMax: 2 });
    const owned = arrive('192.0.2.1');
    const timed = arrive('192.0.2.2');
    owned.leaveTime();
    clock.nowMs += 10_000;
    gate.sweep();
    assert.deepEqual([owned.socket.isDestroyed, timed.socket.isDestroyed], [false, true]);
    arrive('192.0.2.3');
    arrive('192.0.2.4');
    assert.equal(owned.socket.isDestroyed, true);
    assert.deepEqual([gate.counters.handshakesTimedOut, gate.counters.handshakesDisplaced], [1, 1]);
  });

  it('connections in all are bounded', () => {
    const { gate, arrive } = makeGate({ connectionsMax: 2 });
    arrive('192.0.2.1');
    arrive('192.0.2.2');
    assert.equal(arrive('192.0.2.3').socket.isDestroyed, true);
    assert.equal(gate.counters.refusedConnectionsMax, 1);
  });

  it('the oldest handshake makes room for a new one; a finished one does not', () => {
    const { gate, arrive } = makeGate({ handshakesMax: 2 });
    const proved = arrive('192.0.2.1');
    proved.finish();
    const [oldest, newer, newest] = [arrive('192.0.2.1'), arrive('192.0.2.1'), arrive('192.0.2.1')];
    assert.equal(oldest!.socket.isDestroyed, true);
    assert.equal(newer!.socket.isDestroyed || newest!.socket.isDestroyed || proved.socket.isDestroyed, false);
    assert.equal(gate.handshakeCount, 2);
    assert.equal(gate.counters.handshakesDisplaced, 1);
  });

  it('a handshake that takes too long is ended by the sweep', () => {
    const { gate, clock, arrive } = makeGate();
    const slow = arrive('192.0.2.1');
    const proved = arrive('192.0.2.1');
    proved.finish();
    clock.nowMs += 10_000;
    const young = arrive('192.0.2.1');
    gate.sweep();
    assert.deepEqual(
      [slow, proved, young].map(({ socket }) => socket.isDestroyed),
      [true, false, false],
    );
    assert.equal(gate.counters.handshakesTimedOut, 1);
    assert.equal(gate.connectionCount, 2);
  });

  it('addresses that left are forgotten, the oldest first', () => {
    const { gate, clock, arrive } = makeGate({ connectsPerSecondPerAddressMax: 1 });
    for (let index = 0; index < 5; index += 1) arrive('192.0.2.1').socket.destroy();
    for (let index = 2; index < 5; index += 1) arrive(`192.0.2.${index}`).socket.destroy();
    // Three are remembered; the first is not, and has all its connects again.
    assert.equal(arrive('192.0.2.1').socket.isDestroyed, false);
    clock.nowMs += 5_000;
    gate.sweep();
    assert.equal(gate.counters.refusedRate, 0);
  });
});
