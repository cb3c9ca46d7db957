import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectClient, Inbox, listener, startTestServer } from './harness.js';

describe('$SYS with a real client', () => {
  it('[DE-25] is open on loopback, and needs a rule elsewhere', async (t) => {
    const near = await startTestServer(t);
    const client = await connectClient(t, near.url('mqtt'), { protocolVersion: 5 });
    const inbox = new Inbox(client);
    await client.subscribeAsync('$SYS/broker/version');
    const [message] = await inbox.take(1);
    assert.equal(message?.topic, '$SYS/broker/version');
    assert.match(message.text, /^wakeline \d+\.\d+\.\d+/);
    const far = { ...listener('mqtt'), host: '0.0.0.0', isLoopback: false };
    const server = await startTestServer(t, { listeners: [far], insecure: true });
    const other = await connectClient(t, `mqtt://127.0.0.1:${server.port('mqtt')}`, { protocolVersion: 5 });
    await assert.rejects(other.subscribeAsync('$SYS/broker/version'), /Not authorized|135/);
  });
});
