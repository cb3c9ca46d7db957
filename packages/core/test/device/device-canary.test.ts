/** The machine's canaries at the server's own session and hub. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR_MS, Prng } from '../../src/base/index.js';
import { gapConstants, PairedCanary } from '../../src/device/index.js';
import { TestServer } from '../exchange/exchange.js';
import { TestDevice } from './device-world.js';

async function online(server = new TestServer()) {
  const policy = new PairedCanary();
  const device = new TestDevice(server, new Prng(3), { keepalive: policy });
  await device.input({ kind: 'network', key: 'wifi' });
  await device.input({ kind: 'start' });
  assert.equal(device.status.kind, 'online');
  return { server, device, policy };
}

describe('at a server', () => {
  test('[SD-12] [KA-20] [KA-21] pushes that arrive raise what is known, and nothing is left open', async () => {
    const { device, policy } = await online();
    await device.input({ kind: 'activity', activity: 'asleep' });
    assert.equal(device.canaryCount, 1);
    device.take('status');
    await device.advance(2 * HOUR_MS);
    assert.equal(policy.lowMs, gapConstants.gapMsMax);
    assert.equal(device.canaryCount, 0);
    assert.deepEqual(device.take('status'), [], 'the main connection has never ended');
    assert.deepEqual(device.take('store-knowledge').at(-1)!.knowledge, policy.knowledge);
  });

  test('[SD-12] [KA-21] two canaries that nothing reached bound it from above, while the main connection lasts', async () => {
    const { device, policy } = await online();
    await device.input({ kind: 'activity', activity: 'asleep' });
    device.take('status');
    device.forgetCanaries();
    await device.advance(483_000);
    assert.equal(device.canaryCount, 1, 'the one that showed the network to be there serves the next probe');
    assert.deepEqual(policy.knowledge, {});
    device.forgetCanaries();
    await device.advance(483_000);
    assert.equal(policy.knowledge['wifi']?.highMs, 480_000);
    assert.equal(device.canaryCount, 1);
    assert.deepEqual(device.take('status'), []);
  });

  test('[SD-12] a server that restarts takes the canary with it, and the next one counts', async () => {
    const { server, device, policy } = await online();
    await device.input({ kind: 'activity', activity: 'asleep' });
    await server.restart();
    await device.cut();
    await device.advance(10_000);
    assert.equal(device.status.kind, 'online');
    assert.equal(device.canaryCount, 1);
    await device.advance(483_000);
    assert.equal(policy.lowMs, 480_000);
  });

  test('[SD-13] [KA-22] what three others have said of a network is where the fourth begins', async () => {
    const server = new TestServer();
    for (const id of ['a', 'b', 'c']) {
      const other = await server.resume(5, id, { keepAliveSeconds: 0 });
      await other.publish('$line/network', JSON.stringify({ network: 'wifi', low: 960_000 }));
    }
    const { policy, device } = await online(server);
    assert.equal(policy.lowMs, 960_000);
    await device.advance(2 * HOUR_MS);
    assert.equal(policy.lowMs, gapConstants.gapMsMax);
  });

  test('[SD-4] [SD-13] a network that gets its name later keeps its connection, and is measured under the name', async () => {
    const server = new TestServer();
    for (const id of ['a', 'b', 'c']) {
      const other = await server.resume(5, id, { keepAliveSeconds: 0 });
      await other.publish('$line/network', JSON.stringify({ network: 'wifi', low: 960_000 }));
    }
    const policy = new PairedCanary();
    const device = new TestDevice(server, new Prng(3), { keepalive: policy });
    await device.input({ kind: 'start' });
    await device.input({ kind: 'activity', activity: 'asleep' });
    assert.equal(device.canaryCount, 1, 'something is tried on a network without a name');
    device.take('status', 'window', 'window-over');
    await device.advance(5_000);
    await device.input({ kind: 'network', key: 'wifi' });
    assert.deepEqual(device.take('status'), [], 'the connection goes on');
    assert.deepEqual(
      device.take('window', 'window-over').map(({ kind }) => kind),
      ['window', 'window-over'],
    );
    assert.equal(policy.lowMs, 960_000, 'the hint for the name is there');
    assert.equal(device.canaryCount, 1, 'another canary has begun');
    await device.advance(2 * HOUR_MS);
    assert.deepEqual(Object.keys(policy.knowledge), ['wifi'], 'nothing is said of a network without a name');
    assert.equal(policy.lowMs, gapConstants.gapMsMax);
    assert.deepEqual(device.take('status'), []);
    // From here on another name is another network.
    await device.input({ kind: 'network', key: 'cafe' });
    assert.deepEqual(
      device.take('status').map(({ status }) => status.kind),
      ['connecting', 'online'],
    );
  });

  test('[SD-4] a name that comes while nothing is connected is a reason to try at once', async () => {
    const device = new TestDevice(new TestServer(), new Prng(3));
    device.hasPath = false;
    await device.input({ kind: 'start' });
    assert.equal(device.status.kind, 'waiting');
    device.hasPath = true;
    await device.input({ kind: 'network', key: 'wifi' });
    assert.equal(device.status.kind, 'online');
  });

  test('[SD-4] a network that was told without a name, and then is told with one, is another', async () => {
    const device = new TestDevice(new TestServer(), new Prng(3));
    await device.input({ kind: 'start' });
    await device.input({ kind: 'network', key: '' });
    device.take('status');
    await device.input({ kind: 'network', key: 'wifi' });
    assert.equal(device.take('status').length, 2);
  });
});
