/**
 * Proof that nothing a peer may rely on leaves before it is on disk: by the system calls of the real process, and by
 * a store that holds back or refuses its sync.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '@wakeline/core/testing';
import { startServer } from '@wakeline/server';
import { loadConfig } from '@wakeline/server/config';
import { LedgerClient } from './ledger-client.js';
import { PATIENCE_MS } from './program.js';
import { ServerProcess, sleep, temporaryDirectory, until } from './support.js';

const hasStrace = spawnSync('strace', ['-V']).status === 0;

/** One system call of the trace, from the line on which it returned. */
interface Call {
  readonly index: number;
  readonly name: string;
  /** Everything between the parentheses, buffers as text. */
  readonly args: string;
}

test('[IN-1] by system-call trace: CONNACK, SUBACK, PUBACK, PUBREC, PUBCOMP and 201 follow their sync', async (t) => {
  if (!hasStrace) return t.skip('strace is not installed: tools/peers.sh installs it');
  const directory = temporaryDirectory('wakeline-trace');
  const traceFile = join(directory.path, 'trace.txt');
  const calls = 'trace=openat,read,write,writev,pwrite64';
  // -D: the tracer is the grandchild, so that signals reach the server.
  const strace = ['strace', '-D', '-f', '-y', '-s', '65536', '-o', traceFile, '-e', calls];
  const server = await ServerProcess.create(join(directory.path, 'data'), strace);
  const device = new LedgerClient('traced-device', server.mqttPort);
  const sender = new LedgerClient('traced-sender', server.mqttPort);
  try {
    await server.start();
    assert(await device.connect());
    await device.subscribe([
      { filter: 'traced-filter/#', qos: 1 },
      { filter: '$line/inbox/#', qos: 1 },
    ]);
    assert(await sender.connect());
    sender.publish('traced-filter/a', 'traced-body-qos-1', 1);
    await until(
      () => sender.open.size === 0,
      PATIENCE_MS,
      () => 'PUBACK',
    );
    sender.publish('traced-filter/a', 'traced-body-qos-2', 2);
    await until(
      () => sender.open.size === 0,
      PATIENCE_MS,
      () => 'PUBCOMP',
    );
    const response = await fetch(`${server.url}/v1/devices/traced-device/messages`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body: 'traced-body-http',
    });
    assert.equal(response.status, 201);
    await until(
      () => device.received.length === 3,
      PATIENCE_MS,
      () => `${device.received.length} of 3 delivered`,
    );
  } finally {
    device.destroy();
    sender.destroy();
    await server.stop();
  }
  const isWhole = (): boolean => /\+\+\+ exited with 0 \+\+\+\s*$/.test(readFileSync(traceFile, 'utf8'));
  await until(isWhole, PATIENCE_MS, () => 'the trace is written to its end');
  const trace = parseTrace(readFileSync(traceFile, 'utf8'));
  directory.remove();

  // What is sought in the request, in the bytes written to the data file, and in the answer.
  const expected: readonly (readonly [what: string, request: string, stored: string, answer: RegExp])[] = [
    ['CONNACK', 'traced-device', 'traced-device', /^" \\2\\0\\0"/],
    ['SUBACK', 'traced-filter/#', 'traced-filter/#', /^"\\220\\4/],
    ['PUBACK', 'traced-body-qos-1', 'traced-body-qos-1', /^"@\\2/],
    ['PUBREC', 'traced-body-qos-2', 'traced-body-qos-2', /^"P\\2/],
    ['201', 'traced-body-http', 'traced-body-http', /HTTP\/1\.1 201/],
  ];
  for (const [what, request, stored, answer] of expected) {
    const asked = find(
      trace,
      0,
      (call) => call.name === 'read' && call.args.includes(request),
      `${what}: request`,
    );
    const sync = findSync(trace, asked.index, stored, what);
    const answered = findAnswer(trace, asked.index, answer, what);
    assert(answered.index > sync, `${what} was written at ${answered.index}, its sync returned at ${sync}`);
    // And the message itself goes to nobody before.
    if (!stored.startsWith('traced-body')) continue;
    const sent = find(
      trace,
      asked.index,
      ({ name, args }) => isSocketWrite(name, args) && args.includes(stored),
      `${what}: delivery`,
    );
    assert(sent.index > sync, `${stored} was delivered at ${sent.index}, its sync returned at ${sync}`);
  }
  // PUBREL carries no text: its answer follows a sync that began after it was read.
  const released = find(trace, 0, ({ name, args }) => name === 'read' && /"b\\2/.test(args), 'PUBREL');
  const sync = findSync(trace, released.index, '', 'PUBCOMP');
  assert(findAnswer(trace, released.index, /^"p\\2/, 'PUBCOMP').index > sync, 'PUBCOMP follows its sync');
});

function parseTrace(text: string): readonly Call[] {
  const calls: Call[] = [];
  /** Calls of a thread that another thread's line interrupted. */
  const unfinished = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    const match = /^(\d+) +(.*)$/.exec(line);
    if (match === null) continue;
    const [, thread, rest] = match;
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    if (resumed !== null) {
      const begun = unfinished.get(thread) ?? '';
      unfinished.delete(thread);
      add(index, begun + resumed[2]);
    } else if (rest.endsWith('<unfinished ...>')) {
      const begun = rest.slice(0, -'<unfinished ...>'.length);
      unfinished.set(thread, begun);
      // An answer counts from when it began to leave.
      if (isSocketWrite(begun.slice(0, begun.indexOf('(')), begun)) add(index, begun);
    } else add(index, rest);
  }
  return calls;

  function add(index: number, call: string): void {
    const open = call.indexOf('(');
    if (open > 0) calls.push({ index, name: call.slice(0, open), args: call.slice(open + 1) });
  }
}

function isSocketWrite(name: string, args: string): boolean {
  return (name === 'write' || name === 'writev') && /^(\w+\()?\d+<(socket|TCP)/.test(args);
}

function find(trace: readonly Call[], from: number, isIt: (call: Call) => boolean, what: string): Call {
  const call = trace.find((each) => each.index >= from && isIt(each));
  assert(call !== undefined, `the trace has: ${what}`);
  return call;
}

/** Index at which the commit that stores `text` had returned: a write to the journal that syncs by itself. */
function findSync(trace: readonly Call[], from: number, text: string, what: string): number {
  const isJournalWrite = ({ name, args }: Call): boolean =>
    name === 'pwrite64' && /^\d+<[^>]*journal\.[01]>/.test(args) && /= \d+$/.test(args);
  const written = find(
    trace,
    from,
    (call) => isJournalWrite(call) && call.args.includes(text),
    `${what}: journal`,
  );
  const descriptor = /^\d+<[^>]*>/.exec(written.args)![0];
  const opened = trace.findLast(
    ({ index, name, args }) => index < written.index && name === 'openat' && args.endsWith(`= ${descriptor}`),
  );
  assert.match(opened?.args ?? 'not opened', /O_DSYNC/, `${what}: the descriptor syncs what is written`);
  return written.index;
}

function findAnswer(trace: readonly Call[], from: number, answer: RegExp, what: string): Call {
  return find(
    trace,
    from,
    ({ name, args }) => {
      if (!isSocketWrite(name, args)) return false;
      const buffer = args.slice(args.indexOf('"'));
      return answer.test(buffer);
    },
    `${what}: answer`,
  );
}

/** The event loop goes round so often that a request to a server in this same process is there, however little time it gets. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await sleep(1);
}

test('[IN-1] a store that holds back its sync holds back the acknowledgements and deliveries; one that fails, fails all behind it', async () => {
  const directory = temporaryDirectory('wakeline-held');
  const store = new MemoryStore();
  const config = loadConfig({
    flags: { data: directory.path, listen: ['mqtt://127.0.0.1:0', 'http://127.0.0.1:0'], logLevel: 'silent' },
    environment: {},
    workingDirectory: directory.path,
    homeDirectory: directory.path,
  });
  const server = await startServer(config, { store });
  const port = Number(new URL(server.addresses[0].url).port);
  const device = new LedgerClient('device', port);
  const sender = new LedgerClient('sender', port);
  try {
    assert(await device.connect());
    await device.subscribe([{ filter: '#', qos: 1 }]);
    assert(await sender.connect());
    await until(
      () => store.pendingCommits === 0,
      PATIENCE_MS,
      () => 'the store is idle',
    );

    store.holdCommits();
    sender.publish('t', 'held', 1);
    sender.publish('t', 'held too', 2);
    await until(
      () => store.pendingCommits > 0,
      PATIENCE_MS,
      () => 'a commit is under way',
    );
    const posted = fetch(`${server.addresses[1].url}/v1/topics/t/messages`, {
      method: 'POST',
      body: 'held as well',
    });
    await turns();
    assert.equal(sender.open.size, 2, 'no PUBACK, no PUBREC');
    assert.deepEqual(device.received, []);
    assert.equal(
      await Promise.race([posted.then(() => 'answered'), sleep(50).then(() => 'waiting')]),
      'waiting',
    );
    store.resumeCommits();
    await until(
      () => sender.open.size === 0,
      PATIENCE_MS,
      () => 'acknowledged after the sync',
    );
    assert.equal((await posted).status, 201);
    await until(
      () => device.received.length === 3,
      PATIENCE_MS,
      () => 'delivered after the sync',
    );

    store.holdCommits();
    const connection = sender.connection;
    sender.publish('t', 'lost', 1);
    await until(
      () => store.pendingCommits > 0,
      PATIENCE_MS,
      () => 'a commit is under way',
    );
    const behind = fetch(`${server.addresses[1].url}/v1/topics/t/messages`, {
      method: 'POST',
      body: 'behind it',
    });
    await turns();
    store.failNextCommit();
    store.resumeCommits();
    assert.equal((await behind).status, 503);
    // MQTT 3.1.1 has no other way to say no: the connection ends, and the client sends again.
    await until(
      () => !sender.isConnected,
      PATIENCE_MS,
      () => 'the sender is told',
    );
    assert.equal(sender.open.size, 1);
    await sleep(200);
    assert.equal(device.received.length, 3);
    assert(await sender.connect());
    assert.equal(sender.connection, connection + 1);
    await until(
      () => sender.open.size === 0,
      PATIENCE_MS,
      () => 'sent again and acknowledged',
    );
    await until(
      () => device.received.length === 4,
      PATIENCE_MS,
      () => 'delivered',
    );
    // The number given out in vain is given out anew: no hole.
    assert.deepEqual(
      device.received.map(({ packetId }) => packetId),
      [1, 2, 3, 4],
    );
  } finally {
    device.destroy();
    sender.destroy();
    await server.stop();
    directory.remove();
  }
});
