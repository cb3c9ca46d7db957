/**
 * The SDK's behaviours, one suite, in Node (over TCP) and in Chromium (over WebSocket): the same build of the package, bundled for the
 * browser. And what a page alone has: tabs, its life cycle, its storages.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Chromium, CHROMIUM, type Tab } from './chromium.js';
import { behaviours } from './device-suite/behaviours.js';
import type { Page } from './device-suite/page-app.js';
import { bundle, calledDeviceId, DeviceStage } from './device-suite/stage.js';
import type { Behaviour, Facts } from './device-suite/world.js';
import { PATIENCE_MS, Program, whyMissing } from './program.js';
import { until } from './support.js';

/** How long a step may take: a server starts within it, and the app comes back to it, while much else goes on. */
const STEP_MS_MAX = 180_000;

const userOf = (environment: string, index: number): string => `${environment}-${index}`;
const users = behaviours.flatMap((_, index) => ['node', 'chromium'].map((name) => userOf(name, index)));

async function factsOf(
  stage: DeviceStage,
  { isCalled }: Behaviour,
  user: string,
  url: string,
): Promise<Facts> {
  return stage.makeDevice(isCalled === true ? calledDeviceId(user) : user, url);
}

describe('the SDK in Node', () => {
  let stage: DeviceStage;
  before(async () => {
    stage = await DeviceStage.open(users);
  });
  after(() => stage.close());

  for (const [index, behaviour] of behaviours.entries()) {
    test(behaviour.title, async () => {
      const facts = await factsOf(stage, behaviour, userOf('node', index), stage.tcpUrl);
      const script = fileURLToPath(new URL('device-suite/node-app.js', import.meta.url));
      const storage = join(stage.path, `device-${index}`);
      for (const step of behaviour.steps.keys()) {
        const parameters = [stage.controlUrl, JSON.stringify(facts), behaviour.title, String(step), storage];
        const app = new Program(process.execPath, [script, ...parameters]);
        const setNetwork = async (isThere: boolean): Promise<void> => {
          const from = app.lines.length;
          app.write(`network ${isThere}\n`);
          await app.line(/^network$/, from);
        };
        stage.app = { facts, setNetwork };
        try {
          const find = (): string | undefined => app.lines.find((line) => /^(?:passed|failed )/.test(line));
          await until(
            () => find() !== undefined || !app.isRunning,
            STEP_MS_MAX,
            () => `step ${step} ends`,
          );
          const end = find() ?? 'it ended by itself';
          await stage.settled();
          assert.equal(end, 'passed', end.includes('"') ? JSON.parse(end.slice(7)) : app.stderr);
        } finally {
          await app.end('SIGKILL');
        }
      }
    });
  }
});

describe('the SDK in Chromium', { skip: whyMissing(CHROMIUM) ?? false }, () => {
  let stage: DeviceStage;
  let chromium: Chromium;
  before(async () => {
    const script = await bundle(new URL('device-suite/page-app.js', import.meta.url));
    stage = await DeviceStage.open(users, script);
    chromium = await Chromium.start(join(stage.path, 'profile'));
  });
  after(async () => {
    await chromium?.kill();
    await stage?.close();
  });

  /** Calls a function of the page. */
  async function call(tab: Tab, name: keyof Page, ...parameters: readonly unknown[]): Promise<unknown> {
    return tab.evaluate(`page.${name}(...${JSON.stringify(parameters)})`);
  }

  async function use(tab: Tab, facts: Facts): Promise<void> {
    await tab.command('Network.enable');
    stage.app = {
      facts,
      async setNetwork(isThere) {
        const conditions = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
        await tab.command('Network.emulateNetworkConditions', { offline: !isThere, ...conditions });
        await until(
          async () => (await tab.evaluate('navigator.onLine')) === isThere,
          PATIENCE_MS,
          () => `the page knows that it is ${isThere ? 'online' : 'offline'}`,
        );
      },
    };
  }

  for (const [index, behaviour] of behaviours.entries()) {
    test(behaviour.title, async () => {
      const facts = await factsOf(stage, behaviour, userOf('chromium', index), stage.webSocketUrl);
      const tab = await chromium.open(stage.siteUrl);
      await use(tab, facts);
      for (const step of behaviour.steps.keys()) {
        // Another address of the same page, so that it is loaded anew.
        if (step > 0) await tab.goTo(`${stage.siteUrl}/?step=${step}`);
        const parameters = JSON.stringify([stage.controlUrl, facts, behaviour.title, step]);
        await tab.evaluate(`page.runStep(...${parameters})`, STEP_MS_MAX);
        await stage.settled();
      }
      await tab.close();
    });
  }

  async function comesTo(tab: Tab, name: string, state: string): Promise<void> {
    let last: unknown;
    await until(
      async () => (last = await call(tab, 'state', name)) === state,
      PATIENCE_MS,
      () => `the line is ${state}, and not ${String(last)}`,
    );
  }

  test('of two tabs one has the line; the other is refused, or waits until the first is closed', async () => {
    const facts = await stage.makeDevice('tabs', stage.webSocketUrl);
    const [first, second] = [await chromium.open(stage.siteUrl), await chromium.open(stage.siteUrl)];
    await call(first, 'open', 'line', facts);
    await comesTo(first, 'line', 'online');
    await call(second, 'open', 'refused', facts);
    await comesTo(second, 'refused', 'STORAGE_LOCKED');
    await call(second, 'open', 'waits', facts, { otherTab: 'wait' });
    assert.equal(await call(second, 'state', 'waits'), 'stopped');
    await call(second, 'open', 'gives up', facts, { otherTab: 'wait' });
    await call(second, 'close', 'gives up');
    await comesTo(first, 'line', 'online');
    await first.close();
    await comesTo(second, 'waits', 'online');
    await second.close();
  });

  test('a frozen page is not there for the server, and is back with what waited when it runs again', async () => {
    const facts = await stage.makeDevice('frozen', stage.webSocketUrl);
    const tab = await chromium.open(stage.siteUrl);
    await use(tab, facts);
    await call(tab, 'open', 'line', facts);
    await comesTo(tab, 'line', 'online');
    assert.equal(await stage.control.activity(), 'active');
    await tab.command('Page.setWebLifecycleState', { state: 'frozen' });
    await until(
      async () => (await stage.control.activity()) === undefined,
      PATIENCE_MS,
      () => 'the server knows that it is gone',
    );
    await stage.control.send('news', 'while frozen');
    await tab.command('Page.setWebLifecycleState', { state: 'active' });
    await comesTo(tab, 'line', 'online');
    await until(
      async () => ((await call(tab, 'texts', 'line')) as readonly string[]).includes('while frozen'),
      PATIENCE_MS,
      () => 'what waited is there',
    );
    await tab.close();
  });

  for (const storage of ['indexedDB', 'localStorage'] as const) {
    test(`${storage} keeps what was handled, over a kill of the browser`, async () => {
      const facts = await stage.makeDevice(`kept-${storage}`, stage.webSocketUrl);
      let tab = await chromium.open(stage.siteUrl);
      await use(tab, facts);
      await call(tab, 'open', 'line', facts, { storage });
      await comesTo(tab, 'line', 'online');
      const endpoint = await call(tab, 'subscribePush', 'line');
      assert.match(String(endpoint), /^http:/);
      await stage.control.send('news', 'handled');
      await until(
        async () => ((await call(tab, 'texts', 'line')) as readonly string[]).includes('handled'),
        PATIENCE_MS,
        () => 'it comes',
      );
      await call(tab, 'close', 'line');
      if (storage === 'indexedDB') {
        await chromium.kill();
        chromium = await Chromium.start(join(stage.path, 'profile'));
      } else await tab.close();
      tab = await chromium.open(stage.siteUrl);
      await call(tab, 'open', 'line', facts, { storage });
      await comesTo(tab, 'line', 'online');
      assert.equal(await call(tab, 'subscribePush', 'line'), endpoint);
      await stage.control.send('news', 'next');
      await until(
        async () => ((await call(tab, 'texts', 'line')) as readonly string[]).includes('next'),
        PATIENCE_MS,
        () => 'the next one comes',
      );
      assert.deepEqual(await call(tab, 'texts', 'line'), ['next']);
      await tab.close();
    });
  }
});
