/** AppState and NetInfo, by objects with their documented interfaces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AppPlatform,
  type AppPlatformOptions,
  type NetInfoStateLike,
} from '../../../src/platform/react-native/app-platform.js';
import { RecordingPlatformHandler } from '../recording-handler.js';

class FakeAppState {
  currentState: string | null = 'active';
  readonly #listeners = new Set<(state: string) => void>();

  addEventListener(_type: 'change', listener: (state: string) => void): { remove(): void } {
    this.#listeners.add(listener);
    return { remove: () => this.#listeners.delete(listener) };
  }

  change(state: string): void {
    this.currentState = state;
    for (const listener of this.#listeners) listener(state);
  }
}

class FakeNetInfo {
  readonly #listeners = new Set<(state: NetInfoStateLike) => void>();

  addEventListener(listener: (state: NetInfoStateLike) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  change(type: string, details: NetInfoStateLike['details'], isConnected: boolean | null = true): void {
    for (const listener of this.#listeners) listener({ type, isConnected, details });
  }
}

function start(more: Partial<AppPlatformOptions> = {}) {
  const appState = new FakeAppState();
  const netInfo = new FakeNetInfo();
  const platform = new AppPlatform({ appState, netInfo, ...more });
  const handler = new RecordingPlatformHandler();
  platform.start(handler);
  return { appState, netInfo, platform, handler };
}

test('in front, in the background, and back with a look at what is due; what an iPhone passes through is nothing', () => {
  const { appState, platform, handler } = start();
  assert.equal(platform.activity, 'active');
  appState.change('inactive');
  assert.deepEqual(handler.take(), []);
  assert.equal(platform.activity, 'active');
  appState.change('background');
  assert.equal(platform.activity, 'background');
  appState.change('active');
  assert.deepEqual(handler.take(), ['background', 'active', 'wake']);
});

test('an app that something wakes says that it sleeps, for its window', () => {
  let done = 0;
  const options = { inBackground: 'asleep', windowMs: 25_000, onDone: () => void (done += 1) } as const;
  const { appState, platform, handler } = start(options);
  appState.change('background');
  platform.wake();
  assert.deepEqual(handler.take(), ['asleep', 'wake']);
  assert.equal(platform.windowMs, 25_000);
  platform.handleDone();
  assert.equal(done, 1);
});

test('networks have a name where the app may know it, and none where not', () => {
  const { netInfo, handler } = start();
  netInfo.change('unknown', null, null);
  assert.deepEqual(handler.take(), []);
  netInfo.change('wifi', { bssid: '02:00', ssid: 'home' });
  netInfo.change('wifi', { bssid: null, ssid: 'home' });
  netInfo.change('wifi', { bssid: null, ssid: null });
  netInfo.change('cellular', { carrier: 'Example' });
  netInfo.change('ethernet', { ipAddress: '10.0.0.1' });
  netInfo.change('none', null, false);
  assert.deepEqual(handler.take(), [
    "network 'wifi:02:00'",
    "network 'wifi:home'",
    "network ''",
    "network 'cellular:Example'",
    "network ''",
    'no network',
  ]);
});

test('stopped, it tells nothing any more', async () => {
  const { appState, netInfo, platform, handler } = start();
  await platform.stop();
  appState.change('background');
  netInfo.change('none', null, false);
  platform.wake();
  assert.deepEqual(handler.take(), []);
});

test('without NetInfo it goes without networks', async () => {
  const { appState, platform, handler } = start({ netInfo: undefined });
  appState.change('background');
  assert.deepEqual(handler.take(), ['background']);
  await platform.stop();
});
