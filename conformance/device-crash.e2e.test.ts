/**
 * An app with the SDK that is killed (SIGKILL) at random moments while messages flow, from its launch on: each message reaches its
 * handler, and none reaches it again once its acknowledgement was stored.
 *
 * Short by default; WAKELINE_LONG=1 makes it 100 kills. WAKELINE_SEED picks the moments.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Prng, SequenceSet } from '@wakeline/core/base';
import { isCursorValue } from '@wakeline/core/device';
import { memoryStorage, openLine, type Line } from '@wakeline/device';
import { PATIENCE_MS, Program } from './program.js';
import { ServerProcess, sleep, temporaryDirectory, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const seed = Number(process.env['WAKELINE_SEED'] ?? (isLong ? Date.now() % 1_000_000 : 1));
const kills = isLong ? 100 : 12;

/** Every other kill comes at most so long after the launch, ms: about as long as it takes to launch and to begin. */
const LAUNCH_MS_MAX = 1_000;
/** The others at most so long after the app got its first message, ms. */
const FLOW_MS_MAX = 400;
/** Messages that may wait for the app. */
const BACKLOG_MAX = 200;

interface Note {
  readonly kind: 'start' | 'online' | 'message' | 'stored';
  readonly pid: number;
  readonly sequence: number;
  readonly text: string;
}

/** What the app noted so far; a line that a kill has cut off is none. */
function readNotes(path: string): readonly Note[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Note);
}

/** The numbers that the app's storage says are handled. */
function readCursor(directory: string): SequenceSet {
  let text: string;
  try {
    text = readFileSync(join(directory, 'cursor.json'), 'utf8');
  } catch {
    return new SequenceSet(0, []);
  }
  const value: unknown = JSON.parse(text);
  assert(isCursorValue(value), `${text} is a cursor`);
  return new SequenceSet(value.through, value.beyond);
}

test(`[SD-1] [SD-2] an app killed at ${kills} random moments handles each message, and none again after its end was stored, seed ${seed}`, async (t) => {
  const directory = temporaryDirectory('wakeline-device-crash');
  const server = await ServerProcess.create(join(directory.path, 'server'));
  const storage = join(directory.path, 'device');
  const notes = join(directory.path, 'notes');
  const prng = new Prng(seed);
  let sender: Line | undefined;
  let app: Program | undefined;
  try {
    await server.start();
    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    const script = fileURLToPath(new URL('device-app.js', import.meta.url));
    const launch = (): Program =>
      new Program(process.execPath, [script, url, 'app', storage, notes, 'flow/#']);

    // Subscribed before the first message is sent.
    app = launch();
    await app.line(/^online$/);

    sender = openLine({ url, deviceId: 'sender', storage: memoryStorage(), inbox: false, keepalive: 'none' });
    let sent = 0;
    let isSending = true;
    const handled = new Set<string>();
    const send = async (): Promise<void> => {
      while (isSending) {
        if (sent - handled.size > BACKLOG_MAX) await sleep(5);
        else await sender!.publish('flow/x', String((sent += 1)));
      }
    };
    const sending = Promise.all([send(), send(), send()]);

    /** By kill: what was stored at that moment, and how many notes there were. */
    const storedAt: { readonly notes: number; readonly cursor: SequenceSet }[] = [];
    let midFlow = 0;
    for (let kill = 0; kill < kills; kill += 1) {
      if (kill % 2 === 0) await app.line(/^handling$/);
      await sleep(prng.nextInteger(0, kill % 2 === 0 ? FLOW_MS_MAX : LAUNCH_MS_MAX));
      await app.end('SIGKILL');
      const known = readNotes(notes);
      for (const { kind, text } of known) if (kind === 'message') handled.add(text);
      const own = known.filter(({ pid }) => pid === app!.pid);
      if (own.some(({ kind }) => kind === 'message')) midFlow += 1;
      storedAt.push({ notes: known.length, cursor: readCursor(storage) });
      app = launch();
    }
    isSending = false;
    await sending;
    await until(
      () => {
        for (const { kind, text } of readNotes(notes)) if (kind === 'message') handled.add(text);
        return handled.size === sent;
      },
      PATIENCE_MS,
      () => `all ${sent} are handled; ${handled.size} are: ${app!.stderr}`,
    );
    // Its handler of SIGTERM is there by then.
    await app.line(/^online$/);
    const end = await app.end('SIGTERM');
    assert.equal(end.code, 0, end.stderr);

    const all = readNotes(notes);
    const repeats = all.filter(({ kind }) => kind === 'message').length - handled.size;
    for (const [index, { notes: from, cursor }] of storedAt.entries()) {
      const again = all
        .slice(from)
        .filter(({ kind, sequence }) => kind === 'message' && cursor.has(sequence));
      assert.deepEqual(again, [], `after kill ${index + 1}`);
    }
    const stored = new Set<number>();
    for (const { kind, sequence } of all) {
      if (kind === 'stored') stored.add(sequence);
      if (kind === 'message')
        assert(!stored.has(sequence), `${sequence} came again after its end was stored`);
    }
    const last = readCursor(storage);
    assert(last.through === sent, `the cursor ends at ${last.through}, of ${sent}`);
    assert(midFlow >= kills / 2, `${midFlow} of ${kills} kills came in the midst of messages`);
    t.diagnostic(
      `${kills} kills, ${midFlow} in the midst of messages; ${sent} messages, each handled; ` +
        `${repeats} handled again, none of them stored before`,
    );
  } finally {
    await app?.end('SIGKILL');
    await sender?.close();
    await server.kill();
    directory.remove();
  }
});
