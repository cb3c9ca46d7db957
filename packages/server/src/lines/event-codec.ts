/**
 * Events of flows on their way from the hub process to a line process, as records one behind the other: kind, flow,
 * fields. The content of a message that goes to several flows of a line is in a frame once: later deliveries name its
 * place among the contents of the frame.
 */
import { deserialize, serialize } from 'node:v8';
import { ByteReader } from '@wakeline/core/base';
import type { ByteWriter } from '@wakeline/core/base';
import { noBytes, SharedDelivery } from '@wakeline/core/domain';
import type { Delivery, FlowId, LinkEvent, Qos } from '@wakeline/core/domain';
import { LinkError } from './link-frames.js';

const Kind = { deliver: 1, accepted: 2, completed: 3, release: 4, other: 5 } as const;

const QOS = 3;
const RETAIN = 4;
const DUPLICATE = 8;
const EXPIRES = 16;
const SUBSCRIPTION_IDS = 32;
const KNOWN_CONTENT = 64;
const ACCEPTED_MATCHED = 4;

/** A smaller content costs less than looking for it. */
const CONTENT_BYTES_MIN = 48;
/** Contents remembered while a frame is written; a power of two. */
const PLACES = 256;

/** Where in memory a content was seen, and its place in the frame. */
interface Place {
  buffer: ArrayBufferLike | undefined;
  topicOffset: number;
  bodyOffset: number;
  bodyBytes: number;
  index: number;
}

export class EventWriter {
  readonly #writer: ByteWriter;
  readonly #places: Place[] = Array.from({ length: PLACES }, () => ({
    buffer: undefined,
    topicOffset: 0,
    bodyOffset: 0,
    bodyBytes: 0,
    index: 0,
  }));
  /** Contents in the frame so far. */
  #contents = 0;

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  /** A new frame begins. Lets go of what was delivered before. */
  begin(): void {
    if (this.#contents === 0) return;
    this.#contents = 0;
    for (const place of this.#places) place.buffer = undefined;
  }

  /** Appends one event. Everything is copied. */
  write(flow: FlowId, event: LinkEvent): void {
    const writer = this.#writer;
    switch (event.kind) {
      case 'deliver':
        writer.writeU8(Kind.deliver);
        writer.writeU32(flow);
        this.#writeDelivery(event.delivery);
        return;
      case 'accepted':
        if (event.reason !== undefined) break;
        writer.writeU8(Kind.accepted);
        writer.writeU32(flow);
        writer.writeU16(event.packetId);
        writer.writeU8(event.qos | (event.matched ? ACCEPTED_MATCHED : 0));
        return;
      case 'completed':
        writer.writeU8(Kind.completed);
        writer.writeU32(flow);
        writer.writeU16(event.packetId);
        writer.writeU8(event.found ? 1 : 0);
        return;
      case 'release':
        writer.writeU8(Kind.release);
        writer.writeU32(flow);
        writer.writeU32(event.sequence);
        return;
      default:
    }
    const bytes = serialize(event);
    writer.writeU8(Kind.other);
    writer.writeU32(flow);
    writer.writeU32(bytes.length);
    writer.writeBytes(bytes);
  }

  #writeDelivery(delivery: Delivery): void {
    const writer = this.#writer;
    const { sequence, qos, retain, duplicate, expirySeconds, subscriptionIds } = delivery;
    const known = this.#find(delivery);
    writer.writeU32(sequence);
    writer.writeU8(
      qos |
        (retain ? RETAIN : 0) |
        (duplicate ? DUPLICATE : 0) |
        (expirySeconds === undefined ? 0 : EXPIRES) |
        (subscriptionIds.length === 0 ? 0 : SUBSCRIPTION_IDS) |
        (known < 0 ? 0 : KNOWN_CONTENT),
    );
    if (expirySeconds !== undefined) writer.writeU32(expirySeconds);
    if (subscriptionIds.length > 0) {
      writer.writeU16(subscriptionIds.length);
      for (const id of subscriptionIds) writer.writeU32(id);
    }
    if (known >= 0) {
      writer.writeU32(known);
      return;
    }
    const { topic, properties, body } = delivery;
    writer.writeBytesWithLength(topic);
    writer.writeU32(properties.length);
    writer.writeBytes(properties);
    writer.writeU32(body.length);
    writer.writeBytes(body);
    this.#contents += 1;
  }

  /**
   * Place of the content in this frame; -1: it is not there yet, and from now on known as the next one. Deliveries of
   * one publication point to the same memory, which does not change while the frame is written.
   */
  #find({ topic, body }: Delivery): number {
    const { byteOffset: bodyOffset, length: bodyBytes, buffer } = body;
    if (bodyBytes < CONTENT_BYTES_MIN) return -1;
    const place = this.#places[(bodyOffset ^ (bodyOffset >>> 8) ^ bodyBytes) & (PLACES - 1)]!;
    const isKnown =
      place.buffer === buffer &&
      place.topicOffset === topic.byteOffset &&
      place.bodyOffset === bodyOffset &&
      place.bodyBytes === bodyBytes;
    if (isKnown) return place.index;
    place.buffer = buffer;
    place.topicOffset = topic.byteOffset;
    place.bodyOffset = bodyOffset;
    place.bodyBytes = bodyBytes;
    place.index = this.#contents;
    return -1;
  }
}

interface Content {
  readonly topic: Uint8Array;
  readonly properties: Uint8Array;
  readonly body: Uint8Array;
}

/** Reads the events of one frame, all those in a row for one flow at a time. */
export class EventReader {
  #reader = new ByteReader(noBytes, 0, 0);
  #contents: Content[] = [];
  readonly #shared = new SharedDelivery();
  /** Flow of the batch read last. */
  flow: FlowId = 0;

  /** The content of a frame; topics and bodies are views of it. */
  begin(content: Uint8Array): void {
    this.#reader = new ByteReader(content, 0, content.length);
    this.#contents = [];
  }

  /** Events of one flow, in order; none: the frame is done. */
  next(): LinkEvent[] {
    const reader = this.#reader;
    const events: LinkEvent[] = [];
    while (reader.remainingBytes > 0) {
      const start = reader.position;
      const kind = reader.readU8();
      const flow = reader.readU32();
      if (events.length === 0) this.flow = flow;
      else if (flow !== this.flow) {
        reader.position = start;
        break;
      }
      events.push(this.#read(kind));
      if (reader.failed) throw new LinkError('an event that is cut short');
    }
    return events;
  }

  #read(kind: number): LinkEvent {
    const reader = this.#reader;
    switch (kind) {
      case Kind.deliver:
        return { kind: 'deliver', delivery: this.#readDelivery() };
      case Kind.accepted: {
        const packetId = reader.readU16();
        const flags = reader.readU8();
        const matched = (flags & ACCEPTED_MATCHED) !== 0;
        return { kind: 'accepted', packetId, qos: (flags & QOS) as Qos, reason: undefined, matched };
      }
      case Kind.completed: {
        const packetId = reader.readU16();
        return { kind: 'completed', packetId, found: reader.readU8() === 1 };
      }
      case Kind.release:
        return { kind: 'release', sequence: reader.readU32() };
      case Kind.other: {
        const bytes = new Uint8Array(reader.readView(reader.readU32()));
        if (reader.failed) throw new LinkError('an event that is cut short');
        return deserialize(bytes) as LinkEvent;
      }
      default:
        throw new LinkError(`event ${kind}`);
    }
  }

  #readDelivery(): Delivery {
    const reader = this.#reader;
    const sequence = reader.readU32();
    const flags = reader.readU8();
    const expirySeconds = flags & EXPIRES ? reader.readU32() : undefined;
    let subscriptionIds: readonly number[] = noIds;
    if (flags & SUBSCRIPTION_IDS) {
      const ids: number[] = [];
      for (let count = reader.readU16(); count > 0; count -= 1) ids.push(reader.readU32());
      subscriptionIds = ids;
    }
    const content = flags & KNOWN_CONTENT ? this.#contents[reader.readU32()] : this.#readContent();
    if (content === undefined) throw new LinkError('a content that is not in the frame');
    const { topic, properties, body } = content;
    return this.#shared.of({
      sequence,
      qos: (flags & QOS) as Qos,
      retain: (flags & RETAIN) !== 0,
      duplicate: (flags & DUPLICATE) !== 0,
      topic,
      properties,
      body,
      expirySeconds,
      subscriptionIds,
    });
  }

  #readContent(): Content {
    const reader = this.#reader;
    const topic = reader.readView(reader.readU16());
    const propertiesBytes = reader.readU32();
    const properties = propertiesBytes === 0 ? noBytes : reader.readView(propertiesBytes);
    const body = reader.readView(reader.readU32());
    const content = { topic, properties, body };
    this.#contents.push(content);
    return content;
  }
}

const noIds: readonly number[] = [];
