/**
 * Two sleeping phones behind NATs that forget a connection after 5 s: one has said which gap its network needs, one has
 * not. Nobody's app runs for it: the server's kernel keeps the path of the first one open, and the phone's kernel answers.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import mqtt from 'mqtt';
import { PATIENCE_MS, startWakeline, wakeline, whyMissing } from './program.js';
import type { Program } from './program.js';
import { sleep, temporaryDirectory, until } from './support.js';

const NAT_IDLE = '5s';
const GAP_MS = 2_000;
/** More than two idle times of the NAT. */
const SILENCE_MS = 12_000;
/** The machine's 127.0.0.1, to a program behind the NAT. */
const NAT_HOST = '198.18.0.1';

const missing =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'a NAT needs root on Linux'
    : whyMissing('ip', 'nft', 'nsenter', 'unshare');

/** A line of a box's timeline, as far as it matters here. */
interface BoxEvent {
  readonly type: string;
  readonly cause?: string;
  readonly line?: string;
}

interface Phone {
  readonly name: string;
  readonly box: Program;
  readonly events: BoxEvent[];
}

function startPhone(directory: string, name: string, port: string, gapMs: number): Phone {
  const events: BoxEvent[] = [];
  const client = [
    process.execPath,
    join(import.meta.dirname, 'gap-client.js'),
    NAT_HOST,
    port,
    name,
    String(gapMs),
  ];
  const flags = ['--json', '--window', '4s', '--name', name, '--nat', NAT_IDLE];
  const box = wakeline(['sleepbox', ...flags, '--', ...client], {
    env: { XDG_RUNTIME_DIR: directory },
    onLine: (line) => events.push(JSON.parse(line) as BoxEvent),
  });
  return { name, box, events };
}

/** Whether the program is frozen now. What it printed before may be told behind that. */
const isAsleep = ({ events }: Phone): boolean =>
  events.findLast(({ type }) => ['launch', 'asleep', 'wake'].includes(type))?.type === 'asleep';

/** The user takes the phone, which sleeps. */
async function take({ name, events }: Phone, directory: string): Promise<void> {
  const wakes = (): number => events.filter(({ type }) => type === 'wake').length;
  const before = wakes();
  const ctl = wakeline(['sleepbox', 'ctl', 'wake', '--name', name], { env: { XDG_RUNTIME_DIR: directory } });
  const end = await ctl.ended;
  assert.equal(end.code, 0, end.stderr);
  await until(
    () => wakes() > before,
    PATIENCE_MS,
    () => `${name} was taken`,
  );
}

const printed = ({ events }: Phone, text: string): boolean =>
  events.some(({ type, line }) => type === 'output' && line === text);

test(
  '[KA-23] behind a NAT, a gap keeps the path of a sleeping phone open and wakes nobody',
  { skip: missing ?? false },
  async (t) => {
    const directory = temporaryDirectory('wakeline-gap');
    const programs: Program[] = [];
    try {
      const listen = ['--listen', 'mqtt://127.0.0.1:0'];
      const { server, urls } = await startWakeline(['--data', join(directory.path, 'data'), ...listen]);
      programs.push(server);
      const { port } = urls[0]!;
      const withGap = startPhone(directory.path, 'with-gap', port, GAP_MS);
      const without = startPhone(directory.path, 'without', port, 0);
      programs.push(withGap.box, without.box);
      for (const phone of [withGap, without]) {
        await until(
          async () => {
            const isReady = printed(phone, 'ready');
            // On a busy machine it may take more than one window until it is connected.
            if (!isReady && isAsleep(phone)) await take(phone, directory.path);
            return isReady && isAsleep(phone);
          },
          PATIENCE_MS,
          () => `connected and asleep: ${phone.box.stdout}${phone.box.stderr}`,
        );
      }
      // The last acknowledgements of the dialog may still come.
      await sleep(1_000);
      const seen = withGap.events.length;
      await sleep(SILENCE_MS);
      assert.deepEqual(
        withGap.events.slice(seen).filter(({ type }) => type === 'wake'),
        [],
        'the probes woke nobody',
      );
      const sender = await mqtt.connectAsync(urls[0]!.href, { protocolVersion: 5 });
      await sender.publishAsync('news', 'hello', { qos: 1 });
      await sender.endAsync();
      await until(
        () => printed(withGap, 'message hello'),
        PATIENCE_MS,
        () => `the message came through: ${withGap.box.stdout}`,
      );
      const woken = withGap.events.slice(seen).filter(({ type }) => type === 'wake');
      assert.deepEqual(
        woken.map(({ cause }) => cause),
        ['data'],
      );
      assert.equal(printed(without, 'message hello'), false, 'the NAT has forgotten the other one');
      t.diagnostic(
        `after ${SILENCE_MS} ms behind a NAT of ${NAT_IDLE}: with a gap of ${GAP_MS} ms reached, without not`,
      );
    } finally {
      for (const program of programs.toReversed()) await program.end('SIGTERM');
      directory.remove();
    }
  },
);
