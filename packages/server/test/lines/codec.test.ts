import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteWriter, encodeUtf8 } from '@wakeline/core/base';
import { noBytes, openAccess } from '@wakeline/core/domain';
import type { LinkCommand, LinkEvent, Publication } from '@wakeline/core/domain';
import fc from '../fast-check.js';
import { CommandReader, encodeCommand, keptCommand } from '../../src/lines/command-codec.js';
import { EventReader, EventWriter } from '../../src/lines/event-codec.js';
import { FRAME_HEAD_BYTES, FrameReader, LinkError } from '../../src/lines/link-frames.js';

const bytes = (max: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc
  .string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
  .filter((one) => !one.includes('\0'));
const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2);

const publication: fc.Arbitrary<Publication> = fc.record({
  topic: text,
  body: bytes(200),
  properties: fc.oneof(fc.constant(noBytes), bytes(40)),
  qos,
  retain: fc.boolean(),
  expirySeconds: fc.option(u32, { nil: undefined }),
  urgency: fc.constantFrom<0 | 1 | 2 | 3>(0, 1, 2, 3),
  replaceKey: fc.option(text, { nil: undefined }),
});

const command: fc.Arbitrary<LinkCommand> = fc.oneof(
  fc.record({ kind: fc.constant('publish' as const), publication, packetId: u16 }),
  fc.record({ kind: fc.constantFrom('acknowledge', 'received', 'complete'), sequence: u32 }),
  fc.record({ kind: fc.constant('release' as const), packetId: u16 }),
  fc.record({ kind: fc.constant('writable' as const), writable: fc.boolean() }),
  fc.record({
    kind: fc.constant('unsubscribe' as const),
    ticket: u16,
    filters: fc.array(text, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('register' as const),
    ticket: u32,
    channel: text,
    tokenSha256: text,
    vapidKey: fc.option(text, { nil: undefined }),
    qos,
    packetId: u16,
  }),
  fc.record({ kind: fc.constant('unregister' as const), ticket: u32, channel: text, qos, packetId: u16 }),
  fc.record({ kind: fc.constant('fail' as const), sequence: u32, reason: text }),
  fc.record({
    kind: fc.constant('open' as const),
    link: fc.constantFrom('mqtt' as const, 'webpush' as const),
    peer: text,
    identity: fc.constantFrom(
      { kind: 'anonymous' } as const,
      { kind: 'user', name: 'u', access: openAccess } as const,
      { kind: 'agent', sha256: undefined, freshSha256: 'ab' } as const,
    ),
    clientId: text,
    clean: fc.boolean(),
    sessionExpirySeconds: u32,
    receiveMaximum: u16,
    will: fc.option(fc.record({ publication, delaySeconds: u32 }), { nil: undefined }),
  }),
);

const event: fc.Arbitrary<LinkEvent> = fc.oneof(
  fc.record({
    kind: fc.constant('deliver' as const),
    delivery: fc.record({
      sequence: u32,
      qos,
      retain: fc.boolean(),
      duplicate: fc.boolean(),
      topic: bytes(60),
      properties: bytes(40),
      body: bytes(200),
      expirySeconds: fc.option(u32, { nil: undefined }),
      subscriptionIds: fc.array(u32, { maxLength: 3 }),
    }),
  }),
  fc.record({
    kind: fc.constant('accepted' as const),
    packetId: u16,
    qos,
    reason: fc.constantFrom(undefined, 'inbox-full' as const),
    matched: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('completed' as const), packetId: u16, found: fc.boolean() }),
  fc.record({ kind: fc.constant('release' as const), sequence: u32 }),
  fc.record({
    kind: fc.constant('opened' as const),
    deviceId: text,
    epoch: fc.uint8Array({ minLength: 8, maxLength: 8 }),
    assigned: fc.boolean(),
    sessionPresent: fc.boolean(),
    released: fc.array(u32, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant('registered' as const),
    ticket: u32,
    reason: fc.constantFrom(undefined, 'channels-full' as const),
  }),
  fc.record({
    kind: fc.constant('unregistered' as const),
    ticket: u32,
    reason: fc.constant(undefined),
    found: fc.boolean(),
  }),
  fc.constant({ kind: 'end', reason: 'hub-away' } as const),
);

/** Views and copies alike as plain arrays. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

describe('commands on the link', () => {
  test('come out as they went in, in batches of one flow', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(u32, command), { maxLength: 20 }),
        fc.integer({ min: 1, max: 5 }),
        (all, max) => {
          const writer = new ByteWriter();
          for (const [flow, one] of all) encodeCommand(writer, flow, one);
          const reader = new CommandReader();
          reader.begin(writer.take());
          const read: [number, LinkCommand][] = [];
          while (!reader.isDone) {
            const batch = reader.next(max);
            assert(batch.length > 0 && batch.length <= max);
            for (const one of batch) read.push([reader.flow, one]);
          }
          assert.deepEqual(plain(read), plain(all));
        },
      ),
    );
  });

  test('bytes of anybody are read or refused, and nothing else happens', () => {
    fc.assert(
      fc.property(bytes(80), (content) => {
        const reader = new CommandReader();
        reader.begin(content);
        try {
          while (!reader.isDone) reader.next(64);
        } catch (error) {
          // v8 refuses what is none of its own with an error of its own.
          assert(error instanceof Error);
        }
      }),
    );
  });

  test('a command that waits shares nothing with the read buffer', () => {
    const buffer = encodeUtf8('topicbody');
    const waiting = keptCommand({
      kind: 'publish',
      packetId: 1,
      publication: {
        topic: 't',
        body: buffer.subarray(5),
        properties: buffer.subarray(0, 5),
        qos: 1,
        retain: false,
        expirySeconds: undefined,
        urgency: 2,
        replaceKey: undefined,
      },
    });
    buffer.fill(0);
    assert(waiting.kind === 'publish');
    assert.deepEqual(waiting.publication.body, encodeUtf8('body'));
    assert.deepEqual(waiting.publication.properties, encodeUtf8('topic'));
  });
});

describe('events on the link', () => {
  function roundTrip(all: readonly (readonly [number, LinkEvent])[]): {
    read: [number, LinkEvent][];
    size: number;
  } {
    const writer = new ByteWriter();
    const events = new EventWriter(writer);
    events.begin();
    for (const [flow, one] of all) events.write(flow, one);
    const content = writer.take();
    const reader = new EventReader();
    reader.begin(content);
    const read: [number, LinkEvent][] = [];
    for (let batch = reader.next(); batch.length > 0; batch = reader.next()) {
      for (const one of batch) read.push([reader.flow, one]);
    }
    return { read, size: content.length };
  }

  test('come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(u32, event), { maxLength: 20 }), (all) => {
        assert.deepEqual(plain(roundTrip(all).read), plain(all));
      }),
    );
  });

  const record = new Uint8Array(1_000).map((_, index) => index);
  const delivery = (body: Uint8Array, sequence: number): LinkEvent => ({
    kind: 'deliver',
    delivery: {
      sequence,
      qos: 1,
      retain: false,
      duplicate: false,
      // A view of its own for each delivery, as the hub makes them.
      topic: record.subarray(0, 20),
      properties: noBytes,
      body,
      expirySeconds: undefined,
      subscriptionIds: [],
    },
  });

  test('a message to many flows travels once', () => {
    const all = Array.from(
      { length: 500 },
      (_, flow) => [flow, delivery(record.subarray(20, 920), flow + 1)] as const,
    );
    const { read, size } = roundTrip(all);
    assert.deepEqual(plain(read), plain(all));
    assert(size < 500 * 20 + 1_000, `${size} bytes`);
  });

  test('[DE-26] a QoS 0 message to many flows is one delivery on the other side too', () => {
    const event = (retain: boolean): LinkEvent => {
      const one = delivery(record.subarray(20, 920), 0);
      assert(one.kind === 'deliver');
      return { kind: 'deliver', delivery: { ...one.delivery, qos: 0, retain } };
    };
    const all = [1, 2, 3, 4].map((flow) => [flow, event(flow === 4)] as const);
    const { read } = roundTrip(all);
    assert.deepEqual(plain(read), plain(all));
    const deliveries = read.map(([, one]) => (one.kind === 'deliver' ? one.delivery : undefined));
    assert.equal(new Set(deliveries.slice(0, 3)).size, 1);
    assert.notEqual(deliveries[3], deliveries[0]);
  });

  test('two messages by turns, and more of them than are remembered', () => {
    const big = new Uint8Array(100_000).map((_, index) => index % 251);
    const bodies = Array.from({ length: 900 }, (_, index) =>
      big.subarray(index * 100, index * 100 + 60 + (index % 3)),
    );
    const all = Array.from(
      { length: 3_000 },
      (_, index) => [index % 7, delivery(bodies[(index * 13) % 900]!, index + 1)] as const,
    );
    assert.deepEqual(plain(roundTrip(all).read), plain(all));
  });

  test('a new frame knows nothing of the one before', () => {
    const writer = new ByteWriter();
    const events = new EventWriter(writer);
    events.begin();
    events.write(1, delivery(record.subarray(20, 920), 1));
    writer.take();
    events.begin();
    events.write(1, delivery(record.subarray(20, 920), 2));
    const reader = new EventReader();
    reader.begin(writer.take());
    assert.deepEqual(plain(reader.next()), plain([delivery(record.subarray(20, 920), 2)]));
  });
});

describe('frames', () => {
  function frame(kind: number, content: Uint8Array): Uint8Array {
    const writer = new ByteWriter();
    writer.writeU32(content.length + 1);
    writer.writeU8(kind);
    writer.writeBytes(content);
    return writer.take();
  }

  test('are found whatever the pieces they come in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), bytes(50)), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
        (frames, sizes) => {
          const stream = Buffer.concat(frames.map(([kind, content]) => frame(kind, content)));
          const reader = new FrameReader(100);
          const read: [number, Uint8Array][] = [];
          for (let at = 0, index = 0; at < stream.length; index += 1) {
            const size = sizes[index % sizes.length]!;
            reader.push(new Uint8Array(stream.subarray(at, at + size)));
            at += size;
            for (let one = reader.next(); one !== undefined; one = reader.next()) {
              read.push([one.kind, one.content]);
            }
          }
          assert.deepEqual(plain(read), plain(frames));
        },
      ),
    );
  });

  test('a frame that is too long is refused by its head', () => {
    const reader = new FrameReader(100);
    reader.push(frame(1, new Uint8Array(100)).subarray(0, FRAME_HEAD_BYTES));
    assert.throws(() => reader.next(), LinkError);
  });
});
