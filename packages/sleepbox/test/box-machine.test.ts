/** The box's policy under virtual time: tables of inputs and what they lead to. No process, no socket. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { limits } from '../src/limits.js';
import { type ConnectionSample, TcpState } from '../src/sockets.js';
import { VirtualBox, connection } from './virtual-box.js';

describe('windows', () => {
  test('handleTimeout is idempotent and early is a no-op', () => {
    const box = new VirtualBox();
    for (let i = 0; i < 2; i++) box.machine.handleTimeout(1);
    assert.equal(box.machine.pollOutput(), undefined);
  });

  test('a launch is a window of ten seconds', () => {
    const box = new VirtualBox();
    box.advance(9_999);
    assert.equal(box.phase, 'awake');
    box.advance(1);
    assert.equal(box.phase, 'asleep');
    assert.deepEqual(
      box.seen('asleep').map(({ now, by }) => [now, by]),
      [[10_000, 'window-end']],
    );
  });

  test('data wake, and the window counts from the wake', () => {
    const box = new VirtualBox();
    box.advance(60_000);
    box.receive(5);
    assert.equal(box.phase, 'awake');
    const [wake] = box.seen('wake');
    assert.equal(wake?.cause, 'data');
    assert.equal(wake?.bytes, 5);
    assert.equal(wake?.asleepMs, 50_000);
    box.advance(10_000);
    assert.equal(box.phase, 'asleep');
    assert.equal(box.machine.summary(box.now).wakes.data, 1);
  });

  test('data in a window begin a new one', () => {
    const box = new VirtualBox();
    box.advance(7_000);
    box.receive(1);
    box.advance(10_000);
    assert.equal(box.phase, 'awake');
    box.advance(limits.awakeSampleMs);
    assert.equal(box.phase, 'asleep');
    assert.equal(box.machine.summary(box.now).windowsExtended, 1);
  });

  test('done ends the window, after a quiet moment', () => {
    const box = new VirtualBox();
    box.advance(3_000);
    box.input({ type: 'done' });
    box.advance(0);
    assert.equal(box.phase, 'asleep');
    assert.equal(box.seen('asleep')[0]?.by, 'done');
    box.receive(1);
    box.advance(10);
    box.input({ type: 'done' });
    box.advance(0);
    assert.equal(box.phase, 'awake', 'data came a moment ago');
    box.advance(limits.quietMs);
    assert.equal(box.phase, 'asleep');
  });

  test('data after done begin a new window', () => {
    const box = new VirtualBox();
    box.advance(3_000);
    box.receive(1);
    box.input({ type: 'done' });
    box.advance(limits.quietMs / 2);
    box.receive(1);
    box.advance(9_000);
    assert.equal(box.phase, 'awake');
  });

  test('done with unread data waits until they are read or the window ends', () => {
    const box = new VirtualBox();
    box.receive(1, { isRead: false });
    box.advance(200);
    box.input({ type: 'done' });
    box.advance(500);
    assert.equal(box.phase, 'awake');
    box.connections = [connection('1', { receivedBytes: 1 })];
    box.advance(limits.awakeSampleMs);
    assert.equal(box.phase, 'asleep');
  });

  test('data that nobody reads for a whole window do not keep the program awake', () => {
    const box = new VirtualBox();
    box.receive(1, { isRead: false });
    box.advance(10_000 + limits.awakeSampleMs);
    assert.equal(box.phase, 'asleep');
  });

  for (const step of ['freeze', 'watch'] as const) {
    test(`data that come at the order to ${step} are found`, () => {
      const box = new VirtualBox();
      let isFirst = true;
      box.onOrder = (output) => {
        if (output.type !== step || !isFirst) return;
        isFirst = false;
        box.receive(1, { isRead: false });
      };
      box.advance(10_000);
      assert.equal(box.phase, 'awake');
      assert.equal(box.seen('window')[0]?.whileFreezing, true);
      box.advance(10_000);
      assert.equal(box.phase, 'asleep');
    });
  }

  test('a freeze that fails leaves the program awake for another window', () => {
    const box = new VirtualBox();
    box.machine.handleInput(0, { type: 'user-sleep' });
    const machine = box.machine;
    machine.handleTimeout(200);
    while (machine.pollOutput() !== undefined) continue;
    machine.handleInput(200, { type: 'snapshot', snapshot: { tcp: [], udp: [] } });
    machine.handleInput(200, { type: 'freeze-failed' });
    assert.equal(machine.phase, 'waking');
    machine.handleInput(201, { type: 'thawed' });
    assert.equal(machine.phase, 'awake');
  });
});

describe('what wakes', () => {
  const cases: [string, (one: ConnectionSample) => ConnectionSample, string | undefined][] = [
    ['one byte', (one) => ({ ...one, receivedBytes: 1, unreadBytes: 1 }), 'data'],
    ['a FIN', (one) => ({ ...one, receivedBytes: 1, state: TcpState.CloseWait }), 'fin'],
    [
      'data with a FIN',
      (one) => ({ ...one, receivedBytes: 3, unreadBytes: 2, state: TcpState.CloseWait }),
      'data',
    ],
    ['a RST', (one) => ({ ...one, state: TcpState.Closed }), 'rst'],
    ['a bare acknowledgement or a keepalive probe', (one) => ({ ...one }), undefined],
    ['the program’s own retransmissions', (one) => ({ ...one, sentBytes: 9_000 }), undefined],
  ];
  for (const [what, change, cause] of cases) {
    test(`${what}: ${cause ?? 'does not wake'}`, () => {
      const box = new VirtualBox();
      box.advance(20_000);
      box.change('1', change);
      assert.equal(box.seen('wake')[0]?.cause, cause);
      assert.equal(box.phase, cause === undefined ? 'asleep' : 'awake');
    });
  }

  test('without byte counters unread data count', () => {
    const box = new VirtualBox();
    const blind = (unreadBytes: number): ConnectionSample => {
      const { receivedBytes: _, ...one } = connection('1', { unreadBytes });
      return one;
    };
    box.connections = [blind(0)];
    box.advance(20_000);
    box.change('1', () => blind(4));
    assert.equal(box.seen('wake')[0]?.cause, 'data');
    assert.equal(box.machine.summary(box.now).receivedBytes, null);
  });

  test('an unmarked connection does not wake; the program’s marks replace the box’s; a launch forgets them', () => {
    const box = new VirtualBox('ios-voip', { marks: [{ peer: '127.0.0.1:1883' }] });
    box.connections = [connection('1'), connection('2', { peer: '127.0.0.1:80' })];
    box.advance(20_000);
    assert.deepEqual(box.watched, ['1']);
    box.receive(1, { inode: '2' });
    assert.equal(box.phase, 'asleep');
    box.receive(1);
    box.input({ type: 'mark', mark: { localPort: 40_002 } });
    box.advance(20_000);
    assert.deepEqual(box.watched, ['2']);
    box.input({ type: 'exited', code: 1, signal: null });
    box.advance(20_000);
    assert.deepEqual(box.watched, ['1']);
    box.input({ type: 'user-wake' });
    box.input({ type: 'mark', mark: { localPort: 40_002 } });
    box.input({ type: 'unmark' });
    box.advance(20_000);
    assert.deepEqual(box.watched, ['1']);
  });

  test('a RST wakes by the mark of its peer, which the kernel no longer names then', () => {
    const box = new VirtualBox('ios-voip', { marks: [{ peer: '127.0.0.1:1883' }] });
    box.connections = [connection('1'), connection('2', { peer: '127.0.0.1:80' })];
    box.advance(20_000);
    const reset = (one: ConnectionSample): ConnectionSample => ({ ...one, state: TcpState.Closed, peer: '' });
    box.change('2', reset);
    assert.equal(box.phase, 'asleep');
    box.change('1', reset);
    assert.equal(box.phase, 'awake');
    assert.equal(box.seen('wake')[0]?.cause, 'rst');
  });

  test('the user wakes, also while the box is falling asleep', () => {
    const box = new VirtualBox();
    box.advance(20_000);
    box.input({ type: 'user-wake' });
    assert.equal(box.seen('wake')[0]?.cause, 'user');
    box.onOrder = (output) => {
      if (output.type === 'watch') box.machine.handleInput(box.now, { type: 'user-wake' });
    };
    box.advance(10_000);
    assert.equal(box.phase, 'awake');
    assert.equal(box.machine.summary(box.now).wakes.user, 2);
  });
});

describe('audio', () => {
  test('what the program says holds the window', () => {
    const box = new VirtualBox('ios-voip', { hasAudio: true });
    box.advance(2_000);
    box.input({ type: 'audio', on: true });
    box.advance(60_000);
    assert.equal(box.phase, 'awake');
    box.input({ type: 'audio', on: false });
    box.advance(limits.awakeSampleMs);
    assert.equal(box.phase, 'asleep');
    assert.equal(box.machine.summary(box.now).audioMs, 52_000);
  });

  test('without the mode it does not', () => {
    const box = new VirtualBox();
    box.input({ type: 'audio', on: true });
    box.advance(10_000);
    assert.equal(box.phase, 'asleep');
    assert.deepEqual(box.seen('audio'), []);
  });

  test('a UDP socket that it did not hold when last asleep', () => {
    const box = new VirtualBox('ios-voip', { hasAudio: true });
    box.udp = ['50'];
    box.advance(10_000);
    assert.equal(box.phase, 'asleep', 'a socket from the launch is not a call');
    box.receive(1);
    box.udp = ['50', '51'];
    box.advance(60_000);
    assert.equal(box.phase, 'awake');
    assert.equal(box.seen('audio')[0]?.evidence, 'udp-socket');
    box.udp = ['50'];
    box.advance(limits.awakeSampleMs);
    assert.equal(box.phase, 'asleep');
  });

  test('ten datagrams per second from its namespace, two seconds of grace', () => {
    const box = new VirtualBox('ios-voip', { hasAudio: true });
    box.datagramsSent = 0;
    for (let i = 0; i < 300; i++) {
      box.advance(100);
      box.datagramsSent += 2;
    }
    assert.equal(box.phase, 'awake');
    assert.equal(box.seen('audio')[0]?.evidence, 'datagrams');
    box.advance(1_900);
    assert.equal(box.phase, 'awake');
    box.advance(1_400);
    assert.equal(box.phase, 'asleep');
  });

  test('nine datagrams per second are no audio', () => {
    const box = new VirtualBox('ios-voip', { hasAudio: true });
    box.datagramsSent = 0;
    for (let i = 0; i < 9 * 10; i++) {
      box.advance(1_000 / 9);
      box.datagramsSent += 1;
    }
    box.advance(200);
    assert.equal(box.phase, 'asleep');
  });

  test('ctl sleep ends an audio hold', () => {
    const box = new VirtualBox('ios-voip', { hasAudio: true });
    box.input({ type: 'audio', on: true });
    box.advance(20_000);
    box.input({ type: 'user-sleep' });
    box.advance(200);
    assert.equal(box.phase, 'asleep');
  });
});

describe('keep-alive handler', () => {
  test('is run before its timeout, at a moment that the seed decides', () => {
    const moments = [1, 2, 3, 1].map((seed) => {
      const box = new VirtualBox('ios-voip', { seed });
      box.input({ type: 'keepalive', timeoutMs: 600_000 });
      box.advance(600_000);
      const [wake] = box.seen('wake');
      assert.equal(wake?.cause, 'keepalive');
      const at = wake?.now ?? 0;
      assert.ok(at >= 300_000 && at < 600_000, `${at}`);
      return at;
    });
    assert.equal(moments[0], moments[3]);
    assert.equal(new Set(moments).size, 3);
  });

  test('comes again and again, and done ends it', () => {
    const box = new VirtualBox();
    box.input({ type: 'program-connected', connections: 1 });
    box.input({ type: 'keepalive', timeoutMs: 600_000 });
    box.onOrder = (output) => {
      if (output.type === 'tell') box.machine.handleInput(box.now, { type: 'done' });
    };
    box.advance(3_600_000);
    const { handlerRuns, handlerOverruns } = box.machine.summary(box.now);
    assert.ok(handlerRuns >= 6 && handlerRuns <= 12, `${handlerRuns}`);
    assert.equal(handlerOverruns, 0);
    assert.equal(box.phase, 'asleep');
  });

  test('longer than ten seconds: killed and relaunched, and it must be set again', () => {
    const box = new VirtualBox();
    box.input({ type: 'program-connected', connections: 1 });
    box.input({ type: 'keepalive', timeoutMs: 600_000 });
    box.advance(1_200_000);
    const [overrun] = box.seen('keepalive').filter((event) => event.action === 'overrun');
    const [run] = box.seen('keepalive').filter((event) => event.action === 'run');
    assert.equal((overrun?.now ?? 0) - (run?.now ?? 0), limits.handlerMsMax);
    assert.equal(box.seen('exit')[0]?.signal, 'SIGKILL');
    assert.equal(box.machine.summary(box.now).relaunches, 1);
    assert.equal(box.machine.summary(box.now).handlerRuns, 1);
  });

  test('set by the box for a program that does not listen: only a window', () => {
    const box = new VirtualBox('ios-voip', { keepaliveMs: 600_000 });
    box.advance(1_200_000);
    assert.ok(box.machine.summary(box.now).wakes.keepalive >= 2);
    assert.equal(box.machine.summary(box.now).handlerOverruns, 0);
  });

  test('cleared, it does not come', () => {
    const box = new VirtualBox();
    box.input({ type: 'keepalive', timeoutMs: 600_000 });
    box.input({ type: 'keepalive' });
    box.advance(1_200_000);
    assert.deepEqual(box.seen('wake'), []);
  });
});

describe('relaunch', () => {
  test('1 s, doubling to 60 s, reset after a healthy run', () => {
    const box = new VirtualBox();
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      box.input({ type: 'exited', code: i % 2 === 0 ? null : 1, signal: i % 2 === 0 ? 'SIGKILL' : null });
      const delayMs = box.seen('relaunch').at(-1)?.delayMs ?? 0;
      delays.push(delayMs);
      box.advance(delayMs - 1);
      assert.equal(box.phase, 'relaunching');
      box.advance(1);
      assert.equal(box.phase, 'awake');
    }
    assert.deepEqual(delays.slice(0, 7), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
    box.advance(limits.healthyRunMs);
    box.input({ type: 'exited', code: 3, signal: null });
    assert.equal(box.seen('relaunch').at(-1)?.delayMs, 1_000);
  });

  test('exit 0 stays down, and the summary is complete', () => {
    const box = new VirtualBox();
    box.advance(4_000);
    box.input({ type: 'exited', code: 0, signal: null });
    assert.equal(box.phase, 'down');
    const down = box.outputs.at(-1);
    assert.deepEqual(down, { type: 'down', exitCode: 0, reason: 'exit-0' });
    const [summary] = box.seen('summary');
    assert.equal(summary?.summary.awakeMs, 4_000);
    assert.equal(box.machine.nextTimeoutMs(), Infinity);
  });

  test('stop: TERM, then KILL, then down', () => {
    for (const [reason, exitCode] of [
      ['stopped', 0],
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      const box = new VirtualBox();
      box.advance(20_000);
      box.input({ type: 'stop', reason });
      const orders = box.outputs.slice(-6).map((output) => output.type);
      assert.ok(orders.indexOf('thaw') < orders.indexOf('kill'), orders.join());
      assert.deepEqual(box.outputs.at(-1), { type: 'down', exitCode, reason });
    }
  });

  test('a program that ignores TERM is killed', () => {
    const { machine } = new VirtualBox();
    machine.handleInput(1_000, { type: 'stop', reason: 'SIGTERM' });
    while (machine.pollOutput() !== undefined) continue;
    assert.equal(machine.nextTimeoutMs(), 1_000 + limits.termGraceMs);
    machine.handleTimeout(1_000 + limits.termGraceMs);
    assert.deepEqual(machine.pollOutput(), { type: 'kill', signal: 'SIGKILL' });
  });
});

describe('profiles', () => {
  test('linux-phone stays awake without a marked connection, at most 120 s; ios-voip does not', () => {
    for (const [profile, until] of [
      ['linux-phone', 10_000 + 120_000],
      ['ios-voip', 10_000],
    ] as const) {
      const box = new VirtualBox(profile);
      box.connections = [];
      box.advance(until - 1);
      assert.equal(box.phase, 'awake', profile);
      box.advance(limits.awakeSampleMs);
      assert.equal(box.phase, 'asleep', profile);
    }
    const box = new VirtualBox('linux-phone');
    box.connections = [];
    box.advance(30_000);
    box.connections = [connection('9')];
    // What it has to say on the connection comes a moment later: asleep at once, it would never say it.
    box.advance(10_000 - 1);
    assert.equal(box.phase, 'awake', 'connected again: a window');
    box.advance(limits.awakeSampleMs + limits.quietMs);
    assert.equal(box.phase, 'asleep', 'and its end');
  });

  test('android-doze: data do not wake; maintenance after 60 m, 120 m, 240 m, 360 m, 360 m', () => {
    const box = new VirtualBox('android-doze');
    box.advance(60_000);
    box.receive(10);
    assert.equal(box.phase, 'asleep');
    assert.ok(box.outputs.some((output) => output.type === 'network' && output.action === 'cut'));
    box.advance(24 * 3_600_000);
    const sleeps = box.seen('wake').map((wake) => [wake.cause, wake.asleepMs / 60_000]);
    assert.deepEqual(
      sleeps,
      [60, 120, 240, 360, 360].map((minutes) => ['maintenance', minutes]),
    );
    assert.equal(box.seen('asleep')[1]?.awakeMs, 5 * 60_000);
  });

  test('android-doze: an alarm runs without network, the user brings it back', () => {
    const box = new VirtualBox('android-doze');
    box.input({ type: 'keepalive', timeoutMs: 540_000 });
    box.advance(540_000);
    assert.equal(box.seen('wake')[0]?.cause, 'keepalive');
    const thaws = (): boolean[] =>
      box.outputs.filter((output) => output.type === 'thaw').map((output) => output.network);
    assert.deepEqual(thaws(), [false]);
    box.advance(20_000);
    box.input({ type: 'user-wake' });
    assert.deepEqual(thaws(), [false, true]);
  });

  test('android-frozen: sockets are destroyed at sleep, nothing but the user and alarms wakes', () => {
    const box = new VirtualBox('android-frozen');
    box.advance(20_000);
    assert.ok(box.outputs.some((output) => output.type === 'network' && output.action === 'destroy'));
    assert.deepEqual(box.watched, []);
    box.receive(10);
    assert.equal(box.phase, 'asleep');
    box.input({ type: 'user-wake' });
    assert.equal(box.phase, 'awake');
  });
});

test('notifications are counted and shown on the timeline; status tells the state', () => {
  const box = new VirtualBox();
  box.input({ type: 'notify', title: 'hello', body: 'world' });
  assert.equal(box.seen('notification')[0]?.title, 'hello');
  assert.equal(box.machine.summary(box.now).notifications, 1);
  box.advance(4_000);
  const status = box.machine.status(box.now);
  assert.equal(status.phase, 'awake');
  assert.equal(status.windowLeftMs, 6_000);
  assert.equal(status.marked, 1);
});
