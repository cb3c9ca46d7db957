/**
 * What a day asleep costs with the SDK, and with an ordinary MQTT client at 60 s keep alive (mqtt.js), each in a sleepbox with the profile of an
 * iPhone, side by side at one server, with the same messages.
 *
 * **Time is scaled.** Everything that is a time of a policy is divided by {@link FACTOR}: the box's window (10 s), the floor of its keep-alive handler
 * (600 s), its quiet time before a freeze, the constants of the SDK's keepalive, the client's keep alive and its wait before it connects again, and the moments of
 * the messages. What is work is not: a wake takes the program and the kernel as long as it takes. So a day passes in 24 min, and the times that a
 * program was awake are told in two ways:
 *
 * - _scaled_: what the box measured, times the factor. It holds work against the program 60 times, and so is an upper bound.
 * - _real work_: as measured where the program said itself that it is done, since nothing but work was done then; times the factor where
 *   its window had to end, since then time was waited for.
 *
 * To launch is work of more than a window's scaled length, so the user opens the app before the day begins. The server's look at silent connections, once a second, is not scaled: it closes the
 * ordinary client somewhat later than it would.
 *
 * Short by default; WAKELINE_LONG=1 makes it the day. WAKELINE_SEED picks the moments.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Prng } from '@wakeline/core/base';
import { Sleepbox, type BoxSummary, type TimelineEvent } from '@wakeline/sleepbox';
import { ServerProcess, sleep, temporaryDirectory, until } from './support.js';

/** 60 s of keep alive become one second, which is the shortest that MQTT knows. */
const FACTOR = 60;
const HOUR_MS = 3_600_000;
const isLong = process.env['WAKELINE_LONG'] === '1';
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);
/** Simulated. */
const hours = isLong ? 24 : 0.25;
const messages = isLong ? 48 : 2;

const WINDOW_MS = 10_000 / FACTOR;
const FLOOR_MS = 600_000 / FACTOR;

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** A phone with one program, and what its box has told. */
class Phone {
  readonly name: string;
  readonly box: Sleepbox;
  readonly events: TimelineEvent[] = [];
  #before: { readonly summary: BoxSummary; readonly events: number } | undefined;

  constructor(name: string, command: readonly string[], runtimeDirectory: string) {
    this.name = name;
    this.box = new Sleepbox({
      command: [process.execPath, ...command],
      profile: 'ios-voip',
      windowMs: WINDOW_MS,
      name,
      seed,
      runtimeDirectory,
      scaled: {
        keepaliveMsMin: FLOOR_MS,
        quietMs: 100 / FACTOR,
        relaunch: { firstMs: 1_000 / FACTOR, maxMs: 60_000 / FACTOR, healthyMs: 60_000 / FACTOR },
      },
    });
    this.box.on('event', (event) => this.events.push(event));
  }

  /** The user opens the app until it is connected, and puts the phone away: from here on it is counted. */
  async begin(): Promise<void> {
    await this.box.start();
    await until(
      async () => {
        const isOnline = this.events.some((event) => event.type === 'output' && event.line === 'online');
        if (!isOnline && this.box.status().phase === 'asleep') await this.box.wake();
        return isOnline && this.box.status().phase === 'asleep';
      },
      60_000,
      () => `${this.name} is connected and sleeps: ${this.tell()}`,
    );
    this.#before = { summary: this.box.summary, events: this.events.length };
  }

  get texts(): readonly string[] {
    return this.events.flatMap((event) =>
      event.type === 'output' && event.line.startsWith('got ') ? [event.line.slice(4)] : [],
    );
  }

  /** The day in figures; seconds are simulated. */
  figures() {
    const before = this.#before!;
    const now = this.box.summary;
    const since = (count: (summary: BoxSummary) => number): number => count(now) - count(before.summary);
    const wakes = Object.fromEntries(
      (Object.keys(now.wakes) as (keyof typeof now.wakes)[])
        .map((cause) => [cause, since((summary) => summary.wakes[cause])] as const)
        .filter(([, count]) => count > 0),
    );
    const sleeps = this.events
      .slice(before.events)
      .flatMap((event) => (event.type === 'asleep' ? [event] : []));
    const awakeSeconds = (factorOf: (event: (typeof sleeps)[number]) => number): number =>
      Math.round(sleeps.reduce((total, event) => total + event.awakeMs * factorOf(event), 0) / 100) / 10;
    return {
      name: this.name,
      wakes,
      wakesInAll: Object.values(wakes).reduce((total, count) => total + count, 0),
      windowsExtended: since(({ windowsExtended }) => windowsExtended),
      handlerOverruns: since(({ handlerOverruns }) => handlerOverruns),
      relaunches: since(({ relaunches }) => relaunches),
      saidDone: sleeps.filter(({ by }) => by === 'done').length,
      windowEnded: sleeps.filter(({ by }) => by === 'window-end').length,
      awakeSecondsScaled: awakeSeconds(() => FACTOR),
      awakeSecondsRealWork: awakeSeconds(({ by }) => (by === 'done' ? 1 : FACTOR)),
    };
  }

  tell(): string {
    return this.events
      .slice(-20)
      .map((event) => JSON.stringify(event))
      .join('\n');
  }
}

test(`${hours} simulated hours asleep: the SDK beside an ordinary client, ${messages} messages, seed ${seed}`, async (t) => {
  const directory = temporaryDirectory('wakeline-energy');
  const server = await ServerProcess.create(join(directory.path, 'server'));
  const phones: Phone[] = [];
  try {
    await server.start();
    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    const sdk = [script('device-sleeper.js'), url, 'sdk', join(directory.path, 'sdk'), String(FACTOR)];
    const plain = [script('plain-sleeper.js'), url, 'plain', String(60 / FACTOR), String(1_000 / FACTOR)];
    phones.push(new Phone('sdk', sdk, directory.path), new Phone('plain', plain, directory.path));
    for (const phone of phones) await phone.begin();
    const prng = new Prng(seed);
    const endMs = (hours * HOUR_MS) / FACTOR;
    const moments = Array.from({ length: messages }, () => prng.nextFloat() * endMs).toSorted(
      (a, b) => a - b,
    );
    const startMs = performance.now();
    const untilMs = (ms: number): Promise<void> => sleep(Math.max(0, startMs + ms - performance.now()));
    for (const [index, ms] of moments.entries()) {
      await untilMs(ms);
      for (const { name } of phones) {
        await server.send(name, `${index}`);
      }
    }
    await untilMs(endMs);
    for (const phone of phones) {
      await until(
        () => new Set(phone.texts).size === messages,
        60_000,
        () => `${phone.name} has all messages: ${phone.tell()}`,
      );
    }
    const [own, ordinary] = phones.map((phone) => phone.figures());
    assert(own !== undefined && ordinary !== undefined);
    for (const figures of [own, ordinary]) t.diagnostic(JSON.stringify(figures));
    // Each message once, and no wake but for messages and for the handler at the platform's floor.
    assert.deepEqual(phones[0]!.texts.length, messages);
    assert.deepEqual(Object.keys(own.wakes).toSorted(), ['data', 'keepalive'], phones[0]!.tell());
    assert(own.wakes['data']! <= messages, `${own.wakes['data']} wakes by data`);
    const handlersMax = (hours * HOUR_MS) / FACTOR / (FLOOR_MS / 2) + 1;
    assert(own.wakes['keepalive']! <= handlersMax, `${own.wakes['keepalive']} wakes by the handler`);
    assert.equal(own.relaunches, 0);
    assert.equal(own.handlerOverruns, 0);
    assert(own.wakesInAll * 2 < ordinary.wakesInAll + ordinary.windowsExtended, 'fewer than half the wakes');
    // In the short form one window that a busy machine lets run out weighs as much as all others.
    const share = isLong ? 5 : 2;
    assert(
      own.awakeSecondsRealWork * share < ordinary.awakeSecondsRealWork,
      `awake for less than 1/${share} of the time`,
    );
  } finally {
    for (const { box } of phones) await box.stop();
    await server.kill();
    directory.remove();
  }
});
