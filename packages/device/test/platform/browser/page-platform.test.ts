/** The page life cycle, told by events that the test fires as a browser does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PagePlatform, type PageLike } from '../../../src/platform/browser/page-platform.js';
import { RecordingPlatformHandler } from '../recording-handler.js';

/** A window with as much as a platform uses. */
class FakePage extends EventTarget {
  readonly document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  readonly navigator: { onLine: boolean; connection?: EventTarget & { type?: string } } = { onLine: true };
  readonly performance = globalThis.performance;
  readonly crypto = globalThis.crypto as unknown as PageLike['crypto'];
  readonly setTimeout = (callback: () => void, ms: number): unknown => setTimeout(callback, ms);
  readonly clearTimeout = (timer: never): void => clearTimeout(timer);

  show(visibilityState: 'visible' | 'hidden'): void {
    this.document.visibilityState = visibilityState;
    this.document.dispatchEvent(new Event('visibilitychange'));
  }

  setOnLine(onLine: boolean): void {
    this.navigator.onLine = onLine;
    this.dispatchEvent(new Event(onLine ? 'online' : 'offline'));
  }
}

function start(page = new FakePage()): {
  readonly page: FakePage;
  readonly platform: PagePlatform;
  readonly handler: RecordingPlatformHandler;
} {
  const platform = new PagePlatform(page as unknown as PageLike);
  const handler = new RecordingPlatformHandler();
  platform.start(handler);
  return { page, platform, handler };
}

test('a page in front is active, a hidden one in the background; one that comes back looks what is due', () => {
  const { page, platform, handler } = start();
  assert.equal(platform.activity, 'active');
  page.show('hidden');
  assert.equal(platform.activity, 'background');
  assert.deepEqual(handler.take(), ['background']);
  page.show('visible');
  assert.deepEqual(handler.take(), ['active', 'wake']);
});

test('a frozen page, and one that is put away, is not there; it comes back with a look at what is due', () => {
  const { page, handler } = start();
  for (const [target, gone, back] of [
    [page.document, 'freeze', 'resume'],
    [page, 'pagehide', 'pageshow'],
  ] as const) {
    target.dispatchEvent(new Event(gone));
    assert.deepEqual(handler.take(), ['no network']);
    target.dispatchEvent(new Event(back));
    assert.deepEqual(handler.take(), ["network ''", 'wake']);
  }
});

test('the first pageshow is nothing new', () => {
  const { page, handler } = start();
  page.dispatchEvent(new Event('pageshow'));
  assert.deepEqual(handler.take(), []);
});

test('a page that is offline has no network, and a frozen one gets none by coming online', () => {
  const { page, handler } = start();
  page.setOnLine(false);
  assert.deepEqual(handler.take(), ['no network']);
  page.document.dispatchEvent(new Event('freeze'));
  page.setOnLine(true);
  assert.deepEqual(handler.take(), ['no network', 'no network']);
  page.document.dispatchEvent(new Event('resume'));
  assert.deepEqual(handler.take(), ["network ''", 'wake']);
});

test('a page that is offline from the start says so', () => {
  const page = new FakePage();
  page.navigator.onLine = false;
  assert.deepEqual(start(page).handler.take(), ['no network']);
});

test('another kind of network is another network; another bandwidth is not', () => {
  const page = new FakePage();
  page.navigator.connection = Object.assign(new EventTarget(), { type: 'wifi' });
  const { handler } = start(page);
  page.navigator.connection.dispatchEvent(new Event('change'));
  assert.deepEqual(handler.take(), []);
  page.navigator.connection.type = 'cellular';
  page.navigator.connection.dispatchEvent(new Event('change'));
  assert.deepEqual(handler.take(), ['no network', "network ''"]);
});

test('stopped, it tells nothing any more', async () => {
  const page = new FakePage();
  page.navigator.connection = Object.assign(new EventTarget(), { type: 'wifi' });
  const { platform, handler } = start(page);
  await platform.stop();
  page.show('hidden');
  page.setOnLine(false);
  page.document.dispatchEvent(new Event('freeze'));
  page.dispatchEvent(new Event('pagehide'));
  page.navigator.connection.type = 'cellular';
  page.navigator.connection.dispatchEvent(new Event('change'));
  assert.deepEqual(handler.take(), []);
});

test('timers, chance and clocks are those of the page', async () => {
  const { platform } = start();
  const { monotonic, wall } = platform.now();
  assert(Number.isInteger(monotonic) && Math.abs(wall - Date.now()) < 60_000);
  await new Promise<void>((resolve) => platform.setTimer(resolve, 1));
  const cancel = platform.setTimer(() => assert.fail('taken back'), 1);
  cancel();
  await new Promise<void>((resolve) => platform.setTimer(resolve, 20));
  const numbers = new Set(Array.from({ length: 20 }, () => platform.random()));
  assert.equal(numbers.size, 20);
  for (const number of numbers) assert(Number.isInteger(number) && number >= 0 && number < 2 ** 32);
});
