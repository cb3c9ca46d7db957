/**
 * A real browser whose push service is this server: Debian's Firefox, a page that subscribes, and an application
 * server with the `web-push` package. The pushes reach the service worker, notifications are shown, receipts say
 * so; whoever was killed, restarted, away or asleep meanwhile.
 *
 * WAKELINE_LONG=1 wakes the sleeping browser three times.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Firefox, FIREFOX, prepareFirefox, pushPreferences } from './firefox.js';
import type { FirefoxOptions } from './firefox.js';
import { PATIENCE_MS, Program, runProgram, whyMissing } from './program.js';
import { PushSender } from './push-sender.js';
import { PushSite } from './push-site.js';
import { ServerProcess, temporaryDirectory, until, wakelineBin } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';

describe('Firefox with its push service here', { skip: whyMissing(FIREFOX) ?? false }, () => {
  const directory = temporaryDirectory('wakeline-firefox');
  const sender = new PushSender();
  let options: FirefoxOptions;
  let site: PushSite;
  let server: ServerProcess;
  let firefox: Firefox | undefined;
  let subscription: { readonly endpoint: string };

  before(async () => {
    site = await PushSite.start();
    server = await ServerProcess.create(join(directory.path, 'data'));
    await server.start();
    options = {
      profileDirectory: join(directory.path, 'profile'),
      preferences: pushPreferences(`ws://127.0.0.1:${server.httpPort}/`),
    };
  });

  after(async () => {
    await firefox?.kill();
    site.close();
    const code = await server.stop();
    directory.remove();
    assert.equal(code, 0);
  });

  test('a page subscribes, a push is shown, and the receipt says so', async () => {
    firefox = await Firefox.start(options);
    await firefox.open(site.url);
    subscription = (await firefox.call('subscribe', sender.publicKey)) as { endpoint: string };
    assert.equal(new URL(subscription.endpoint).host, new URL(server.url).host);

    const { receipt } = await sender.send(subscription, 'the first', { wantsReceipt: true });
    const seen = await site.push('the first');
    assert.deepEqual(seen.shown, ['the first']);
    assert.deepEqual(await firefox.call('shown'), ['the first']);
    await sender.stage(receipt, 'acknowledged');

    await sender.send(subscription, undefined);
    await until(
      () => site.pushes.length === 2,
      PATIENCE_MS,
      () => `a push without a body arrives: ${JSON.stringify(site.reports)}`,
    );
    assert.equal(site.pushes[1].text, null);
  });

  test('an endpoint takes only what its application server has signed', async () => {
    const stranger = await new PushSender().push(subscription, 'from a stranger');
    assert.equal(stranger.status, 403, stranger.body);
    const unsigned = await fetch(subscription.endpoint, { method: 'POST', headers: { TTL: '60' } });
    assert.equal(unsigned.status, 401, await unsigned.text());
  });

  test('the server is killed and comes back: the browser too, and has each push once', async () => {
    const before = site.pushes.length;
    const receipts: string[] = [];
    for (const name of ['before the kill', 'right before the kill']) {
      receipts.push((await sender.send(subscription, name, { wantsReceipt: true })).receipt);
    }
    await server.kill();
    await server.start();
    receipts.push((await sender.send(subscription, 'after the kill', { wantsReceipt: true })).receipt);
    await site.push('after the kill');
    for (const receipt of receipts) await sender.stage(receipt, 'acknowledged');
    assert.deepEqual(site.texts.slice(before).toSorted(), [
      'after the kill',
      'before the kill',
      'right before the kill',
    ]);
    assert.equal(await firefox!.call('endpoint'), subscription.endpoint, 'the subscription is the same');
  });

  test('the browser is restarted with pushes waiting: each comes once, the newest of a topic, no expired one', async () => {
    await firefox!.quit();
    firefox = undefined;
    const before = site.pushes.length;
    const send = async (body: string, more: { topic?: string; ttlSeconds?: number } = {}): Promise<string> =>
      (await sender.send(subscription, body, { ...more, wantsReceipt: true })).receipt;
    const one = await send('one');
    const old = await send('weather: rain', { topic: 'weather' });
    const older = await send('weather: storm', { topic: 'weather' });
    const short = await send('too late', { ttlSeconds: 1 });
    const atOnce = await send('now or never', { ttlSeconds: 0 });
    const news = await send('news', { topic: 'news' });
    await server.kill();
    await server.start();
    const newest = await send('weather: sun', { topic: 'weather' });
    const last = await send('last');
    for (const receipt of [old, older]) await sender.stage(receipt, 'replaced');
    for (const receipt of [short, atOnce]) await sender.stage(receipt, 'expired');
    await sender.stage(one, 'stored');

    firefox = await Firefox.start(options);
    await site.push('last');
    for (const receipt of [one, news, newest, last]) await sender.stage(receipt, 'acknowledged');
    // The browser shows several at once, in any order; then they have all been shown.
    assert.deepEqual(site.texts.slice(before).toSorted(), ['last', 'news', 'one', 'weather: sun']);
    await firefox.open(site.url);
    assert.deepEqual(((await firefox.call('shown')) as string[]).toSorted(), [
      'last',
      'news',
      'one',
      'weather: sun',
    ]);
  });

  test('the browser is killed: what it had not acknowledged comes again, and nothing is shown twice', async () => {
    const before = site.pushes.length;
    await sender.send(subscription, 'before the browser is killed');
    await site.push('before the browser is killed');
    await firefox!.kill();
    firefox = undefined;
    await sender.send(subscription, 'while it is dead');
    firefox = await Firefox.start(options);
    await site.push('while it is dead');
    assert.deepEqual(site.texts.slice(before), ['before the browser is killed', 'while it is dead']);
  });

  test('the browser sleeps in a sleepbox: a push wakes it, is shown, and it sleeps again', async () => {
    await firefox!.quit();
    firefox = undefined;
    const isConnected = async (): Promise<boolean> => {
      const response = await fetch(`${server.url}/v1/devices`);
      const { devices } = (await response.json()) as { devices: { readonly connected: boolean }[] };
      return devices.some(({ connected }) => connected);
    };
    await until(
      async () => !(await isConnected()),
      PATIENCE_MS,
      () => 'the server knows that the browser is gone',
    );
    const name = `firefox-${process.pid}`;
    const events: BoxEvent[] = [];
    const { command, env } = prepareFirefox(options);
    const flags = ['--json', '--name', name, '--window', '5s', '--wake', `tcp:127.0.0.1:${server.httpPort}`];
    const box = new Program(process.execPath, [wakelineBin, 'sleepbox', ...flags, '--', ...command], {
      env,
      onLine: (line) => events.push(JSON.parse(line) as BoxEvent),
    });
    const event = async (type: string, from: number): Promise<BoxEvent> => {
      const find = (): BoxEvent | undefined => events.slice(from).find((each) => each.type === type);
      await until(
        () => find() !== undefined || !box.isRunning,
        PATIENCE_MS,
        () => `the box says '${type}': ${box.stdout}${box.stderr}`,
      );
      assert(find() !== undefined, `the box ended: ${box.stdout}${box.stderr}`);
      return find()!;
    };
    const isAsleep = (): boolean =>
      events.findLast(({ type }) => ['launch', 'asleep', 'wake'].includes(type))?.type === 'asleep';
    const wakes = (): number => events.filter(({ type }) => type === 'wake').length;
    /** The user takes it while it sleeps, if nothing else wakes it: what had come before is read then. */
    const take = async (): Promise<void> => {
      const before = wakes();
      const ctl = [wakelineBin, 'sleepbox', 'ctl', 'wake', '--name', name];
      const taken = await runProgram(process.execPath, ctl);
      assert.equal(taken.code, 0, taken.stderr);
      await until(
        () => wakes() > before,
        PATIENCE_MS,
        () => `the box was taken: ${box.stdout}${box.stderr}`,
      );
    };
    try {
      await until(
        async () => {
          if (await isConnected()) return true;
          assert(box.isRunning, `the box ended: ${box.stdout}${box.stderr}`);
          // On a busy machine it may take more than one window until it is connected.
          if (isAsleep()) await take();
          return false;
        },
        2 * PATIENCE_MS,
        () => `the browser is connected: ${box.stdout}${box.stderr}`,
      );
      // That may have been in the last moment of a window: then the server's answer would wake it instead of the push.
      const sleeps = (): Promise<void> =>
        until(isAsleep, PATIENCE_MS, () => `the browser sleeps: ${box.stdout}${box.stderr}`);
      await sleeps();
      await take();
      await sleeps();
      for (const body of isLong
        ? ['to one who sleeps', 'and again', 'and a third time']
        : ['to one who sleeps']) {
        const from = events.length;
        const { receipt } = await sender.send(subscription, body, { wantsReceipt: true, urgency: 'high' });
        const seen = await site.push(body);
        assert(seen.shown.includes(body));
        await sender.stage(receipt, 'acknowledged');
        assert.equal((await event('wake', from)).cause, 'data');
        assert.equal((await event('asleep', from)).by, 'window-end');
        const woken = events.slice(from).filter(({ type }) => type === 'wake');
        assert.equal(woken.length, 1, 'one push is one wake');
      }
    } finally {
      const end = await box.end('SIGTERM');
      assert.equal(end.code, 143, end.stderr);
    }
  });

  test('a subscription is ended: its endpoint is gone for good', async () => {
    firefox = await Firefox.start(options);
    await firefox.open(site.url);
    assert.equal(await firefox.call('endpoint'), subscription.endpoint);
    assert.equal(await firefox.call('unsubscribe'), true);
    await until(
      async () => (await sender.push(subscription, 'nobody wants it')).status === 410,
      PATIENCE_MS,
      () => 'a push to it is answered with 410',
    );
    assert.equal(await firefox.call('endpoint'), null);
    assert.deepEqual(
      site.reports.filter(({ type }) => type === 'subscription-change'),
      [],
    );
  });
});

/** A line of the box's timeline; which fields are there depends on the type. */
interface BoxEvent {
  readonly type: string;
  readonly cause: string;
  readonly by: string;
}
