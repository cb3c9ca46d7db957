/** The Web Push channels of a device, with a server that answers as the test says. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from '@wakeline/core/base';
import webPush from 'web-push';
import { DeviceError, hostLimits } from '../../src/api.js';
import { webCrypto, type CryptoLike } from '../../src/push/push-crypto.js';
import { PushSubscriptions } from '../../src/push/push-subscriptions.js';
import type { PushSubscription } from '../../src/push/types.js';

const crypto = webCrypto(globalThis.crypto as unknown as CryptoLike);

/** What outlives the app. */
class Disk {
  text: string | undefined;
  failure: unknown;
}

interface Asked {
  readonly request: { readonly channel: string; readonly key?: string; readonly end?: boolean };
  readonly correlationData: Uint8Array;
}

/** One run of an app: the channels, and a server. */
class App {
  readonly asked: Asked[] = [];
  readonly channels: PushSubscriptions;
  isOnline = true;
  /** Undefined: it does not answer. */
  answer: ((request: Asked['request'], count: number) => object | undefined) | undefined = (
    { channel, end },
    count,
  ) =>
    end === true
      ? { channel, ended: true }
      : { channel, endpoint: `https://push.example/push/${channel}-${count}` };

  constructor(disk: Disk, withCrypto = true) {
    this.channels = new PushSubscriptions({
      crypto: withCrypto ? crypto : undefined,
      link: this,
      store: async (text) => {
        if (disk.failure !== undefined) throw disk.failure;
        disk.text = text;
      },
      ready: Promise.resolve(),
    });
    this.channels.load(disk.text);
  }

  async publish(
    topic: string,
    body: string,
    {
      responseTopic,
      correlationData,
    }: { readonly responseTopic: string; readonly correlationData: Uint8Array },
  ): Promise<void> {
    assert.equal(responseTopic, '$line/endpoint/answer');
    assert.equal(topic, '$line/endpoint');
    if (!this.isOnline) throw new DeviceError('NOT_CONNECTED', 'not connected');
    const request = JSON.parse(body) as Asked['request'];
    this.asked.push({ request, correlationData });
    const answer = this.answer?.(request, this.asked.length);
    if (answer !== undefined) queueMicrotask(() => this.tell(answer));
  }

  tell(answer: object, { correlationData } = this.asked.at(-1)!): boolean {
    return this.channels.handleAnswer(
      '$line/endpoint/answer',
      correlationData,
      encodeUtf8(JSON.stringify(answer)),
    );
  }

  /** What the app gets of a push that web-push seals for the subscription. */
  async receive(channel: string, subscription: PushSubscription, text: string): Promise<string> {
    const { headers, body } = webPush.generateRequestDetails(subscription, text) as {
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    };
    const message = {
      channel,
      body,
      userProperties: [['content-encoding', headers['Content-Encoding']!]] as const,
    };
    assert(this.channels.isSealed(message));
    const opened = await this.channels.open(message);
    if (opened.encryption !== 'opened') {
      assert.equal(opened.body, body);
      return opened.encryption;
    }
    return decodeUtf8(opened.body, 0, opened.body.length)!;
  }
}

const hasCode = (code: string, more: object = {}) => ({ name: 'DeviceError', code, ...more });

describe('a subscription', () => {
  test('is what a sender needs, is stored, and serves the next start of the app without a question', async () => {
    const disk = new Disk();
    const first = new App(disk);
    const subscription = await first.channels.subscribe('news');
    assert.equal(subscription.endpoint, 'https://push.example/push/news-1');
    const second = new App(disk);
    assert.deepEqual(await second.channels.subscribe('news'), subscription);
    assert.equal(second.asked.length, 0);
    assert.equal(await second.receive('news', subscription, 'after a restart'), 'after a restart');
  });

  test('for another sender key, or renewed, is a new one with new keys; the keys of before open what is on its way', async () => {
    const app = new App(new Disk());
    const first = await app.channels.subscribe('news');
    const second = await app.channels.subscribe('news', { applicationServerKey: 'BKey' });
    const third = await app.channels.subscribe('news', { applicationServerKey: 'BKey', renew: true });
    assert.deepEqual(
      app.asked.map(({ request }) => request),
      [{ channel: 'news' }, { channel: 'news', key: 'BKey' }, { channel: 'news', key: 'BKey' }],
    );
    assert.equal(new Set([first, second, third].map(({ keys }) => keys.p256dh)).size, 3);
    assert.equal(await app.receive('news', third, 'now'), 'now');
    assert.equal(await app.receive('news', second, 'before'), 'before');
    assert.equal(await app.receive('news', first, 'long ago'), 'cannot-decrypt');
  });

  test('that is ended has no endpoint, and what is on its way is opened still', async () => {
    const app = new App(new Disk());
    const subscription = await app.channels.subscribe('news');
    await app.channels.unsubscribe('news');
    assert.deepEqual(app.asked.at(-1)!.request, { channel: 'news', end: true });
    assert.equal(await app.receive('news', subscription, 'late'), 'late');
    const next = await app.channels.subscribe('news');
    assert.notEqual(next.endpoint, subscription.endpoint);
  });

  test('is asked for anew on the next connection when the answer was lost', async () => {
    const app = new App(new Disk());
    const { answer } = app;
    app.answer = undefined;
    const waiting = app.channels.subscribe('news');
    await until(() => app.asked.length === 1);
    app.answer = answer;
    app.channels.handleOnline();
    assert.equal((await waiting).endpoint, 'https://push.example/push/news-2');
  });

  test('waits for a connection', async () => {
    const app = new App(new Disk());
    app.isOnline = false;
    const waiting = app.channels.subscribe('news');
    await new Promise(setImmediate);
    assert.equal(app.asked.length, 0);
    app.isOnline = true;
    app.channels.handleOnline();
    assert.equal((await waiting).endpoint, 'https://push.example/push/news-1');
  });

  test('that is being renewed is not told again after a crash: the endpoint may have ended', async () => {
    const disk = new Disk();
    const first = new App(disk);
    const old = await first.channels.subscribe('news');
    first.answer = undefined;
    void first.channels.subscribe('news', { renew: true });
    await until(() => first.asked.length === 2);
    const second = new App(disk);
    await second.channels.subscribe('news');
    assert.equal(second.asked.length, 1);
    assert.equal(await second.receive('news', old, 'on its way'), 'on its way');
  });

  test('is told only when it is stored', async () => {
    const disk = new Disk();
    const app = new App(disk);
    disk.failure = new DeviceError('STORAGE_FAILED', 'full');
    await assert.rejects(app.channels.subscribe('news'), hasCode('STORAGE_FAILED'));
    disk.failure = undefined;
    assert.equal((await app.channels.subscribe('news')).endpoint, 'https://push.example/push/news-2');
  });

  test('two at once for one channel are one', async () => {
    const app = new App(new Disk());
    const [one, other] = await Promise.all([app.channels.subscribe('a'), app.channels.subscribe('a')]);
    assert.deepEqual(one, other);
    assert.equal(app.asked.length, 1);
  });
});

describe('what does not come about', () => {
  test('a refusal of the server is told with its name, and whether it may pass', async () => {
    const app = new App(new Disk());
    for (const [refusal, retryable] of [
      ['channels-full', false],
      ['hub-away', true],
    ] as const) {
      app.answer = ({ channel }) => ({ channel, error: { code: refusal, message: 'no' } });
      await assert.rejects(app.channels.subscribe('news'), hasCode('REFUSED', { refusal, retryable }));
    }
  });

  test('without cryptography nothing is subscribed', async () => {
    const app = new App(new Disk(), false);
    await assert.rejects(app.channels.subscribe('news'), hasCode('CRYPTO_MISSING'));
    assert.equal(app.asked.length, 0);
  });

  test('who gives up, waits no longer, and holds up nobody', async () => {
    const app = new App(new Disk());
    const { answer } = app;
    app.answer = undefined;
    const controller = new AbortController();
    const waiting = app.channels.subscribe('news', { signal: controller.signal });
    await until(() => app.asked.length === 1);
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, { message: 'enough' });
    app.answer = answer;
    const next = await app.channels.subscribe('news');
    assert.equal(next.endpoint, 'https://push.example/push/news-2');
    // The late answer to the first question is nobody's.
    assert.equal(app.tell({ channel: 'news', endpoint: 'https://push.example/late' }, app.asked[0]), false);
    await assert.rejects(app.channels.subscribe('b', { signal: controller.signal }), { message: 'enough' });
  });

  test('when the line closes, whoever waits is told, and whoever asks later', async () => {
    const app = new App(new Disk());
    app.answer = undefined;
    const waiting = [app.channels.subscribe('a'), app.channels.subscribe('b')];
    await until(() => app.asked.length === 1);
    app.channels.close(new DeviceError('CLOSED', 'closed'));
    for (const one of waiting) await assert.rejects(one, hasCode('CLOSED'));
    await assert.rejects(app.channels.unsubscribe('a'), hasCode('CLOSED'));
  });

  test('beyond the limit there is no channel more, until one ends', async () => {
    const app = new App(new Disk());
    for (let count = 0; count < hostLimits.pushChannelsMax; count += 1)
      await app.channels.subscribe(`c${count}`);
    await assert.rejects(app.channels.subscribe('one-more'), hasCode('TOO_MANY'));
    await app.channels.unsubscribe('c7');
    await app.channels.subscribe('one-more');
    assert(!app.channels.isSealed({ channel: 'c7', body: new Uint8Array(), userProperties: sealedAs('x') }));
  });

  test('what all channels at most take is below what a stored text may have', async () => {
    const disk = new Disk();
    const app = new App(disk);
    const applicationServerKey = 'B'.repeat(87);
    app.answer = ({ channel }) => ({ channel, endpoint: `https://push.example/${'x'.repeat(100)}` });
    for (let count = 0; count < hostLimits.pushChannelsMax; count += 1) {
      const channel = `${count}-`.padEnd(128, 'c');
      await app.channels.subscribe(channel, { applicationServerKey });
      await app.channels.subscribe(channel, { applicationServerKey, renew: true });
    }
    assert(Buffer.byteLength(disk.text!) < 64 * 1_024);
  });

  test('what is stored and cannot be read back is an error, not an empty list', async () => {
    const disk = new Disk();
    disk.text = '{';
    assert.throws(() => new App(disk), hasCode('STORAGE_FAILED'));
  });

  test('messages that are not sealed, of other channels, and answers to others are left alone', async () => {
    const app = new App(new Disk());
    await app.channels.subscribe('news');
    const body = new Uint8Array();
    const sealed = sealedAs('aes128gcm');
    assert(app.channels.isSealed({ channel: 'news', body, userProperties: sealed }));
    assert(!app.channels.isSealed({ channel: 'news', body, userProperties: [] }));
    assert(!app.channels.isSealed({ channel: 'other', body, userProperties: sealed }));
    assert(!app.channels.isSealed({ channel: undefined, body, userProperties: sealed }));
    const answer = encodeUtf8('{"channel":"news","endpoint":"https://x"}');
    assert(!app.channels.handleAnswer('$line/endpoint/answer', undefined, answer));
    assert(!app.channels.handleAnswer('$line/endpoint/answer', encodeUtf8('99'), answer));
    assert(!app.channels.handleAnswer('$line/endpoint/news', encodeUtf8('wakeline-push-1'), answer));
  });
});

function sealedAs(coding: string): readonly (readonly [string, string])[] {
  return [['content-encoding', coding]];
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn += 1) {
    assert(turn < 10_000, 'it does not come about');
    await new Promise(setImmediate);
  }
}
