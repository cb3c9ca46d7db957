import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isCursorValue } from '@wakeline/core/device';
import { DeviceError, openLineWith, type LineOptions, type Message, type Status } from '../../src/api.js';
import { hostLimits } from '../../src/limits.js';
import { fakeParts, settled, type FakeParts } from './fake-parts.js';

const warnings: DeviceError[] = [];
const basic = {
  url: 'fake://server',
  deviceId: 'd1',
  keepalive: 'none',
  onWarning: (w: DeviceError) => warnings.push(w),
} as const;

async function online(options: Partial<LineOptions> = {}, parts: FakeParts = fakeParts()) {
  warnings.length = 0;
  const line = openLineWith({ ...basic, ...options }, parts);
  await settled();
  assert.equal(line.status.kind, 'online');
  return { line, ...parts };
}

describe('opening', () => {
  test('a line connects by itself, says who it is, and asks for what is addressed to the device', async () => {
    const { line, server, storage } = await online({ token: 'wl_d_x' });
    const [connect, subscribe] = server.last.packets;
    assert(connect?.type === 'connect' && subscribe?.type === 'subscribe');
    assert.equal(connect.clientId, 'd1');
    assert.equal(new TextDecoder().decode(connect.password), 'wl_d_x');
    assert.deepEqual(
      subscribe.subscriptions.map(({ filter }) => filter),
      ['$line/inbox/#'],
    );
    assert(storage.isOpen);
    await line.close();
    assert(!storage.isOpen && server.last.isClosed);
    assert.equal(server.last.count('disconnect'), 1);
    assert.equal(await line.closed, undefined);
    assert.deepEqual(line.status, { kind: 'stopped' });
  });

  test('without inbox nothing is subscribed to', async () => {
    const { line, server } = await online({ inbox: false });
    assert.equal(server.last.count('subscribe'), 0);
    await line.close();
  });

  test('what is wrong with the options is said at once, by name', () => {
    const parts = fakeParts();
    for (const [options, text] of [
      [{ url: 'nonsense' }, /url is no URL/],
      [{ url: 'http://x' }, /url begins with one of fake:\/\//],
      [{ url: 'fake://' }, /names no host/],
      [{ url: 'fake://user:secret@x' }, /credentials/],
      [{ deviceId: '' }, /deviceId/],
      [{ token: 'x', password: 'y' }, /token/],
      [{ keepalive: 'sometimes' }, /keepalive/],
      [{ keepalive: { fixed: '1ms' } }, /keepalive\.fixed/],
      [{ sessionExpiry: 'long' }, /sessionExpiry/],
      [{ pasword: 'x' }, /openLine has no option 'pasword'; did you mean 'password'\?/],
      [{ token: '' }, /token is a text that is not empty/],
      [{ token: 7 }, /token is a text/],
      [{ signal: 5 }, /signal is an AbortSignal/],
      [{ onWarning: 'x' }, /onWarning is a function/],
      [{ inbox: 'no' }, /inbox is true or false/],
    ] as const) {
      assert.throws(() => openLineWith({ ...basic, ...options } as LineOptions, parts), {
        code: 'OPTION_INVALID',
        message: text,
      });
    }
  });

  test('a policy that costs much is warned of', async () => {
    const { line } = await online({ keepalive: 'keepAwake' });
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['KEEPALIVE_COSTLY'],
    );
    await line.close();
  });

  test('a storage that somebody else has ends the line, and everybody who waits hears why', async () => {
    const parts = fakeParts();
    warnings.length = 0;
    parts.storage.openFailure = new DeviceError('STORAGE_LOCKED', 'process 7 has it');
    const line = openLineWith(basic, parts);
    const asked = [line.online(), line.subscribe('a'), line.publish('a', 'x')];
    for (const promise of asked) await assert.rejects(promise, { code: 'STORAGE_LOCKED' });
    assert.equal((await line.closed)?.code, 'STORAGE_LOCKED');
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['STORAGE_LOCKED'],
    );
    assert.equal(parts.server.opened.length, 0);
  });

  test('a signal closes the line, also one that was aborted before', async () => {
    const controller = new AbortController();
    const { line, server } = await online({ signal: controller.signal });
    controller.abort();
    await line.closed;
    assert(server.last.isClosed);
    const late = openLineWith({ ...basic, signal: AbortSignal.abort() }, fakeParts());
    await late.closed;
    await assert.rejects(late.online(), { code: 'CLOSED' });
  });

  test('why a connection cannot be had is told, and the next attempt follows', async () => {
    const parts = fakeParts();
    parts.server.failure = new Error('no route');
    const line = openLineWith(basic, parts);
    await settled();
    assert.equal(line.status.kind, 'waiting');
    assert.equal(line.lastError, parts.server.failure);
    parts.server.failure = undefined;
    await parts.platform.advance(10_000);
    assert.equal(line.status.kind, 'online');
    await line.close();
  });

  test('an attempt that is given up is ended, and so is one at close', async () => {
    const parts = fakeParts();
    parts.server.isMute = true;
    const line = openLineWith(basic, parts);
    await settled();
    assert.equal(line.status.kind, 'connecting');
    await parts.platform.advance(30_000);
    assert.equal(line.status.kind, 'waiting');
    await parts.platform.advance(10_000);
    assert.equal(parts.server.opened.length, 2);
    await line.close();
    assert.equal(parts.server.connections.length, 0);
  });

  test('a server that refuses the device is not asked again, until the app says so', async () => {
    const parts = fakeParts();
    parts.server.connackReason = 0x86;
    const line = openLineWith(basic, parts);
    await assert.rejects(line.online(), { code: 'REFUSED', reasonCode: 0x86 });
    await parts.platform.advance(600_000);
    assert.equal(parts.server.opened.length, 1);
    await assert.rejects(line.publish('a', 'x'), { code: 'CLOSED' });
    parts.server.connackReason = 0;
    line.retry();
    await line.online();
    // What was subscribed to before holds.
    await settled();
    assert.equal(parts.server.last.count('subscribe'), 1);
    await line.close();
  });
});

describe('status', () => {
  test('a loop begins with the present status and ends with the line', async () => {
    const { line, server, platform } = await online();
    const seen: Status['kind'][] = [];
    const loop = (async () => {
      for await (const { kind } of line.statuses()) seen.push(kind);
    })();
    await settled();
    server.last.break(new Error('reset'));
    await settled();
    await platform.advance(10_000);
    await line.close();
    await loop;
    assert.deepEqual(seen, ['online', 'waiting', 'connecting', 'online', 'stopped']);
  });

  test('of statuses that nobody takes the last ones are kept', async () => {
    const { line, server, platform } = await online();
    const loop = line.statuses();
    for (let index = 0; index < 20; index += 1) {
      server.last.break(undefined);
      await platform.advance(130_000);
    }
    await line.close();
    const seen: string[] = [];
    for await (const { kind } of loop) seen.push(kind);
    assert.equal(seen.length, hostLimits.statusesWaitingMax);
    assert.deepEqual(seen.slice(-3), ['connecting', 'online', 'stopped']);
  });

  test('what is no server of MQTT is warned of at once, once, and tried again', async () => {
    const parts = fakeParts();
    warnings.length = 0;
    parts.server.isStrange = true;
    const line = openLineWith(basic, parts);
    await settled();
    const text =
      'what answers at server is not MQTT; it looks like HTTP: use ws://server/mqtt, or the port of MQTT';
    assert(line.status.kind === 'waiting' && line.status.end.cause === 'not-mqtt');
    assert.equal(line.status.end.looksLike, 'HTTP');
    assert.equal((line.lastError as DeviceError).message, text);
    const told = (): readonly (readonly string[])[] => warnings.map(({ code, message }) => [code, message]);
    assert.deepEqual(told(), [['NOT_MQTT', text]]);
    await parts.platform.advance(60_000);
    assert(parts.server.opened.length > 2);
    assert.deepEqual(told(), [['NOT_MQTT', text]]);
    const waiting = line.online({ timeout: '10s' });
    const late = assert.rejects(waiting, {
      code: 'NOT_CONNECTED',
      message: `not connected within 10000 ms: ${text}`,
      retryable: true,
    });
    await parts.platform.advance(10_000);
    await late;
    parts.server.isStrange = false;
    await parts.platform.advance(130_000);
    await line.online({ timeout: '1ms' });
    await line.close();
  });

  test('online waits no longer than it was told, and says what it knows', async () => {
    const parts = fakeParts();
    parts.server.isMute = true;
    const line = openLineWith(basic, parts);
    const rejected = async (text: RegExp): Promise<void> => {
      const late = assert.rejects(line.online({ timeout: 40_000 }), { code: 'NOT_CONNECTED', message: text });
      await settled();
      await parts.platform.advance(40_000);
      await late;
    };
    await rejected(/within 40000 ms: no answer from server within 30 s/);
    parts.server.isMute = false;
    parts.server.failure = new Error('no route');
    await parts.platform.advance(60_000);
    await rejected(/within 40000 ms: no route/);
    parts.platform.handler!.handleNetwork(undefined);
    await rejected(/within 40000 ms: there is no network/);
    await assert.rejects(line.online({ timeout: 0 }), { code: 'OPTION_INVALID', message: /^timeout is/ });
    await line.close();
  });

  test('online rejects with the reason of its signal', async () => {
    const parts = fakeParts();
    parts.server.isMute = true;
    const line = openLineWith(basic, parts);
    const controller = new AbortController();
    const waiting = line.online({ signal: controller.signal });
    await settled();
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    await line.close();
  });
});

describe('messages', () => {
  test('a handler that returns acknowledges: first the cursor is stored, then the server hears', async () => {
    const { line, server, storage } = await online();
    const got: Message[] = [];
    line.onMessage((message) => void got.push(message));
    storage.isHeld = true;
    server.deliver('$line/inbox/news', 'hello');
    await settled();
    const [message] = got;
    assert(message !== undefined);
    assert.equal(message.channel, 'news');
    assert.equal(message.text(), 'hello');
    assert.equal(message.contentType, 'text/plain');
    assert.deepEqual(message.userProperties, [['colour', 'red']]);
    assert.equal(message.place?.sequence, 1);
    assert.deepEqual(storage.writes, ['cursor']);
    assert.equal(server.last.count('puback'), 0);
    storage.release();
    await settled();
    assert.equal(server.last.count('puback'), 1);
    const cursor: unknown = JSON.parse(storage.texts.get('cursor')!);
    assert(isCursorValue(cursor) && cursor.through === 1);
    await line.close();
  });

  test('a handler that throws gives the message back, and is warned of', async () => {
    const { line, server, storage, platform } = await online();
    let times = 0;
    line.onMessage(() => {
      times += 1;
      if (times === 1) throw new Error('not yet');
    });
    server.deliver('a/b', 'x', 1);
    await settled();
    assert.deepEqual(storage.writes, []);
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['HANDLER_FAILED'],
    );
    server.last.break(undefined);
    await platform.advance(10_000);
    server.deliver('a/b', 'x', 1);
    await settled();
    assert.equal(times, 2);
    assert.equal(server.last.count('puback'), 1);
    await line.close();
  });

  test('a handler gets one at a time, or as many as it asks for', async () => {
    for (const concurrency of [1, 3]) {
      const { line, server } = await online();
      const open: (() => void)[] = [];
      line.onMessage(() => new Promise<void>((resolve) => open.push(resolve)), { concurrency });
      for (let index = 0; index < 5; index += 1) server.deliver('a/b', `${index}`);
      await settled();
      assert.equal(open.length, concurrency);
      open[0]!();
      await settled();
      assert.equal(open.length, concurrency + 1);
      await line.close();
    }
  });

  test('a loop acknowledges one by one, and its end leaves the rest for the next', async () => {
    const { line, server } = await online();
    for (const text of ['one', 'two', 'three']) server.deliver('a/b', text);
    const texts: string[] = [];
    for await (const message of line.messages()) {
      texts.push(message.text());
      await message.ack();
      if (texts.length === 2) break;
    }
    await settled();
    assert.equal(server.last.count('puback'), 2);
    for await (const message of line.messages()) {
      texts.push(message.text());
      message.giveBack();
      break;
    }
    assert.deepEqual(texts, ['one', 'two', 'three']);
    await line.close();
  });

  test('messages go to one place', async () => {
    const { line } = await online();
    const controller = new AbortController();
    line.onMessage(() => undefined, { signal: controller.signal });
    assert.throws(() => line.messages(), { code: 'CONSUMER_TAKEN' });
    assert.throws(() => line.onMessage(() => undefined), { code: 'CONSUMER_TAKEN' });
    controller.abort();
    const loop = line.messages();
    await line.close();
    assert.equal((await loop.next()).done, true);
    assert.throws(() => line.onMessage(() => undefined, { concurrency: 0 }), { code: 'OPTION_INVALID' });
  });

  test('the promise of ack waits for the cursor that has it, over a write that fails', async () => {
    const { line, server, storage, platform } = await online();
    const loop = line.messages();
    server.deliver('a/b', 'one');
    server.deliver('a/b', 'two');
    const first = (await loop.next()).value as Message;
    const second = (await loop.next()).value as Message;
    storage.isHeld = true;
    storage.failure = new Error('disk full');
    const ended: string[] = [];
    void first.ack().then(() => ended.push('one'));
    await settled();
    void second.ack().then(() => ended.push('two'));
    storage.release();
    await settled();
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['STORAGE_FAILED'],
    );
    assert.deepEqual(ended, []);
    storage.failure = undefined;
    await platform.advance(1_000);
    storage.release();
    await settled();
    assert.deepEqual(ended, ['one', 'two']);
    assert.equal(server.last.count('puback'), 2);
    await line.close();
  });

  test('an acknowledgement that was not stored before the line closed is told so', async () => {
    const { line, server, storage } = await online();
    const loop = line.messages();
    server.deliver('a/b', 'one');
    const message = (await loop.next()).value as Message;
    storage.failure = new Error('disk full');
    const acked = message.ack();
    await settled();
    await line.close();
    await assert.rejects(acked, { code: 'CLOSED' });
    // The same promise: said once.
    await assert.rejects(message.ack(), { code: 'CLOSED' });
  });

  test('close waits for the cursor that is being stored', async () => {
    const { line, server, storage } = await online();
    line.onMessage(() => undefined);
    storage.isHeld = true;
    server.deliver('a/b', 'one');
    await settled();
    let isClosed = false;
    const closing = line.close().then(() => (isClosed = true));
    await settled();
    assert(!isClosed);
    storage.release();
    await closing;
    assert(storage.texts.has('cursor'));
  });

  test('a storage that never answers does not hold the line open for ever', async () => {
    const { line, server, storage, platform } = await online();
    line.onMessage(() => undefined);
    storage.isHeld = true;
    server.deliver('a/b', 'one');
    await settled();
    const closing = line.close();
    await settled();
    await platform.advance(hostLimits.closeMs);
    await closing;
  });
});

describe('requests', () => {
  test('subscribe and publish resolve with the answer, and reject with the reason code', async () => {
    const { line, server } = await online();
    await line.subscribe('news/#');
    await line.publish('news/1', 'hello', {
      expiry: '1m',
      contentType: 'text/plain',
      userProperties: [['a', 'b']],
    });
    const packet = server.last.packets.findLast(({ type }) => type === 'publish');
    assert(packet?.type === 'publish');
    assert.equal(packet.messageExpirySeconds, 60);
    assert.equal(new TextDecoder().decode(packet.payload), 'hello');
    server.answer = 0x87;
    await assert.rejects(line.subscribe('secret'), { code: 'REFUSED', reasonCode: 0x87 });
    await assert.rejects(line.publish('secret', 'x'), { code: 'REFUSED', reasonCode: 0x87 });
    await line.close();
  });

  test('a refused inbox is warned of', async () => {
    const parts = fakeParts();
    parts.server.answer = 0x87;
    const { line } = await online({}, parts);
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['REFUSED'],
    );
    await line.close();
  });

  test('a refused device is warned of once, with the reason and what to do', async () => {
    const parts = fakeParts();
    warnings.length = 0;
    parts.server.connackReason = 0x86;
    const line = openLineWith(basic, parts);
    const text = /\(0x86, bad user name or password: check deviceId and token\)/;
    await assert.rejects(line.online(), { code: 'REFUSED', reasonCode: 0x86, message: text });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!.message, text);
    await line.close();
  });

  test('the words of the server stand in the error, in its message and by themselves', async () => {
    const { line, server, platform } = await online();
    server.answer = 0x87;
    server.words = 'phones may not\u0007 read this';
    const reason = 'phones may not read this';
    const refused = {
      code: 'REFUSED',
      reasonCode: 0x87,
      reason,
      message: /not authorized; the server says: phones/,
    };
    await assert.rejects(line.subscribe('secret'), refused);
    await assert.rejects(line.publish('secret', 'x'), refused);
    server.last.say({ type: 'disconnect', reasonCode: 0x8b, properties: { reasonString: 'back soon' } });
    await settled();
    const told = (): unknown => ('end' in line.status ? { ...line.status.end } : line.status);
    assert.deepEqual(told(), { cause: 'disconnected', reasonCode: 0x8b, reason: 'back soon' });
    assert.match(String(line.lastError), /ended the connection \(0x8b, .*; the server says: back soon\)/);
    server.connackReason = 0x86;
    server.words = 'the token has expired';
    await platform.advance(10_000);
    assert.deepEqual(told(), { cause: 'refused', reasonCode: 0x86, reason: server.words });
    await assert.rejects(line.online(), { code: 'REFUSED', reason: server.words });
    assert.match(
      warnings.at(-1)!.message,
      /check deviceId and token; the server says: the token has expired/,
    );
    await line.close();
  });

  test('QoS 0 needs a connection, QoS 1 waits for one, and close ends the waiting', async () => {
    const parts = fakeParts();
    parts.server.isMute = true;
    const line = openLineWith(basic, parts);
    await assert.rejects(line.publish('a', 'x', { qos: 0 }), { code: 'NOT_CONNECTED', retryable: true });
    const waiting = line.publish('a', 'x');
    await settled();
    await line.close();
    await assert.rejects(waiting, { code: 'CLOSED' });
    await assert.rejects(line.publish('a', 'x'), { code: 'CLOSED' });
  });

  test('a signal ends the waiting, not the request', async () => {
    const parts = fakeParts();
    parts.server.isAnswering = false;
    const { line, server } = await online({}, parts);
    const controller = new AbortController();
    const waiting = line.publish('a', 'x', { signal: controller.signal });
    await settled();
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    assert.equal(server.last.count('publish'), 1);
    await assert.rejects(line.publish('a', 'x', { signal: controller.signal }), /enough/);
    await line.close();
  });

  test('what the server would end the connection for is refused before', async () => {
    const { line, server } = await online();
    const refused = { code: 'MESSAGE_INVALID' };
    for (const topic of ['', 'a/+', 'a/#', 'a\u0000', '\ud800', 'x'.repeat(hostLimits.topicBytesMax + 1)]) {
      await assert.rejects(line.publish(topic, 'x'), refused, JSON.stringify(topic));
    }
    for (const filter of ['', 'a/#/b', 'a+', 'a#', '#a'])
      await assert.rejects(line.subscribe(filter), refused, filter);
    await assert.rejects(line.publish('a', new Uint8Array(hostLimits.messageBytesMax + 1)), refused);
    await assert.rejects(line.publish('a', 'x', { contentType: 'a\u0001' }), refused);
    await assert.rejects(line.publish('a', 'x', { userProperties: [['a', 'x'.repeat(20_000)]] }), refused);
    await assert.rejects(line.publish('a', { page: 1 } as unknown as string), refused);
    await assert.rejects(line.publish('a', 'x', { expiry: '1ms' }), { code: 'OPTION_INVALID' });
    for (const filter of ['+', '#', '+/a/#', '$share/g/a']) await line.subscribe(filter);
    assert.equal(server.connections.length, 1);
    await line.close();
  });

  test('the bytes that wait are bounded, of both kinds', async () => {
    const parts = fakeParts();
    parts.server.isAnswering = false;
    const { line, server } = await online({}, parts);
    const body = new Uint8Array(hostLimits.messageBytesMax);
    const waiting = Array.from({ length: 16 }, () => line.publish('a', body));
    await assert.rejects(line.publish('a', body), { code: 'TOO_MANY', retryable: true });
    server.last.unsentBytes = hostLimits.unsentBytesMax;
    await assert.rejects(line.publish('a', 'x', { qos: 0 }), { code: 'TOO_MANY' });
    await line.close();
    for (const promise of waiting) await assert.rejects(promise, { code: 'CLOSED' });
  });
});
