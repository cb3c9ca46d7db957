/** Sleep and waking with real processes, sockets and freezers. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { findCgroupParents } from '../src/freezer.js';
import type { SleepboxOptions } from '../src/index.js';
import { echoInWindows, isRunning, keepAwake, startBox, until } from './support.js';

/** For one test; a machine that does much else takes long to start a program. */
const timeout = 180_000;

const canCgroup = (kind: string): boolean =>
  process.getuid?.() === 0 && findCgroupParents().some((parent) => parent.kind === kind);

const variants: [string, Partial<SleepboxOptions>, boolean][] = [
  ['default', {}, true],
  ['cgroup v2', { freezer: 'cgroup-v2' }, canCgroup('cgroup-v2')],
  ['cgroup v1', { freezer: 'cgroup-v1' }, canCgroup('cgroup-v1')],
  ['signals', { freezer: 'signal' }, true],
  ['proc-poll', { watcher: 'proc-poll' }, true],
];

describe('wakes', { concurrency: 2 }, () => {
  for (const [name, options, isPossible] of variants) {
    const settings = { timeout, skip: !isPossible };
    test(`${name}: on data, which the program answers, and sleeps again`, settings, async (context) => {
      const started = await startBox(context, options);
      const { next, box, events } = started;
      await next('asleep');
      await echoInWindows(started, 'a');
      const wake = await next('wake');
      assert.equal(wake.cause, 'data');
      assert.ok(wake.latencyMs >= 0, `${wake.latencyMs}`);
      await next('asleep');
      await until(() => box.status().phase === 'asleep');
      await echoInWindows(started, 'b');
      const wakes = events.filter((event) => event.type === 'wake' && event.cause === 'data').length;
      assert.ok(wakes >= 2, `${wakes}`);
      assert.equal(box.summary.wakes.data, wakes);
      // Bytes are counted by the helper. Where that cannot answer in time polling takes over, and says so.
      const isPolling = events.some((event) => event.type === 'watcher' && event.watcher === 'proc-poll');
      if (name !== 'proc-poll' && !isPolling) assert.ok((box.summary.receivedBytes ?? 0) > 40);
    });

    test(`${name}: on FIN`, settings, async (context) => {
      const { server, next, box } = await startBox(context, options);
      await next('asleep');
      server.socket?.end();
      assert.equal((await next('wake')).cause, 'fin');
      const letSleep = keepAwake(box);
      const output = await next('output');
      letSleep();
      assert.equal(output.line, 'end');
      await next('asleep'); // and not again for the same FIN
    });

    test(`${name}: on RST`, settings, async (context) => {
      const { server, next, box } = await startBox(context, options);
      await next('asleep');
      server.socket?.resetAndDestroy();
      assert.equal((await next('wake')).cause, 'rst');
      const letSleep = keepAwake(box);
      assert.equal((await next('output')).line, 'error ECONNRESET');
      letSleep();
    });
  }

  test('not on UDP, not on keepalive probes', { timeout }, async (context) => {
    const { server, next, box } = await startBox(context, { windowMs: 20_000 });
    server.send({ udp: true });
    const { udpPort } = await server.next('udpPort');
    await box.sleep();
    const udp = createSocket('udp4');
    context.after(() => udp.close());
    // The idle time is one second, and so is the interval: two probes at least.
    server.socket?.setKeepAlive(true, 1_000);
    for (let i = 0; i < 25; i++) {
      udp.send('ring', Number(udpPort), '127.0.0.1');
      await delay(100);
    }
    assert.equal(box.status().phase, 'asleep');
    assert.equal(box.summary.wakes.data, 0);
    await server.echo('one byte is enough');
    assert.equal((await next('wake')).cause, 'data');
    await server.next('udpMessage'); // they were waiting
  });

  test('only marked connections wake', { timeout }, async (context) => {
    // It is put to sleep by hand: by its window it could be asleep before its connection is marked, and nothing would wake it.
    const options = { marks: [{ peer: '127.0.0.1:9' }], windowMs: 60_000 };
    const { server, next, box } = await startBox(context, options);
    await box.sleep();
    assert.equal((await next('asleep')).marked, 0);
    server.send({ echo: 1 });
    await delay(500);
    assert.equal(box.status().phase, 'asleep');
    await box.wake();
    await server.next('echo');
    const mark = await server.control({ cmd: 'mark', localPort: server.socket?.remotePort ?? 0 });
    assert.equal(mark['ok'], true);
    await box.sleep();
    assert.equal((await next('asleep')).marked, 1);
    await server.echo(2);
  });
});

describe('the freeze race', { concurrency: 4 }, () => {
  for (const [name, delayMs, options] of [
    ['prompt answers', 0, {}],
    ['answers after 30 ms', 30, {}],
    ['signals', 0, { freezer: 'signal' }],
    ['polling', 30, { watcher: 'proc-poll', windowMs: 200 }],
  ] as const) {
    test(`${name}: 75 messages at random moments, none stuck`, { timeout }, async (context) => {
      const started = await startBox(context, { windowMs: 120, ...options });
      const { box, events } = started;
      for (let i = 0; i < 75; i++) {
        await delay(Math.random() * 260);
        const lost = setTimeout(() => {
          console.error(JSON.stringify({ lost: i, status: box.status(), events: events.slice(-5) }));
        }, 5_000);
        await echoInWindows(started, i, delayMs);
        clearTimeout(lost);
      }
      const { wakes, windowsExtended } = box.summary;
      assert.ok(wakes.data + windowsExtended > 0);
    });
  }
});

describe('windows', { concurrency: 2 }, () => {
  test('data arriving in a window begin a new one; done ends it early', { timeout }, async (context) => {
    const windowMs = 5_000;
    const { server, next, box } = await startBox(context, { windowMs });
    await delay(700);
    await server.echo(1);
    assert.equal((await next('window')).cause, 'data');
    const asleep = await next('asleep');
    assert.ok(asleep.awakeMs >= windowMs + 600, `${asleep.awakeMs}`);
    assert.equal(asleep.by, 'window-end');
    await server.control({ cmd: 'done' });
    const early = await next('asleep');
    assert.equal(early.by, 'done');
    assert.ok(early.awakeMs < windowMs, `${early.awakeMs}`);
    assert.equal(box.summary.wakes.data, 1);
  });

  test('audio on holds the window, audio off ends the hold', { timeout }, async (context) => {
    const { server, next, box } = await startBox(context, { modes: ['voip', 'audio'], windowMs: 2_000 });
    await server.control({ cmd: 'audio', on: true });
    assert.equal((await next('held')).because, 'audio');
    await delay(300);
    assert.equal(box.status().phase, 'awake');
    await server.control({ cmd: 'audio', on: false });
    await next('asleep');
    assert.ok(box.summary.audioMs > 0);
  });

  test('a UDP socket opened since the last sleep holds the window', { timeout }, async (context) => {
    const { server, next } = await startBox(context, { modes: ['voip', 'audio'], windowMs: 2_000 });
    await next('asleep');
    server.send({ udp: true });
    await server.next('udpPort');
    assert.equal((await next('audio')).evidence, 'udp-socket');
    await next('held');
    server.send({ udp: false });
    await next('asleep');
  });
});

describe('the whole tree', { concurrency: 2 }, () => {
  for (const freezer of ['auto', 'signal'] as const) {
    test(`${freezer}: a child of a child is frozen and ended too`, { timeout }, async (context) => {
      // Long enough for another program to start in it.
      const { server, box } = await startBox(context, { freezer, windowMs: 20_000 });
      const listener = createSocket('udp4').bind(0, '127.0.0.1');
      context.after(() => listener.close());
      await once(listener, 'listening');
      let ticks = 0;
      let drains = 0;
      listener.on('message', (datagram) => {
        if (String(datagram) === 'drain') drains++;
        else ticks++;
      });
      server.send({ spawn: listener.address().port });
      const [pid] = (await once(listener, 'message')) as [Buffer];
      await box.sleep();
      const own = createSocket('udp4');
      context.after(() => own.close());
      /** Resolves when all that was sent before is here: datagrams of one machine keep their order. */
      const drain = async (): Promise<void> => {
        const before = drains;
        own.send('drain', listener.address().port, '127.0.0.1');
        await until(() => drains > before);
      };
      await drain();
      ticks = 0;
      await delay(200);
      await drain();
      assert.equal(ticks, 0);
      await box.wake();
      await once(listener, 'message');
      await box.stop();
      await until(() => !isRunning(Number(String(pid))));
    });
  }
});

describe('profiles', { concurrency: 2 }, () => {
  test('android-doze: cut off until a maintenance window', { timeout }, async (context) => {
    const options = { profile: 'android-doze', maintenanceMs: 1_500, windowMs: 60_000 } as const;
    const { server, next, box } = await startBox(context, options);
    await box.sleep();
    const cut = await next('network');
    assert.equal(cut.state, 'cut');
    await next('asleep');
    server.send({ echo: 'late' });
    assert.equal((await next('wake')).cause, 'maintenance');
    assert.equal(box.summary.wakes.data, 0);
    assert.equal((await next('network')).state, 'restored');
    for (;;) {
      // TCP repeats what was dropped when it sees fit, perhaps only in a later window.
      if (await Promise.race([server.next('echo').then(() => true), next('asleep').then(() => false)])) break;
      await box.wake();
    }
  });

  test('android-frozen: connections are destroyed', { timeout }, async (context) => {
    // It is put to sleep by hand: a short window could end, and its connections with it, before this test looks.
    const options = { profile: 'android-frozen', windowMs: 60_000 } as const;
    const { server, next, box } = await startBox(context, options);
    await box.sleep();
    await server.next('closed');
    assert.equal(server.errorCode, 'ECONNRESET');
    assert.equal((await next('network')).state, 'destroyed');
    await next('asleep');
    await box.wake();
    assert.match((await next('output')).line, /^error E/);
  });

  test('linux-phone: awake without a connection, up to a limit', { timeout }, async (context) => {
    const scaled = { unconnectedAwakeMs: 1_000 };
    const { server, next } = await startBox(context, { profile: 'linux-phone', scaled, windowMs: 2_000 });
    await next('asleep');
    server.socket?.end();
    await next('wake');
    assert.equal((await next('held')).because, 'no-connection');
    const asleep = await next('asleep');
    assert.ok(asleep.awakeMs >= 2_900, `${asleep.awakeMs}`);
  });
});

test('the helper dies: polling takes over', { timeout }, async (context) => {
  const started = await startBox(context);
  const { next, box } = started;
  if (box.servicePids.length < 2) return context.skip('no helper here');
  await next('asleep');
  process.kill(box.servicePids[0] as number, 'SIGKILL');
  assert.equal((await next('watcher')).watcher, 'proc-poll');
  await echoInWindows(started, 1);
  assert.equal((await next('wake')).cause, 'data');
  await next('asleep');
  await echoInWindows(started, 2);
});
