import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeUtf8 } from '../../../src/base/index.js';
import { AddressBudget, webPushLimits } from '../../../src/session/webpush/index.js';
import { webPushFrameLimits } from '../../../src/wire/webpush/index.js';
import { channelId, delivery, epochHex, Harness } from './harness.js';

const closeCommand = { kind: 'close', publishWill: false, sessionExpirySeconds: undefined } as const;
const interval = webPushLimits.pingIntervalMsMin;

function opened(options: ConstructorParameters<typeof Harness>[0] = {}): Harness {
  const harness = new Harness(options);
  harness.open();
  return harness;
}

describe('[WP-13] ping of a client', () => {
  for (const [what, frame] of [
    ['{}', {}],
    ['by its name', { messageType: 'ping' }],
  ] as const) {
    test(`${what}: answered with {}`, () => assert.deepEqual(opened().send(frame).frames, [{}]));
  }

  test('a second one in time is answered, one too early ends the connection with 4774', () => {
    const harness = opened();
    harness.send({});
    harness.nowMs += interval;
    assert.deepEqual(harness.send({}).frames, [{}]);
    harness.nowMs += interval - 1;
    const { close, frames, commands } = harness.send({});
    assert.deepEqual(close?.farewell, { code: 4774, text: 'pings come too often' });
    assert.deepEqual([frames, commands], [[], [closeCommand]]);
  });
});

describe('[WP-15] ping of the server', () => {
  test('after silence it asks, and without an answer it closes', () => {
    const harness = opened();
    harness.nowMs += 1_000;
    harness.input({ kind: 'bytes', chunk: encodeUtf8('{}') });
    assert.equal(harness.wait(599_999).hasPinged, false);
    assert.equal(harness.wait(1).hasPinged, true);
    assert.equal(harness.wait(webPushLimits.pongTimeoutMsMax - 1).close, undefined);
    const { close, commands, hasPinged } = harness.wait(1);
    assert.equal(hasPinged, false, 'it asks once');
    assert.deepEqual(close?.farewell, { code: 1001, text: 'a ping was not answered in time' });
    assert.deepEqual(commands, [closeCommand]);
  });

  for (const [what, answer] of [
    ['a pong', (harness: Harness) => harness.input({ kind: 'pong' })],
    ['any frame', (harness: Harness) => harness.send({ messageType: 'ack', updates: [] })],
  ] as const) {
    test(`${what} is a sign of life`, () => {
      const harness = opened();
      harness.wait(600_000);
      answer(harness);
      assert.equal(harness.session.nextTimeoutMs(), harness.nowMs + 600_000);
      assert.equal(harness.wait(600_000).hasPinged, true);
    });
  }

  test('what the server sends is none, and where it is off there is no ping', () => {
    const harness = opened();
    harness.nowMs += 300_000;
    harness.events(delivery(1));
    assert.equal(harness.wait(300_000).hasPinged, true);
    assert.equal(opened({ pingAfterMs: undefined }).session.nextTimeoutMs(), Infinity);
  });
});

describe('[WP-3] what is no message of the protocol ends the connection', () => {
  for (const [what, text, code, reason] of [
    ['bad JSON', '{"messageType":', 1007, 'packet-malformed'],
    ['a list', '[]', 1007, 'packet-malformed'],
    ['an unknown message type', '{"messageType":"purge"}', 1002, 'protocol-error'],
    ['a message of the server', '{"messageType":"notification"}', 1002, 'protocol-error'],
    ['an ack without updates', '{"messageType":"ack"}', 1002, 'protocol-error'],
    ['an oversized frame', `"${'x'.repeat(webPushFrameLimits.frameBytesMax)}"`, 1009, 'packet-too-large'],
  ] as const) {
    test(`${what}: ${code}, before a hello as after it`, () => {
      for (const harness of [new Harness(), opened()]) {
        const { close, frames } = harness.text(text);
        assert.equal(close?.reason, reason);
        assert.equal(close.farewell.code, code);
        assert.match(close.farewell.text, /^[ -~]{1,100}$/);
        assert.deepEqual(frames, []);
        assert.ok(harness.session.isClosed);
      }
    });
  }
});

describe('[WP-16] broadcasts', () => {
  const versions = (entries: Record<string, string>): ReadonlyMap<string, string> =>
    new Map(Object.entries(entries));

  test('a hello is answered with those that have another version', () => {
    const harness = new Harness();
    harness.broadcasts.set(versions({ a: '1', b: '2', c: '3' }));
    const { frames } = harness.open(true, { broadcasts: { a: '0', b: '2', unknown: '1' } });
    assert.deepEqual((frames[0] as { broadcasts: unknown }).broadcasts, { a: '1' });
  });

  test('broadcast_subscribe is answered with those that differ and those that are not known; else not at all', () => {
    const harness = opened();
    harness.broadcasts.set(versions({ a: '1' }));
    const subscribe = (broadcasts: object): readonly unknown[] =>
      harness.send({ messageType: 'broadcast_subscribe', broadcasts }).frames;
    assert.deepEqual(subscribe({ a: '0', x: '0' }), [
      { messageType: 'broadcast', broadcasts: { a: '1', errors: { x: 'Broadcast not found' } } },
    ]);
    assert.deepEqual(subscribe({ a: '1' }), []);
  });

  test('a change is told to those who asked for it, once', () => {
    const asked = new Harness();
    asked.open(true, { broadcasts: { a: '1' } });
    const others = opened();
    for (const harness of [asked, others]) {
      assert.equal(harness.session.nextTimeoutMs() > harness.nowMs, true);
      harness.broadcasts.set(versions({ a: '1', b: '1' }));
      harness.wait(0);
      harness.broadcasts.set(versions({ a: '2', b: '2' }));
    }
    assert.equal(asked.session.nextTimeoutMs(), 0);
    assert.deepEqual(asked.wait(0).frames, [{ messageType: 'broadcast', broadcasts: { a: '2' } }]);
    assert.equal(asked.session.nextTimeoutMs() > asked.nowMs, true);
    assert.deepEqual(asked.wait(0).frames, []);
    assert.deepEqual(others.wait(0).frames, []);
  });

  test('the same versions again are no change, and one that comes later is told', () => {
    const harness = new Harness();
    harness.broadcasts.set(versions({}));
    harness.open(true, { broadcasts: { a: '1' } });
    harness.broadcasts.set(versions({}));
    assert.equal(harness.broadcasts.revision, 0);
    harness.broadcasts.set(versions({ a: '2' }));
    assert.deepEqual(harness.wait(0).frames, [{ messageType: 'broadcast', broadcasts: { a: '2' } }]);
  });

  test('a connection is told of so many, however often it asks', () => {
    const harness = opened();
    const ask = (from: number): void => {
      const ids = Array.from({ length: 50 }, (_, index) => [`id ${from + index}`, '0']);
      harness.send({ messageType: 'broadcast_subscribe', broadcasts: Object.fromEntries(ids) });
    };
    for (const from of [0, 50, 100]) ask(from);
    const all = Array.from({ length: 150 }, (_, index) => [`id ${index}`, '1'] as const);
    harness.broadcasts.set(new Map(all));
    const [frame] = harness.wait(0).frames;
    const { broadcasts } = frame as { broadcasts: object };
    assert.equal(Object.keys(broadcasts).length, webPushLimits.broadcastsPerFlowMax);
  });
});

describe('[WP-17] urgency', () => {
  for (const [min, wakeUrgency] of [
    ['low', 1],
    ['normal', 2],
    ['high', 3],
  ] as const) {
    test(`from ${min} on: the hub is told what wakes the device`, () => {
      const { commands, frames } = opened().send({ messageType: 'urgency', min });
      const state = { activity: 'asleep', windowMs: 0, network: undefined, wakeUrgency } as const;
      assert.deepEqual(commands, [{ kind: 'state', state, qos: 0, packetId: 0 }]);
      assert.deepEqual(frames, [{ messageType: 'urgency', status: 200 }]);
    });
  }

  test('very-low: everything may come', () => {
    const state = { activity: 'active', windowMs: undefined, network: undefined } as const;
    assert.deepEqual(opened().send({ messageType: 'urgency', min: 'very-low' }).commands, [
      { kind: 'state', state, qos: 0, packetId: 0 },
    ]);
  });
});

describe('[WP-14] the budget of addresses', () => {
  const at = (ms: number) => ({ monotonic: ms, wall: 0 });

  test('an address has a minute of them at once, and gets new ones evenly', () => {
    const budget = new AddressBudget(60, 1_000, 10);
    const take = (ms: number, count: number): number =>
      Array.from({ length: count }, () => budget.take(at(ms), 'a')).filter(Boolean).length;
    assert.equal(take(0, 100), 60);
    assert.equal(take(500, 1), 0);
    assert.equal(take(10_000, 100), 10);
    assert.equal(take(600_000, 100), 60, 'no more is saved up than a minute');
  });

  test('all addresses together have one, too; what is refused takes nothing', () => {
    const budget = new AddressBudget(2, 3, 10);
    const taken = ['a', 'a', 'a', 'b', 'b'].map((address) => budget.take(at(0), address));
    assert.deepEqual(taken, [true, true, false, true, false]);
    assert.equal(budget.take(at(20_000), 'b'), true);
  });

  test('addresses are forgotten, the oldest first, and after a minute', () => {
    const budget = new AddressBudget(1, 1_000, 2);
    for (const address of ['a', 'b', 'c']) budget.take(at(0), address);
    assert.equal(budget.addressCount, 2);
    assert.equal(budget.take(at(1), 'c'), false);
    assert.equal(budget.take(at(1), 'a'), true, 'it was forgotten');
    budget.take(at(120_000), 'd');
    assert.equal(budget.addressCount, 1);
  });
});

test('a version is told whole to whom it belongs, and names nothing else', () => {
  const harness = opened();
  const [frame] = harness.events(delivery(4_294_967_295)).frames;
  const { version } = frame as { version: string };
  assert.equal(version, `${epochHex}.4294967295`);
  const [command] = harness.send({
    messageType: 'ack',
    updates: [{ channelID: channelId, version }],
  }).commands;
  assert.deepEqual(command, { kind: 'acknowledge', sequence: 4_294_967_295 });
});
