/** Messages to a device whose connections break, whose app dies and whose server restarts, at random moments. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8, Prng } from '../../src/base/index.js';
import type { CursorValue, DeviceMessage } from '../../src/device/index.js';
import { TestServer } from '../exchange/exchange.js';
import { TestDevice } from './device-world.js';
import { firstSeed } from '../seed.js';

const RUNS = 25;
const STEPS = 120;

describe('a device in a world that fails', () => {
  for (let run = 0; run < RUNS; run += 1) {
    const seed = firstSeed + run;
    test(`[SD-1] [SD-2] every message is given, and none again after its end was stored (WAKELINE_SEED=${seed})`, () =>
      runWorld(seed));
  }
});

async function runWorld(seed: number): Promise<void> {
  const prng = new Prng(seed);
  const server = new TestServer();
  let sender = await server.resume(5, 'sender', { keepAliveSeconds: 0 });
  const device = new TestDevice(server, prng, { seed });
  const sent = new Set<string>();
  const reached = new Map<string, number>();
  let open: DeviceMessage[] = [];
  device.onMessage = (message) => {
    const text = textOf(message);
    assert.ok(message.place !== undefined, 'every message of QoS 1 has a number');
    assert.ok(!holds(device.cursor, message.place), `${text} was stored as handled, and came again`);
    reached.set(text, (reached.get(text) ?? 0) + 1);
    open.push(message);
  };
  const start = async (): Promise<void> => {
    open = [];
    await device.input({ kind: 'start' });
    await device.input({ kind: 'subscribe', ticket: 1, filter: 'news/+', qos: 1 });
  };
  await start();
  assert.deepEqual(device.take('subscribed'), [{ kind: 'subscribed', ticket: 1, outcome: 1 }]);
  const finishOne = async (): Promise<void> => {
    if (open.length === 0) return;
    const [message] = open.splice(prng.nextInteger(0, open.length - 1), 1);
    await device.finish(message!, prng.nextFloat() < 0.8);
  };
  const steps: (() => Promise<void>)[] = [
    async () => {
      for (let count = prng.nextInteger(1, 5); count > 0; count -= 1) {
        const text = `m${sent.size}`;
        const [answer] = await sender.publish(`news/${prng.nextInteger(0, 3)}`, text, {
          qos: 1,
          packetId: 1,
        });
        assert.equal(answer?.type, 'puback');
        sent.add(text);
      }
      await device.settle();
    },
    finishOne,
    finishOne,
    finishOne,
    async () => device.store(prng.nextFloat() < 0.8),
    async () => device.advance(prng.nextInteger(0, 20_000)),
    async () => device.cut(),
    async () => {
      await device.crash();
      await start();
    },
    async () => {
      if (prng.nextFloat() < 0.7) return;
      await server.restart();
      sender = await server.resume(5, 'sender', { keepAliveSeconds: 0 });
      await device.cut();
    },
    async () => {
      device.hasPath = !device.hasPath;
      device.hasDisk = prng.nextFloat() < 0.5;
      await device.store();
    },
  ];
  device.breakShare = 0.05;
  for (let step = 0; step < STEPS; step += 1) await steps[prng.nextInteger(0, steps.length - 1)]!();

  // The world is well again, and the app handles whatever it is given.
  device.breakShare = 0;
  device.hasPath = true;
  await device.store();
  device.hasDisk = true;
  await device.crash();
  await start();
  for (let round = 0; round < 200 && (open.length > 0 || round < 3); round += 1) {
    for (const message of open.splice(0)) await device.finish(message);
    await device.advance(5_000);
  }
  const lost = [...sent].filter((text) => !reached.has(text));
  assert.deepEqual(lost, [], 'every message has reached its handler');

  // All is acknowledged: another start brings nothing.
  const before = new Map(reached);
  await device.crash();
  await start();
  await device.advance(60_000);
  assert.deepEqual(reached, before);
}

function textOf({ body }: DeviceMessage): string {
  return decodeUtf8(body, 0, body.length)!;
}

/** Written anew, so that an error in the cursor does not hide here. */
function holds(cursor: CursorValue | undefined, place: { epoch: string; sequence: number }): boolean {
  if (cursor === undefined || cursor.epoch !== place.epoch) return false;
  if (place.sequence <= cursor.through) return true;
  return cursor.beyond.some(
    (first, index) =>
      index % 2 === 0 && first <= place.sequence && place.sequence <= cursor.beyond[index + 1]!,
  );
}
