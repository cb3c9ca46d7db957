import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectClient, Inbox, startTestServer } from './harness.js';

describe('shared subscriptions with real clients', () => {
  for (const protocolVersion of [4, 5] as const) {
    it(`[DE-19] MQTT version ${protocolVersion}: each message once, and all of them after a member left`, async (t) => {
      const server = await startTestServer(t);
      const url = server.url('mqtt');
      const members = await Promise.all(
        ['a', 'b'].map((clientId) => connectClient(t, url, { clientId, protocolVersion })),
      );
      const inboxes = members.map((member) => new Inbox(member));
      for (const member of members) await member.subscribeAsync('$share/workers/jobs/#', { qos: 1 });
      const sender = await connectClient(t, url);
      for (let index = 0; index < 10; index += 1) await sender.publishAsync('jobs/x', `${index}`, { qos: 1 });
      const got = await Promise.all(inboxes.map((inbox) => inbox.take(5)));
      assert.deepEqual(
        got
          .flat()
          .map(({ text }) => Number(text))
          .sort((x, y) => x - y),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      );
      await members[0]!.endAsync();
      for (let index = 0; index < 4; index += 1) await sender.publishAsync('jobs/x', `${index}`, { qos: 1 });
      assert.deepEqual(
        (await inboxes[1]!.take(4)).map(({ text }) => text),
        ['0', '1', '2', '3'],
      );
      await members[1]!.unsubscribeAsync('$share/workers/jobs/#');
    });
  }
});
