/**
 * The worst that can happen to a server with calls under way: it is killed again and again, its disk is full, and a thousand
 * calls wait at once. No caller who was told that it is tried is left without an end.
 *
 * Short by default; WAKELINE_LONG=1 makes it 1,000 parked calls, and six kills instead of two. WAKELINE_SEED says when what happens.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { CallLoad, LoadedPhone } from './call-load.js';
import type { LoadedCall } from './call-load.js';
import { SipServer } from './sip-server.js';
import { callersTrunk, TRUNK_ADDRESS } from './sip-stage.js';
import { sleep, temporaryDirectory, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';

interface Scene {
  readonly server: SipServer;
  readonly load: CallLoad;
  readonly phones: LoadedPhone[];
}

interface SceneOptions {
  readonly users: readonly string[];
  readonly park: string;
  readonly directory: string;
  readonly more?: Readonly<Record<string, unknown>>;
}

async function onScene(options: SceneOptions, body: (scene: Scene) => Promise<void>): Promise<void> {
  const server = await SipServer.start({ ...options, trunks: [callersTrunk] });
  const load = await CallLoad.open(TRUNK_ADDRESS, server.trunkPort);
  const phones: LoadedPhone[] = [];
  try {
    await body({ server, load, phones });
  } finally {
    for (const phone of phones) await phone.end();
    await load.end();
    await server.kill();
  }
}

/** Calls that the server thinks are going on. */
async function activeCalls(server: SipServer): Promise<number> {
  return server.metric('wakeline_calls_active');
}

async function statusOf(call: LoadedCall): Promise<number> {
  await until(
    () => call.status !== undefined,
    60_000,
    () => `${call.user} is called, and the caller has an answer`,
  );
  return call.status!;
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1_024;
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

test('killed again and again amid calls that wait, ring and talk: every caller hears one end', async (t) => {
  const seed = Number(process.env['WAKELINE_SEED'] ?? 1);
  t.diagnostic(`WAKELINE_SEED=${seed}`);
  let state = seed;
  const draw = (most: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 0x8000_0000) * most);
  };
  const kills = isLong ? 6 : 2;
  const prompt = names('prompt', 6);
  const slow = names('slow', 4);
  const mute = names('mute', 2);
  const away = names('away', 8);
  const directory = temporaryDirectory('wakeline-crash');
  try {
    const users = [...prompt, ...slow, ...mute, ...away];
    await onScene({ users, park: '8s', directory: directory.path }, async ({ server, load, phones }) => {
      const port = server.tcpPort;
      const phone = (user: string, answerAfterMs: number | undefined): LoadedPhone => {
        const made = new LoadedPhone({ user, port, answerAfterMs, reconnectMs: 50 + draw(800) });
        phones.push(made);
        return made;
      };
      for (const user of prompt) phone(user, 30 + draw(100));
      for (const user of slow) phone(user, 1_500 + draw(1_500));
      for (const user of mute) phone(user, undefined);
      const absent = away.map((user) => phone(user, 50));
      await Promise.all(phones.map((one) => one.registered()));
      for (const one of absent) one.leave();
      for (let kill = 0; kill < kills; kill++) {
        // Where the machine is slow it is down for most of the time: those who repeat their INVITE are to find it once.
        await until(
          () => load.waiting.every(({ isPromised }) => isPromised),
          150_000,
          () => `callers heard of the server after kill ${kill}: ${JSON.stringify(load.waiting)}`,
        );
        const endMs = performance.now() + 1_500 + draw(2_500);
        while (performance.now() < endMs) {
          const call = load.call(users[draw(users.length)]!, 200 + draw(1_500));
          if (draw(6) === 0) setTimeout(() => load.cancel(call), draw(2_000));
          await sleep(10 + draw(60));
        }
        await server.kill();
        // Some are called while nobody is there, and call again by themselves.
        for (let more = 0; more < 5; more++) load.call(users[draw(users.length)]!);
        await server.restart();
        // One of those that were away comes back for its calls.
        absent[kill % absent.length]!.comeBack();
      }
      // A phone that rings for nobody rings until Timer C: its callers hang up. So do those of phones that stay away, where
      // nobody has the minute that a restart gives them.
      const patient = isLong ? mute : [...mute, ...away];
      const isPatient = (): boolean =>
        load.waiting.every(({ user, isPromised }) => patient.includes(user) && isPromised);
      for (const endMs = performance.now() + 180_000; !isPatient() && performance.now() < endMs;)
        await sleep(100);
      const left = load.waiting.filter(({ user, isPromised }) => !patient.includes(user) || !isPromised);
      const known = left.length === 0 ? [] : await server.calls();
      assert.deepEqual(
        left.map((call) => ({ ...call, server: known.find(({ sipCallId }) => sipCallId === call.callId) })),
        [],
        'calls without an end',
      );
      for (const call of load.waiting) load.cancel(call);
      await load.settled(60_000);
      t.diagnostic(`${load.calls.length} calls, ${kills} kills: ${JSON.stringify(load.counts)}`);
      process.stdout.write(`${load.calls.length} calls, ${kills} kills: ${JSON.stringify(load.counts)}\n`);
      for (const call of load.calls) {
        assert.notEqual(call.status, 0, `${call.callId} to ${call.user} heard nothing at all`);
        assert([200, 480, 486, 487, 500, 503].includes(call.status!), `${call.callId}: ${call.status}`);
        if (call.status === 487) assert(call.cancelled, `${call.callId} was not cancelled`);
        const isPrompt = prompt.includes(call.user) && !call.cancelled;
        // Ten at a time are as many as one user may have.
        if (isPrompt)
          assert([200, 486].includes(call.status!), `${call.callId} to ${call.user}: ${call.status}`);
      }
      assert(load.calls.some(({ status }) => status === 200));
      assert(load.calls.some(({ status }) => status === (isLong ? 480 : 487)));
      await until(
        async () => (await activeCalls(server)) === 0,
        60_000,
        () => 'no call is left',
      );
    });
  } finally {
    directory.remove();
  }
});

test('many calls wait at once for phones that are away: they cost little, and all end in time', async (t) => {
  const perUser = 10;
  // Longer than a busy machine takes until all of them wait.
  const parkMs = isLong ? 40_000 : 30_000;
  const users = names('away', isLong ? 100 : 20);
  const directory = temporaryDirectory('wakeline-parked');
  try {
    await onScene(
      { users, park: `${parkMs / 1_000}s`, directory: directory.path },
      async ({ server, load, phones }) => {
        for (const user of users)
          phones.push(new LoadedPhone({ user, port: server.tcpPort, answerAfterMs: 20, reconnectMs: 100 }));
        await Promise.all(phones.map((one) => one.registered()));
        for (const one of phones) one.leave();
        await until(
          async () => (await server.metric('wakeline_sip_bindings_live')) === 0,
          60_000,
          () => 'they are away',
        );
        const beforeBytes = residentBytes(server.pid);
        for (let round = 0; round < perUser; round++) {
          for (const user of users) load.call(user, 100);
          await sleep(100);
        }
        const count = users.length * perUser;
        await until(
          () => load.calls.every(({ isPromised }) => isPromised),
          60_000,
          () => `${load.calls.filter(({ isPromised }) => !isPromised).length} of ${count} were not told 100`,
        );
        const perCallBytes = (residentBytes(server.pid) - beforeBytes) / count;
        assert.equal(await activeCalls(server), count);
        // Half of them come back, to ten calls each.
        for (const one of phones.slice(0, phones.length / 2)) one.comeBack();
        await load.settled(120_000);
        const parked = load.calls.filter(({ status }) => status === 480);
        const waits = parked.map(({ startedMs, endedMs }) => endedMs! - startedMs).toSorted((a, b) => a - b);
        const line =
          `${count} parked calls: ${Math.round(perCallBytes / 1_024)} KiB each; ${JSON.stringify(load.counts)}; ` +
          `480 after ${Math.round(waits[0]!)} … ${Math.round(waits.at(-1)!)} ms`;
        t.diagnostic(line);
        process.stdout.write(`${line}\n`);
        assert.deepEqual(load.counts, { 200: count / 2, 480: count / 2 });
        assert(waits[0]! >= parkMs - 100, 'nobody is given up before the time');
        assert.equal(await activeCalls(server), 0);
      },
    );
  } finally {
    directory.remove();
  }
});

test('the disk fills up while calls wait and ring: each has its end, new ones are refused, and it goes on when there is room', async (t) => {
  const directory = temporaryDirectory('wakeline-full');
  const place = join(directory.path, 'server');
  const mounted = spawnSync('sh', [
    '-c',
    `mkdir -p ${place}/data && mount -t tmpfs -o size=160m tmpfs ${place}/data`,
  ]);
  if (mounted.status !== 0) {
    directory.remove();
    return t.skip('needs root, to mount a small tmpfs');
  }
  const ballast = join(place, 'data', 'ballast');
  const fill = (leaveBytes: number): void => {
    const free = Number(
      spawnSync('stat', ['-f', '-c', '%a %S', place + '/data'])
        .stdout.toString()
        .split(' ')[0],
    );
    writeFileSync(ballast, new Uint8Array(Math.max(0, free * 4_096 - leaveBytes)));
  };
  try {
    const users = ['prompt0', 'slow0', 'mute0', 'away0'];
    await onScene(
      { users, park: '10s', directory: place, more: { limits: { diskFloorBytes: 16 * 1024 * 1024 } } },
      async ({ server, load, phones }) => {
        const port = server.tcpPort;
        const away = new LoadedPhone({ user: 'away0', port, answerAfterMs: 20, reconnectMs: 100 });
        phones.push(away, new LoadedPhone({ user: 'prompt0', port, answerAfterMs: 20, reconnectMs: 100 }));
        phones.push(new LoadedPhone({ user: 'slow0', port, answerAfterMs: 3_000, reconnectMs: 100 }));
        phones.push(new LoadedPhone({ user: 'mute0', port, answerAfterMs: undefined, reconnectMs: 100 }));
        await Promise.all(phones.map((one) => one.registered()));
        away.leave();
        const early = users.map((user) => load.call(user));
        await until(
          () => early.every(({ isPromised }) => isPromised) && early[0]!.status === 200,
          60_000,
          () => 'they wait and ring',
        );
        fill(0);
        // Free space is looked at from time to time, and some of it was the store's already.
        await until(
          async () => [500, 503].includes(await statusOf(load.call('prompt0', 100))),
          60_000,
          () => 'the disk is found full',
        );
        const late = users.map((user) => load.call(user));
        await until(
          () => late.every(({ status }) => status !== undefined),
          60_000,
          () => `new calls are refused: ${JSON.stringify(late)}`,
        );
        for (const call of late) assert([500, 503].includes(call.status!), `${call.user}: ${call.status}`);
        load.cancel(early[2]!);
        await until(
          () => early.every(({ status }) => status !== undefined),
          60_000,
          () => `calls that went on have an end: ${JSON.stringify(early)}`,
        );
        const told = JSON.stringify(load.counts);
        rmSync(ballast);
        await until(
          async () => (await statusOf(load.call('prompt0', 100))) === 200,
          60_000,
          () => 'calls go on when there is room',
        );
        await load.settled(60_000);
        const line = `while the disk was full: ${told}; at last: ${JSON.stringify(load.counts)}`;
        t.diagnostic(line);
        process.stdout.write(`${line}\n`);
        await until(
          async () => (await activeCalls(server)) === 0,
          60_000,
          () => 'no call is left',
        );
        // What it wrote then can be read.
        await server.kill();
        await server.restart();
        assert((await server.calls()).length > 0);
      },
    );
  } finally {
    spawnSync('umount', ['-l', `${place}/data`]);
    directory.remove();
  }
});
