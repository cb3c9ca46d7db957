/**
 * A phone that cannot be reached: baresip as on an iPhone, its flow cut while it sleeps. It is woken by that, plans to
 * connect again in half a minute, and is frozen before. The caller is told in time, the user finds the call in the
 * inbox, and the trace says why.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectAsync } from 'mqtt';
import { whyMissing } from './program.js';
import { DOMAIN } from './sip-server.js';
import type { SipServer } from './sip-server.js';
import { callersTrunk, onStage } from './sip-stage.js';
import { betweenMs } from './sipp.js';

const PARK_MS = 12_000;
/** What a machine that does much else may add; a caller that is told nothing would wait for minutes. */
const LATE_MS_MAX = 30_000;

test(
  'baresip in ios-voip whose flow is cut: 480, a missed call in the inbox, and why',
  {
    skip: whyMissing('sipp', 'baresip') ?? false,
  },
  async () => {
    await onStage({ users: ['bob'], trunks: [callersTrunk], park: '12s', relays: 1 }, async (stage) => {
      const { server } = stage;
      const relay = stage.relays[0]!;
      const phone = await stage.baresip('bob', { port: relay.port, box: { window: '3s' } });
      await phone.box.asleep();
      relay.cut();
      await phone.box.until(() => phone.box.wakes('rst').length > 0, 'woken by the cut');
      await phone.box.asleep();

      const call = await stage.call('bob', {
        scenario: 'caller-refused',
        replacements: { STATUS: '480' },
        timeoutMs: 60_000,
      });
      const { marks } = await call.success();
      const waitedMs = betweenMs(marks, 'invite', 'refused');
      assert(waitedMs > PARK_MS - 1_000 && waitedMs < PARK_MS + LATE_MS_MAX, `480 after ${waitedMs} ms`);
      assert(phone.box.isAsleep, 'nothing could wake it');

      const record = await server.callIn(['expired']);
      assert.deepEqual([record.status, record.missed], [480, true]);
      assert.match(
        record.reason ?? '',
        /had lost its connection [\d.]+ s before the call, and it has no push route/,
      );
      const body = await missedCall(server, `bob@${DOMAIN}`);
      assert.equal(body.call, record.id);
      assert.equal(body.state, 'missed');
      assert.equal(body.sipCallId, record.sipCallId);
      process.stdout.write(`the trace says: ${record.reason}\n`);
    });
  },
);

interface CallNotice {
  readonly call: string;
  readonly state: string;
  readonly sipCallId: string;
}

/** What waits in the device's inbox for calls. */
async function missedCall(server: SipServer, device: string): Promise<CallNotice> {
  const client = await connectAsync(`mqtt://127.0.0.1:${server.mqttPort}`, {
    clientId: device,
    clean: false,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: 600 },
  });
  try {
    const message = new Promise<CallNotice>((resolve) => {
      client.on('message', (_topic, body) => resolve(JSON.parse(body.toString()) as CallNotice));
    });
    await client.subscribeAsync('$line/inbox/calls', { qos: 1 });
    return await message;
  } finally {
    await client.endAsync(true);
  }
}
