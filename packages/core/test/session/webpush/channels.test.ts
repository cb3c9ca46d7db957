import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LinkEvent, Refusal } from '../../../src/domain/index.js';
import { webPushLimits } from '../../../src/session/webpush/index.js';
import { channelId, Harness } from './harness.js';

const otherChannelId = 'ffffffff-9a4c-4d3a-8f0e-0d4c6a1b2c3d';
/** A point of P-256 as far as its form goes. */
const vapidKey = `B${'A'.repeat(86)}`;

const register = { messageType: 'register', channelID: channelId } as const;
const unregister = { messageType: 'unregister', channelID: channelId, code: 200 } as const;

function registered(ticket: number, reason?: Refusal): LinkEvent {
  return { kind: 'registered', ticket, reason };
}

function unregistered(ticket: number, reason?: Refusal, found = true): LinkEvent {
  return { kind: 'unregistered', ticket, reason, found };
}

describe('[WP-5] register', () => {
  test('the endpoint is told once the hub has it, and not before', () => {
    const harness = new Harness();
    harness.open();
    const asked = harness.send(register);
    const common = { ticket: 1, channel: channelId, qos: 0, packetId: 0 } as const;
    assert.deepEqual(asked.commands, [
      { kind: 'register', ...common, tokenSha256: 'hash 1', vapidKey: undefined },
    ]);
    assert.deepEqual(asked.frames, []);
    assert.deepEqual(harness.events(registered(1)).frames, [
      {
        messageType: 'register',
        channelID: channelId,
        status: 200,
        pushEndpoint: 'https://push.example/wpush/1',
      },
    ]);
  });

  test('a key is given to the hub as keys are compared, padded or not', () => {
    for (const key of [vapidKey, `${vapidKey}=`]) {
      const harness = new Harness();
      harness.open();
      const [command] = harness.send({ ...register, key }).commands;
      assert.equal(command?.kind === 'register' && command.vapidKey, vapidKey);
    }
  });

  test('answers belong to their channels, in whatever order they come', () => {
    const harness = new Harness();
    harness.open();
    harness.send(register);
    harness.send({ ...register, channelID: otherChannelId });
    const { frames } = harness.events(registered(2), registered(1));
    assert.deepEqual(
      frames.map((frame) => {
        const { channelID, pushEndpoint } = frame as { channelID: string; pushEndpoint: string };
        return [channelID, pushEndpoint];
      }),
      [
        [otherChannelId, 'https://push.example/wpush/2'],
        [channelId, 'https://push.example/wpush/1'],
      ],
    );
  });

  for (const [reason, status] of [
    ['channels-full', 400],
    ['key-invalid', 400],
    ['quota-exceeded', 500],
    ['storage-failed', 500],
    ['storage-full', 500],
  ] as const) {
    test(`[WP-6] the hub refuses with ${reason}: status ${status}, and the connection stays`, () => {
      const harness = new Harness();
      harness.open();
      harness.send(register);
      const { frames, close } = harness.events(registered(1, reason));
      assert.deepEqual(frames, [{ messageType: 'register', channelID: channelId, status, pushEndpoint: '' }]);
      assert.equal(close, undefined);
    });
  }

  for (const [what, frame] of [
    ['a key that is none', { ...register, key: 'AAAA' }],
    ['a key that is no point', { ...register, key: `A${vapidKey.slice(1)}` }],
    ['a channel in capitals', { ...register, channelID: channelId.toUpperCase() }],
    ['a channel that is no UUID', { ...register, channelID: 'x' }],
  ] as const) {
    test(`[WP-6] ${what}: status 400, and the hub is not asked`, () => {
      const harness = new Harness();
      harness.open();
      const { frames, commands, close } = harness.send(frame);
      assert.deepEqual(frames, [
        { messageType: 'register', channelID: frame.channelID, status: 400, pushEndpoint: '' },
      ]);
      assert.deepEqual([commands, close, harness.minted], [[], undefined, 0]);
    });
  }

  test('[WP-6] more requests at once than a connection may have: status 500', () => {
    const harness = new Harness();
    harness.open();
    for (let count = 0; count < webPushLimits.requestsWaitingMax; count += 1) harness.send(register);
    const { frames, commands } = harness.send(unregister);
    assert.deepEqual(frames, [{ messageType: 'unregister', channelID: channelId, status: 500 }]);
    assert.deepEqual(commands, []);
    harness.events(registered(1));
    assert.equal(harness.send(unregister).commands.length, 1, 'an answer makes room');
  });
});

describe('[WP-7] unregister', () => {
  for (const [what, event, status] of [
    ['of a channel', unregistered(1), 200],
    ['of a channel that is not there', unregistered(1, undefined, false), 200],
    ['that is not stored', unregistered(1, 'storage-failed'), 500],
  ] as const) {
    test(`${what}: status ${status}, once the hub has answered`, () => {
      const harness = new Harness();
      harness.open();
      const asked = harness.send(unregister);
      assert.deepEqual(asked.commands, [
        { kind: 'unregister', ticket: 1, channel: channelId, qos: 0, packetId: 0 },
      ]);
      assert.deepEqual(asked.frames, []);
      assert.deepEqual(harness.events(event).frames, [
        { messageType: 'unregister', channelID: channelId, status },
      ]);
    });
  }

  test('[WP-6] of what is no channel id: status 400', () => {
    const harness = new Harness();
    harness.open();
    const { frames } = harness.send({ messageType: 'unregister', channelID: '../..' });
    assert.deepEqual(frames, [{ messageType: 'unregister', channelID: '../..', status: 400 }]);
  });
});
