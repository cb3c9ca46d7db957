import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../fast-check.js';
import { encodeUtf8, Prng } from '../../../src/base/index.js';
import { decodeFrame, webPushFrameLimits, type ClientMessage } from '../../../src/wire/webpush/index.js';
import { runs } from '../mqtt/helpers.js';

const SEED = 20_261_125;

const channelId = fc.uuid();
const version = fc.stringMatching(/^[0-9a-f]{16}\.[1-9][0-9]{0,5}$/);
const broadcasts = fc.dictionary(fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 }), {
  maxKeys: 5,
  noNullPrototype: true,
});

/** A frame as its client would write it, and the message that it is. */
const anyFrame: fc.Arbitrary<{ readonly frame: object; readonly message: ClientMessage }> = fc.oneof(
  fc
    .record({ uaid: fc.option(fc.stringMatching(/^[0-9a-f]{32}$/), { nil: undefined }), broadcasts })
    .map(({ uaid, broadcasts: asked }): { frame: object; message: ClientMessage } => ({
      frame: { messageType: 'hello', use_webpush: true, uaid, broadcasts: asked },
      message: { type: 'hello', uaid, broadcasts: Object.entries(asked) },
    })),
  fc
    .record({ channelId, key: fc.option(fc.stringMatching(/^B[\w-]{86}$/), { nil: undefined }) })
    .map(({ channelId: id, key }): { frame: object; message: ClientMessage } => ({
      frame: { messageType: 'register', channelID: id, key },
      message: { type: 'register', channelId: id, key },
    })),
  fc
    .record({ channelId, code: fc.constantFrom(200, 201, 202) })
    .map(({ channelId: id, code }): { frame: object; message: ClientMessage } => ({
      frame: { messageType: 'unregister', channelID: id, code },
      message: { type: 'unregister', channelId: id, code },
    })),
  fc
    .array(
      fc.record({ channelId, version, code: fc.constantFrom(100, 101, 102) }, { noNullPrototype: true }),
      { maxLength: 20 },
    )
    .map((updates): { frame: object; message: ClientMessage } => ({
      frame: {
        messageType: 'ack',
        updates: updates.map(({ channelId: channelID, ...rest }) => ({ channelID, ...rest })),
      },
      message: { type: 'ack', updates: updates as Extract<ClientMessage, { type: 'ack' }>['updates'] },
    })),
  fc
    .record({ version, code: fc.constantFrom(301, 302, 303) })
    .map(({ version: of, code }): { frame: object; message: ClientMessage } => ({
      frame: { messageType: 'nack', version: of, code },
      message: { type: 'nack', version: of, code: code as 301 },
    })),
  broadcasts.map((asked): { frame: object; message: ClientMessage } => ({
    frame: { messageType: 'broadcast_subscribe', broadcasts: asked },
    message: { type: 'broadcast-subscribe', broadcasts: Object.entries(asked) },
  })),
);

test(`what a client writes is read as it was meant (seed ${SEED})`, () => {
  fc.assert(
    fc.property(
      anyFrame,
      fc.dictionary(fc.stringMatching(/^x[a-z]+$/), fc.jsonValue({ maxDepth: 3 })),
      (sent, more) => {
        const bytes = encodeUtf8(JSON.stringify({ ...more, ...sent.frame }));
        assert.deepEqual(decodeFrame(bytes), sent.message);
      },
    ),
    { seed: SEED, numRuns: runs(2_000, 100_000) },
  );
});

test(`[WP-3] mutated frames never throw, and end in a value with a reason (seed ${SEED})`, (context) => {
  const prng = new Prng(SEED);
  const corpus = fc
    .sample(anyFrame, { numRuns: 500, seed: SEED })
    .map(({ frame }) => encodeUtf8(JSON.stringify(frame)));
  const counts = new Map<string, number>();
  for (let run = runs(20_000, 2_000_000); run > 0; run -= 1) {
    let bytes = Uint8Array.from(corpus[prng.nextInteger(0, corpus.length - 1)]!);
    for (let change = prng.nextInteger(1, 4); change > 0 && bytes.length > 0; change -= 1) {
      const at = prng.nextInteger(0, bytes.length - 1);
      const to = prng.nextInteger(0, bytes.length - 1);
      switch (prng.nextInteger(0, 3)) {
        case 0:
          bytes[at] = prng.nextInteger(0, 255);
          break;
        case 1:
          // Characters that mean something to JSON.
          bytes[at] = encodeUtf8('{}[]":,\\e-0n')[prng.nextInteger(0, 11)]!;
          break;
        case 2:
          bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(to));
          break;
        default:
          bytes = bytes.slice(0, at);
      }
    }
    const lent = Uint8Array.from(bytes);
    const decoded = decodeFrame(lent);
    const copy = JSON.stringify(decoded);
    // What was lent is reused: nothing that is kept may point into it.
    lent.fill(0x41);
    assert.equal(JSON.stringify(decoded), copy);
    const kind = decoded.type === 'malformed' ? decoded.reason : decoded.type;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  // The mutations reach more than the JSON parser.
  for (const kind of ['packet-malformed', 'protocol-error', 'refused-request', 'hello', 'ack', 'register']) {
    assert.ok((counts.get(kind) ?? 0) > 10, kind);
  }
});

test(`[WP-3] random bytes of any length up to the limit and beyond (seed ${SEED})`, () => {
  const prng = new Prng(SEED);
  for (let run = runs(100, 10_000); run > 0; run -= 1) {
    const bytes = new Uint8Array(prng.nextInteger(0, webPushFrameLimits.frameBytesMax + 100));
    for (let index = 0; index < bytes.length; index += 1) bytes[index] = prng.nextInteger(0, 255);
    assert.equal(decodeFrame(bytes).type, 'malformed');
  }
});
