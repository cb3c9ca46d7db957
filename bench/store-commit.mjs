#!/usr/bin/env node
/**
 * Synced messages per second: the embedded store beside a plain file with fdatasync, in one run.
 *
 *     node bench/store-commit.mjs [--seconds 5] [--in-flight 1000] [--message-bytes 200] [--directory DIR] [--json]
 *
 * As many messages as are in flight are copied into chunks, committed in one batch, and begun anew when it is
 * synced. `append` only adds; `steady` deletes as many chunks as it adds, in the same commit, so that the file
 * stays at its size; `halves` has two batches of half the messages under way. Needs a build (`npm run build`).
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openLmdbStore } from '../packages/server/dist/src/stores/lmdb/index.js';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    'in-flight': { type: 'string', default: '1000' },
    'message-bytes': { type: 'string', default: '200' },
    directory: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});
const seconds = Number(options.seconds);
const inFlight = Number(options['in-flight']);
const messageBytes = Number(options['message-bytes']);
/** Length, flags, expiry, channel, one recipient: about what a record carries besides its body. */
const RECORD_EXTRA_BYTES = 30;
const PAGE_BYTES = 4096;
/** Header of LMDB's first overflow page: a chunk of exactly 16 KB would take a fifth page. */
const PAGE_HEADER_BYTES = 24;
/** Chunks that stay in the `steady` case. */
const KEPT_CHUNKS = 5_000;

const body = randomFillSync(new Uint8Array(messageBytes));

/** Copies `count` messages into chunks, as the hub does. */
function chunksOf(count, chunkBytes) {
  const recordBytes = messageBytes + RECORD_EXTRA_BYTES;
  const perChunk = Math.max(1, Math.floor(chunkBytes / recordBytes));
  const memory = new Uint8Array(count * recordBytes);
  const chunks = [];
  for (let first = 0; first < count; first += perChunk) {
    const end = Math.min(count, first + perChunk);
    for (let index = first; index < end; index++) memory.set(body, index * recordBytes + RECORD_EXTRA_BYTES);
    chunks.push(memory.subarray(first * recordBytes, end * recordBytes));
  }
  return chunks;
}

function logKey(position) {
  const key = new Uint8Array(6);
  new DataView(key.buffer).setUint16(0, Math.floor(position / 2 ** 32));
  new DataView(key.buffer).setUint32(2, position >>> 0);
  return key;
}

/** Runs `commit(messages)` for the time, `lanes` at once. */
async function measure(name, lanes, commit, dataBytes) {
  const latenciesMs = [];
  let messages = 0;
  const perCommit = Math.floor(inFlight / lanes);
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (performance.now() < endMs) {
        const beginMs = performance.now();
        await commit(perCommit);
        latenciesMs.push(performance.now() - beginMs);
        messages += perCommit;
      }
    }),
  );
  const elapsed = (performance.now() - startMs) / 1000;
  latenciesMs.sort((a, b) => a - b);
  const at = (share) => Number(latenciesMs[Math.floor(latenciesMs.length * share)].toFixed(2));
  return {
    name,
    commitsPerSecond: Math.round(latenciesMs.length / elapsed),
    messagesPerSecond: Math.round(messages / elapsed),
    commitMsP50: at(0.5),
    commitMsP99: at(0.99),
    dataBytesPerMessage: Math.round((await dataBytes()) / messages),
  };
}

async function lmdbCase(
  name,
  { lanes = 1, chunkBytes = 4 * PAGE_BYTES - PAGE_HEADER_BYTES, isSteady = false },
) {
  const directory = join(base, name);
  const store = await openLmdbStore({ directory });
  let head = 0;
  let tail = 0;
  const commit = (count) => {
    const changes = chunksOf(count, chunkBytes).map((value) => ({
      table: 'log',
      key: logKey(head++),
      value,
    }));
    while (isSteady && head - tail > KEPT_CHUNKS)
      changes.push({ table: 'log', key: logKey(tail++), value: undefined });
    return store.commit(changes);
  };
  const result = await measure(name, lanes, commit, async () => (await store.stats()).usedBytes);
  await store.close();
  await rm(directory, { recursive: true });
  return result;
}

async function fileCase() {
  const directory = join(base, 'file');
  await mkdir(directory);
  const file = await open(join(directory, 'log'), 'a');
  const commit = async (count) => {
    await file.writev(chunksOf(count, 4 * PAGE_BYTES));
    await file.datasync();
  };
  const result = await measure('plain file', 1, commit, async () => (await file.stat()).size);
  await file.close();
  return result;
}

const base = await mkdtemp(join(options.directory, 'wakeline-bench-'));
try {
  const results = [
    await fileCase(),
    await lmdbCase('append', {}),
    await lmdbCase('append 16384', { chunkBytes: 16_384 + RECORD_EXTRA_BYTES + messageBytes }),
    await lmdbCase('halves', { lanes: 2 }),
    await lmdbCase('steady', { isSteady: true }),
  ];
  if (options.json) {
    const setting = { seconds, inFlight, messageBytes, node: process.version };
    console.log(JSON.stringify({ bench: 'store-commit', at: new Date().toISOString(), ...setting, results }));
  } else {
    console.table(results);
  }
} finally {
  await rm(base, { recursive: true, force: true });
}
