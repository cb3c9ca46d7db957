/** The demo as a newcomer runs it: it ends well, tells its steps in order, and loses nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runProgram, wakeline } from './program.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** What the demo tells, in this order; other lines may come between. */
const STEPS: readonly RegExp[] = [
  /A server starts/,
  /server .*ready/,
  /phone .*app launched/,
  /app .*subscribed/,
  /phone .*asleep/,
  /message by HTTP/,
  /server .*synced to disk/,
  /phone .*running/,
  /notification shown.*Dinner at eight\?/,
  /server .*acknowledged/,
  /phone .*asleep/,
  /message by MQTT/,
  /phone .*running/,
  /notification shown.*Rain from six/,
  /Three at once/,
  /phone .*running/,
  /notification shown.*(one|two|three)/,
  /phone .*asleep/,
  /crashes the app/,
  /phone .*app died/,
  /phone .*app relaunched/,
  /notification shown.*crash/,
  /A SIP phone \((baresip|the small phone).*\) registers over TCP/,
  /app .*registered .*bob@home\.test/,
  /phone .*asleep/,
  /sender .*calls .*ann@home\.test calls bob@home\.test/,
  /phone .*running .*woken by data/,
  /app .*rings/,
  /sender .*200 OK/,
  /call answered by the sleeping phone +yes/,
  /Nothing was lost\./,
];

test('`npm run demo` leaves with exit code 0 and tells its steps in order', async () => {
  const end = await runProgram('npm', ['run', 'demo'], { cwd: repository });
  assert.equal(end.code, 0, end.stdout + end.stderr);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(end.stdout, /\u001b\[/, 'no colours where there is no terminal');
  const lines = end.stdout.split('\n');
  let from = 0;
  for (const step of STEPS) {
    const index = lines.findIndex((line, each) => each >= from && step.test(line));
    assert(index >= 0, `${step} comes after line ${from}: ${end.stdout}`);
    from = index + 1;
  }
});

interface DemoLine {
  readonly elapsedMs?: number;
  readonly lane?: string;
  readonly what?: string;
  readonly chapter?: string;
  readonly result?: Readonly<Record<string, string | number>>;
  readonly verdict?: string;
}

test('`wakeline demo --json` prints JSON lines, and no message is lost or shown twice', async () => {
  const demo = wakeline(['demo', '--json']);
  demo.endInput();
  const end = await demo.ended;
  assert.equal(end.code, 0, end.stdout + end.stderr);
  assert.equal(end.stderr, '');
  const lines = end.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as DemoLine);
  const events = lines.filter(({ lane }) => lane !== undefined);
  for (const [index, { elapsedMs, what }] of events.entries()) {
    assert(typeof elapsedMs === 'number' && typeof what === 'string');
    assert(index === 0 || elapsedMs >= events[index - 1].elapsedMs!, 'in the order of time');
  }
  assert.equal(lines.filter(({ chapter }) => chapter !== undefined).length, 6);
  const { result, verdict } = lines.at(-1)!;
  assert(result !== undefined);
  assert.equal(verdict, 'Nothing was lost.');
  assert(Number(result['messages sent and accepted']) >= 6);
  assert.equal(result['shown on the phone'], result['messages sent and accepted']);
  assert.equal(result['acknowledged to the server'], result['messages sent and accepted']);
  assert.equal(result['shown twice'], 0);
  assert.equal(result['still waiting on the server'], 0);
  assert.equal(result['relaunches after a crash'], 1);
  assert.equal(result['call answered by the sleeping phone'], 'yes');
  assert.match(String(result['INVITE to ringing']), /^\d+ ms$/);
  const packets = /^(\d+) and (\d+)$/.exec(String(result['voice packets to and from the phone']))!;
  // Three seconds of voice, 50 packets a second, less the edges.
  assert(Number(packets[1]) >= 135 && Number(packets[2]) >= 135, packets[0]);
});
