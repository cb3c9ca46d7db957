/**
 * The main job with a client that knows nothing of us: Debian's mosquitto_sub in a sleepbox, asleep most of the time,
 * and messages by MQTT and HTTP at random moments over its sleep and its wakes.
 *
 * Short by default; WAKELINE_LONG=1 makes it 1,000 messages. WAKELINE_SEED picks the moments.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import {
  PATIENCE_MS,
  Program,
  percentile,
  runProgram,
  startWakeline,
  wakeline,
  whyMissing,
} from './program.js';
import { sleep, temporaryDirectory, until } from './support.js';

const MESSAGES = process.env['WAKELINE_LONG'] === '1' ? 1_000 : 300;
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);
const missing = whyMissing('mosquitto_sub', 'mosquitto_pub');

interface Sent {
  readonly body: string;
  readonly publisher: string;
  /** When its publisher began. */
  readonly startMs: number;
  /** When its publisher knew that it was accepted; Infinity while it does not. */
  acceptedMs: number;
}

/** A line of the box's timeline; which fields are there depends on the type. */
interface BoxEvent {
  readonly at: string;
  readonly type: string;
  readonly cause: string;
  readonly latencyMs: number;
  readonly stream: string;
  readonly line: string;
  readonly summary: { readonly relaunches: number; readonly wakes: Record<string, number> };
}

const versions: readonly (readonly [name: string, options: readonly string[]])[] = [
  ['MQTT 3.1.1', ['-V', 'mqttv311']],
  ['MQTT 5', ['-V', 'mqttv5', '-x', '3600']],
];

for (const [name, options] of versions) {
  test(
    `[IN-17] ${name}: ${MESSAGES} messages reach mosquitto_sub in a sleepbox once and in order, seed ${seed}`,
    { skip: missing ?? false },
    async (t) => {
      const directory = temporaryDirectory('wakeline-box');
      const programs: Program[] = [];
      try {
        const listen = ['--listen', 'mqtt://127.0.0.1:0', '--listen', 'http://127.0.0.1:0'];
        const { server, urls } = await startWakeline(['--data', join(directory.path, 'data'), ...listen]);
        programs.push(server);
        const events: BoxEvent[] = [];
        const box = startBox(directory.path, urls[0].port, options, events);
        programs.push(box);
        const isAsleep = (): boolean =>
          events.findLast(({ type }) => ['launch', 'asleep', 'wake'].includes(type))?.type === 'asleep';
        await until(
          async () => {
            if (await isSubscribed(urls[1].origin)) return true;
            // On a busy machine it may take more than one window until it is connected.
            if (isAsleep()) await wake(directory.path);
            return false;
          },
          PATIENCE_MS,
          () => `mosquitto_sub has subscribed: ${box.stdout}${box.stderr}`,
        );
        await until(isAsleep, PATIENCE_MS, () => `mosquitto_sub is asleep: ${box.stdout}${box.stderr}`);

        const sent = await publishAll(new Prng(seed), urls[0].port, urls[1].origin, programs);
        const printed = (): readonly BoxEvent[] =>
          events.filter(({ type, stream }) => type === 'output' && stream === 'stdout');
        await until(
          () => printed().length >= sent.length,
          PATIENCE_MS,
          () => `${printed().length} of ${sent.length} messages printed ${box.stderr}`,
        );
        // Whatever came twice had time to come: the box is asleep, with nothing unread. The last line may have come after
        // that was told: what the program prints and what becomes of it come by two ways.
        await until(
          isAsleep,
          PATIENCE_MS,
          () => `asleep at the end: ${box.stdout.slice(-2_000)}${box.stderr}`,
        );
        const end = await box.end('SIGTERM');
        assert.equal(end.code, 143);

        checkOrder(
          sent,
          printed().map(({ line }) => line),
        );
        const { summary } = events.find(({ type }) => type === 'summary')!;
        assert.equal(summary.relaunches, 0);
        assert.equal((summary.wakes['fin'] ?? 0) + (summary.wakes['rst'] ?? 0), 0, 'the connection lived');
        const wakes = events.filter(({ type, cause }) => type === 'wake' && cause === 'data');
        assert(wakes.length >= MESSAGES / 30, `the box slept: ${wakes.length} wakes`);
        const report =
          `${name}: ${sent.length} messages, ${wakes.length} wakes; arrival to running ` +
          `median ${figure(wakes, 0.5)} ms, p99 ${figure(wakes, 0.99)} ms`;
        t.diagnostic(report);
        process.stdout.write(`${report}\n`);
      } finally {
        for (const program of programs.toReversed()) await program.end('SIGTERM');
        directory.remove();
      }
    },
  );
}

/** Whether the device is known with its subscription. */
async function isSubscribed(httpUrl: string): Promise<boolean> {
  const response = await fetch(`${httpUrl}/v1/devices/dev1`);
  if (response.status === 404) return false;
  const { subscriptions } = (await response.json()) as { readonly subscriptions: readonly unknown[] };
  return subscriptions.length > 0;
}

/** The user takes the phone. */
async function wake(directory: string): Promise<void> {
  const ctl = wakeline(['sleepbox', 'ctl', 'wake', '--name', 'mosquitto'], {
    env: { XDG_RUNTIME_DIR: directory },
  });
  const end = await ctl.ended;
  assert.equal(end.code, 0, end.stderr);
}

function startBox(directory: string, port: string, options: readonly string[], events: BoxEvent[]): Program {
  const box = ['sleepbox', '--json', '--window', '150ms', '--name', 'mosquitto', '--'];
  const client = ['mosquitto_sub', '-h', '127.0.0.1', '-p', port, '-i', 'dev1', '-t', 'news/#'];
  return wakeline([...box, ...client, '-c', '-q', '1', '-k', '3600', ...options], {
    env: { XDG_RUNTIME_DIR: directory },
    onLine: (line) => events.push(JSON.parse(line) as BoxEvent),
  });
}

/**
 * Four publishers at once: two mosquitto_pub that read lines, a mosquitto_pub for each message, and HTTP. The pauses
 * are such that the box falls asleep between many of the bursts, and that some messages hit the moment of freezing.
 */
async function publishAll(
  prng: Prng,
  mqttPort: string,
  httpUrl: string,
  programs: Program[],
): Promise<readonly Sent[]> {
  const sent: Sent[] = [];
  const note = (publisher: string, number: number): Sent => {
    const message = {
      body: `${publisher}-${number}`,
      publisher,
      startMs: performance.now(),
      acceptedMs: Infinity,
    };
    sent.push(message);
    return message;
  };
  const to = (topic: string): readonly string[] => [
    '-h',
    '127.0.0.1',
    '-p',
    mqttPort,
    '-q',
    '1',
    '-t',
    topic,
  ];
  const readers = ['lines-1', 'lines-2'].map(
    (name) => [name, new Program('mosquitto_pub', [...to(`news/${name}`), '-l'])] as const,
  );
  programs.push(...readers.map(([, program]) => program));
  const spawn = async (number: number): Promise<void> => {
    const message = note('spawned', number);
    const end = await runProgram('mosquitto_pub', [...to('news/spawned'), '-m', message.body]);
    assert.equal(end.code, 0, end.stderr);
    message.acceptedMs = performance.now();
  };
  const post = async (number: number): Promise<void> => {
    const message = note('posted', number);
    const response = await fetch(`${httpUrl}/v1/topics/news%2Fx/messages`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: message.body,
    });
    assert.equal(response.status, 201, await response.text());
    message.acceptedMs = performance.now();
  };
  let spawning: Promise<void> = Promise.resolve();
  let posting: Promise<void> = Promise.resolve();
  let burst = 0;
  for (let number = 0; number < MESSAGES; number++) {
    const kind = prng.nextInteger(0, 9);
    if (kind < 4) {
      const [publisher, program] = readers[kind % 2];
      program.write(`${note(publisher, number).body}\n`);
    } else if (kind < 6) spawning = spawning.then(() => spawn(number));
    else posting = posting.then(() => post(number));
    if (burst-- > 0) continue;
    await sleep(pauseMs(prng));
    burst = prng.nextInteger(0, 9) === 0 ? prng.nextInteger(5, 20) : 0;
  }
  await Promise.all([posting, spawning]);
  for (const [, program] of readers) {
    program.endInput();
    assert.equal((await program.ended).code, 0, program.stderr);
  }
  return sent;
}

/** Mostly within a window; around its end, where the box is freezing; or far behind it. */
function pauseMs(prng: Prng): number {
  const kind = prng.nextInteger(0, 9);
  if (kind < 5) return prng.nextInteger(0, 40);
  return kind < 8 ? prng.nextInteger(140, 180) : prng.nextInteger(250, 500);
}

function checkOrder(sent: readonly Sent[], printed: readonly string[]): void {
  assert.deepEqual(printed.toSorted(), sent.map(({ body }) => body).toSorted(), 'each message once');
  const messageOf = new Map(sent.map((message) => [message.body, message]));
  const inOrder = printed.map((body) => messageOf.get(body)!);
  for (const publisher of new Set(sent.map((message) => message.publisher))) {
    const of = (messages: readonly Sent[]): readonly string[] =>
      messages.filter((message) => message.publisher === publisher).map(({ body }) => body);
    assert.deepEqual(of(inOrder), of(sent), `in the order of ${publisher}`);
  }
  // Accepted before another was even begun: printed before it.
  let latestStart = inOrder[0];
  for (const message of inOrder) {
    assert(
      message.acceptedMs > latestStart.startMs,
      `${message.body} was accepted before ${latestStart.body} began, and printed after it`,
    );
    if (message.startMs > latestStart.startMs) latestStart = message;
  }
}

function figure(wakes: readonly BoxEvent[], share: number): string {
  return percentile(
    wakes.map(({ latencyMs }) => latencyMs),
    share,
  ).toFixed(2);
}
