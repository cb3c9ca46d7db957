import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { InvariantError, WakelineError } from '@wakeline/core/base';
import type { StoreChange } from '@wakeline/core/ports';
import { MemoryStore } from '@wakeline/core/testing';
import mqtt from 'mqtt';
import { hubFailureExitCode, RuntimeError } from '../../src/runtime/errors.js';
import { startServer } from '../../src/runtime/server.js';
import {
  configOf,
  connackBytes,
  connectClient,
  connectPacket,
  Inbox,
  listener,
  RawClient,
  startTestServer,
  temporaryDirectory,
} from '../listeners/harness.js';

const listeners = [listener('mqtt'), listener('http')];

function authorized(token: string): RequestInit {
  return { headers: { authorization: `Bearer ${token}` } };
}

describe('server: start', () => {
  it('a port in use is a clear error, and everything is let go', async (t) => {
    const blocker = createServer().listen(0, '127.0.0.1');
    t.after(() => blocker.close());
    await once(blocker, 'listening');
    const { port } = blocker.address() as AddressInfo;
    const dataDirectory = await temporaryDirectory(t);
    const config = configOf(dataDirectory, { listeners: [listener('mqtt'), { ...listener('http'), port }] });
    await assert.rejects(startServer(config), (error: unknown) => {
      assert.ok(error instanceof RuntimeError);
      assert.equal(error.code, 'LISTENER_ADDRESS_IN_USE');
      assert.match(error.message, new RegExp(`http://127.0.0.1:${port}: another program`));
      return true;
    });
    await startTestServer(t, { dataDirectory });
  });

  it('a second server on the same data is refused', async (t) => {
    const { dataDirectory } = await startTestServer(t);
    await assert.rejects(
      startServer(configOf(dataDirectory)),
      (error: unknown) => error instanceof WakelineError && error.code === 'STORE_LOCKED',
    );
  });

  it('the first start makes an admin token for the owner alone; later starts keep it', async (t) => {
    const first = await startTestServer(t, { listeners, openApi: false });
    const file = join(first.dataDirectory, 'admin.token');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const token = (await readFile(file, 'utf8')).trim();
    assert.match(token, /^wl_a_[\w-]{43}$/);
    const url = `${first.url('http')}/v1/tokens`;
    assert.equal((await fetch(url)).status, 401);
    assert.equal((await fetch(url, authorized(token))).status, 200);
    await first.server.stop();
    const second = await startTestServer(t, {
      listeners,
      openApi: false,
      dataDirectory: first.dataDirectory,
    });
    assert.equal((await readFile(file, 'utf8')).trim(), token);
    assert.equal((await fetch(`${second.url('http')}/v1/tokens`, authorized(token))).status, 200);
  });

  it('an admin token that was deleted does not come back, nor does its file when only that is gone', async (t) => {
    const first = await startTestServer(t, { listeners });
    const file = join(first.dataDirectory, 'admin.token');
    const token = (await readFile(file, 'utf8')).trim();
    await rm(file);
    await first.server.stop();
    const second = await startTestServer(t, { listeners, dataDirectory: first.dataDirectory });
    await assert.rejects(stat(file));
    const url = `${second.url('http')}/v1/tokens`;
    assert.equal((await fetch(url, authorized(token))).status, 200);
  });

  it('ready is said while the server takes work, and not while it leaves', async (t) => {
    const { url, server } = await startTestServer(t, { listeners });
    assert.equal((await fetch(`${url('http')}/readyz`)).status, 200);
    await server.stop();
    await assert.rejects(fetch(`${url('http')}/readyz`));
  });
});

describe('server: stop', () => {
  it('MQTT 5 clients are told that the server is going', async (t) => {
    const { url, server } = await startTestServer(t);
    const client = await connectClient(t, url('mqtt'), { protocolVersion: 5 });
    const told = new Promise<number | undefined>((resolve) =>
      client.on('disconnect', ({ reasonCode }) => resolve(reasonCode)),
    );
    await server.stop();
    assert.equal(await told, 0x8b);
  });

  it('is idempotent', async (t) => {
    const { server } = await startTestServer(t);
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
  });

  it('under load loses nothing that was acknowledged', { timeout: 180_000 }, async (t) => {
    const first = await startTestServer(t);
    const device = { clientId: 'device', clean: false, reconnectPeriod: 0 } as const;
    const awake = await connectClient(t, first.url('mqtt'), device);
    await awake.subscribeAsync('load', { qos: 1 });
    await awake.endAsync();
    const sender = await connectClient(t, first.url('mqtt'), { clientId: 'sender' });
    const acknowledged: string[] = [];
    let sent = 0;
    const send = (): void => {
      const text = `${(sent += 1)}`;
      sender.publish('load', text, { qos: 1 }, (error) => {
        if (error) return;
        acknowledged.push(text);
        if (sender.connected) send();
      });
    };
    for (let index = 0; index < 100; index += 1) send();
    while (acknowledged.length < 2_000) await new Promise((resolve) => setImmediate(resolve));
    await first.server.stop();
    const second = await startTestServer(t, { dataDirectory: first.dataDirectory });
    const client = mqtt.connect(second.url('mqtt'), device);
    t.after(() => client.endAsync(true));
    const inbox = new Inbox(client);
    const received = new Set<string>();
    const missing = new Set(acknowledged);
    while (missing.size > 0) {
      for (const { text } of await inbox.take(1)) {
        received.add(text);
        missing.delete(text);
      }
    }
    assert.ok(received.size >= acknowledged.length);
  });

  it('does not wait for sockets that are stuck', { timeout: 180_000 }, async (t) => {
    const { port, url, server } = await startTestServer(t, { listeners }, { limits: { stopMs: 500 } });
    const stuck = await RawClient.connect(t, port('mqtt'));
    stuck.socket.write(connectPacket('stuck'));
    assert.deepEqual(await stuck.take(4), connackBytes);
    stuck.socket.write(Buffer.from([0x82, 10, 0, 1, 0, 5, ...Buffer.from('flood'), 0]));
    await stuck.take(5);
    stuck.socket.pause();
    const sender = await connectClient(t, url('mqtt'));
    for (let index = 0; index < 100; index += 1) {
      await sender.publishAsync('flood', Buffer.alloc(200_000), { qos: 1 });
    }
    const polite = await connectClient(t, url('mqtt'), { protocolVersion: 5 });
    const told = new Promise<number | undefined>((resolve) =>
      polite.on('disconnect', ({ reasonCode }) => resolve(reasonCode)),
    );
    const halfRequest = await RawClient.connect(t, port('http'));
    halfRequest.socket.write('POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n');
    await server.stop();
    assert.equal(await told, 0x8b);
    const again = createServer().listen(port('mqtt'), '127.0.0.1');
    await once(again, 'listening');
    again.close();
  });
});

/** A store that fails when told to. */
class FaultyStore extends MemoryStore {
  isBroken = false;
  override commit(changes: readonly StoreChange[]): Promise<void> {
    if (this.isBroken) return Promise.reject(new WakelineError('STORE_COMMIT_FAILED', 'broken'));
    return super.commit(changes);
  }
}

describe('server: faults', () => {
  it('a failed commit is logged, nothing is acknowledged on it, and the server goes on', async (t) => {
    const store = new FaultyStore();
    const { url, log } = await startTestServer(t, {}, { store });
    const durable = await connectClient(t, url('mqtt'), { clientId: 'durable', clean: false });
    await durable.subscribeAsync('a', { qos: 1 });
    const sender = await connectClient(t, url('mqtt'), { clientId: 'sender', protocolVersion: 5 });
    store.isBroken = true;
    await assert.rejects(sender.publishAsync('a', 'lost', { qos: 1 }));
    assert.ok(log.errors.some(({ message }) => message === 'commit failed'));
    store.isBroken = false;
    const again = await connectClient(t, url('mqtt'), { clientId: 'again', protocolVersion: 5 });
    await again.publishAsync('a', 'kept', { qos: 1 });
  });

  it('a hub that breaks its own rules ends the server, which says so', async (t) => {
    let isBroken = false;
    const onTimeline = (): void => {
      if (isBroken) throw new InvariantError('injected');
    };
    const { url, server } = await startTestServer(t, {}, { onTimeline });
    const client = await connectClient(t, url('mqtt'), { clientId: 'device', clean: false });
    await client.subscribeAsync('a', { qos: 1 });
    isBroken = true;
    client.publish('a', 'b', { qos: 1 });
    const error = await server.failed;
    assert.ok(error instanceof RuntimeError && error.code === 'HUB_FAILED');
    assert.ok(error.cause instanceof InvariantError);
    assert.equal(hubFailureExitCode, 70);
    await assert.rejects(mqtt.connectAsync(url('mqtt'), { reconnectPeriod: 0 }));
  });
});
