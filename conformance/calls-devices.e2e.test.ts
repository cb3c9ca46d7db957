/** Two devices of one user, one asleep and one awake: the first answer wins, and the other one never rings as a ghost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyMissing } from './program.js';
import { callersTrunk, onStage } from './sip-stage.js';
import type { SipStage } from './sip-stage.js';
import type { TcpRelay } from './tcp-relay.js';

const skip = whyMissing('sipp', 'baresip') ?? false;
const stageOptions = { users: ['bob'], trunks: [callersTrunk], relays: 1 };

/** How long a device has to show that it rings by mistake, beyond its registration, ms. */
const GHOST_MS = 2_500;

test('the device that is awake answers: the sleeping one rings and is cancelled', { skip }, async () => {
  await onStage(stageOptions, async (stage) => {
    const asleep = await stage.baresip('bob', { device: 'tablet', answers: 'manual', box: { window: '3s' } });
    await asleep.box.asleep();
    const awake = await stage.smallPhone('bob', { device: 'desk', box: 'none', answerAfter: 'never' });
    const call = await stage.call('bob', { holdMs: 2_000 });
    await Promise.all([asleep.incoming(), awake.incoming()]);
    await awake.answer();
    await call.success();
    await awake.voice();
    assert.equal(asleep.countIncoming(), 1);
    await asleep.line(/Call with .* terminated|session closed/);
    await asleep.box.asleep();
    const from = awake.position;
    const again = await stage.call('bob', { holdMs: 500 });
    await awake.incoming(from);
    await awake.answer();
    await again.success();
  });
});

test('the sleeping device answers: the one that is awake is cancelled', { skip }, async () => {
  await onStage(stageOptions, async (stage) => {
    const asleep = await stage.baresip('bob', { device: 'tablet', answers: 'manual', box: { window: '3s' } });
    await asleep.box.asleep();
    const awake = await stage.smallPhone('bob', { device: 'desk', box: 'none', answerAfter: 'never' });
    const call = await stage.call('bob', { holdMs: 2_000 });
    await Promise.all([asleep.incoming(), awake.incoming()]);
    await asleep.answer();
    const over = await awake.event('over');
    assert.equal(over.why, 'cancelled');
    await call.success();
    await asleep.voice();
  });
});

test('a device that comes back after the answer is not rung: it is told nothing', { skip }, async () => {
  await onStage(stageOptions, async (stage) => {
    const { relay, asleep } = await cutOff(stage);
    const awake = await stage.smallPhone('bob', { device: 'desk', box: 'none', answerAfter: 1 });
    const call = await stage.call('bob', { holdMs: 1_000 });
    await awake.event('answered');
    await comesBackSilently(relay, asleep);
    await call.success();
  });
});

test('a device that comes back after the caller gave up is not rung', { skip }, async () => {
  await onStage(stageOptions, async (stage) => {
    const { relay, asleep } = await cutOff(stage);
    const call = await stage.call('bob', { scenario: 'caller-cancels-unheard', holdMs: 1_500 });
    await call.success();
    await comesBackSilently(relay, asleep);
  });
});

/** A sleeping phone whose connection is gone and cannot be made again for now. */
async function cutOff(stage: SipStage) {
  const relay = stage.relays[0]!;
  const asleep = await stage.smallPhone('bob', {
    device: 'tablet',
    port: relay.port,
    answerAfter: 'never',
    box: { window: '4s' },
  });
  await asleep.box.asleep();
  relay.isOpen = false;
  relay.cut();
  return { relay, asleep };
}

async function comesBackSilently(
  relay: TcpRelay,
  asleep: Awaited<ReturnType<typeof cutOff>>['asleep'],
): Promise<void> {
  const from = asleep.position;
  relay.isOpen = true;
  // Without a connection nothing but its user wakes it, once its window is over.
  await asleep.box.heldUntil(asleep.registered(from));
  await new Promise((resolve) => setTimeout(resolve, GHOST_MS));
  assert.equal(asleep.countIncoming(), 0, asleep.tell());
}
