/**
 * Commands of flows on their way from a line process to the hub process, as records one behind the other: kind,
 * flow, fields. What comes with every message has a record of its own; the rest is v8's serialization.
 */
import { deserialize, serialize } from 'node:v8';
import { ByteReader } from '@wakeline/core/base';
import type { ByteWriter } from '@wakeline/core/base';
import { noBytes } from '@wakeline/core/domain';
import type { FlowId, LinkCommand, Publication, Qos, Urgency } from '@wakeline/core/domain';
import { TopicInterner } from '@wakeline/core/wire/mqtt';
import { LinkError } from './link-frames.js';

const Kind = {
  publish: 1,
  acknowledge: 2,
  received: 3,
  complete: 4,
  release: 5,
  writable: 6,
  other: 7,
} as const;

const QOS = 3;
const RETAIN = 4;
const EXPIRES = 8;
const KEYED = 16;
const URGENCY_SHIFT = 5;

/** Appends one command. Everything is copied. */
export function encodeCommand(writer: ByteWriter, flow: FlowId, command: LinkCommand): void {
  switch (command.kind) {
    case 'publish':
      writer.writeU8(Kind.publish);
      writer.writeU32(flow);
      writer.writeU16(command.packetId);
      encodePublication(writer, command.publication);
      return;
    case 'acknowledge':
    case 'received':
    case 'complete':
      writer.writeU8(Kind[command.kind]);
      writer.writeU32(flow);
      writer.writeU32(command.sequence);
      return;
    case 'release':
      writer.writeU8(Kind.release);
      writer.writeU32(flow);
      writer.writeU16(command.packetId);
      return;
    case 'writable':
      writer.writeU8(Kind.writable);
      writer.writeU32(flow);
      writer.writeU8(command.writable ? 1 : 0);
      return;
    default: {
      const bytes = serialize(command);
      writer.writeU8(Kind.other);
      writer.writeU32(flow);
      writer.writeU32(bytes.length);
      writer.writeBytes(bytes);
    }
  }
}

function encodePublication(writer: ByteWriter, publication: Publication): void {
  const { topic, body, properties, qos, retain, expirySeconds, urgency, replaceKey } = publication;
  writer.writeU8(
    qos |
      (retain ? RETAIN : 0) |
      (expirySeconds === undefined ? 0 : EXPIRES) |
      (replaceKey === undefined ? 0 : KEYED) |
      (urgency << URGENCY_SHIFT),
  );
  if (expirySeconds !== undefined) writer.writeU32(expirySeconds);
  writer.writeUtf8WithLength(topic);
  if (replaceKey !== undefined) writer.writeUtf8WithLength(replaceKey);
  writer.writeU32(properties.length);
  writer.writeBytes(properties);
  writer.writeU32(body.length);
  writer.writeBytes(body);
}

/** Reads the commands of one frame, a batch of one flow at a time. */
export class CommandReader {
  readonly #topics = new TopicInterner();
  #reader = new ByteReader(noBytes, 0, 0);
  /** Flow of the batch read last. */
  flow: FlowId = 0;

  /** The content of a frame; its bodies are views of it. */
  begin(content: Uint8Array): void {
    this.#reader = new ByteReader(content, 0, content.length);
  }

  get isDone(): boolean {
    return this.#reader.remainingBytes === 0;
  }

  /** At most `countMax` commands of one flow, in order; none: the frame is done. */
  next(countMax: number): LinkCommand[] {
    const reader = this.#reader;
    const commands: LinkCommand[] = [];
    while (commands.length < countMax && reader.remainingBytes > 0) {
      const start = reader.position;
      const kind = reader.readU8();
      const flow = reader.readU32();
      if (commands.length === 0) this.flow = flow;
      else if (flow !== this.flow) {
        reader.position = start;
        break;
      }
      commands.push(this.#read(kind));
      if (reader.failed) throw new LinkError('a command that is cut short');
    }
    return commands;
  }

  #read(kind: number): LinkCommand {
    const reader = this.#reader;
    switch (kind) {
      case Kind.publish: {
        const packetId = reader.readU16();
        return { kind: 'publish', packetId, publication: this.#readPublication() };
      }
      case Kind.acknowledge:
        return { kind: 'acknowledge', sequence: reader.readU32() };
      case Kind.received:
        return { kind: 'received', sequence: reader.readU32() };
      case Kind.complete:
        return { kind: 'complete', sequence: reader.readU32() };
      case Kind.release:
        return { kind: 'release', packetId: reader.readU16() };
      case Kind.writable:
        return { kind: 'writable', writable: reader.readU8() === 1 };
      case Kind.other: {
        // A copy: what the hub keeps of it (a will) must not keep the whole frame.
        const bytes = new Uint8Array(reader.readView(reader.readU32()));
        if (reader.failed) throw new LinkError('a command that is cut short');
        return deserialize(bytes) as LinkCommand;
      }
      default:
        throw new LinkError(`command ${kind}`);
    }
  }

  #readPublication(): Publication {
    const reader = this.#reader;
    const flags = reader.readU8();
    const expirySeconds = flags & EXPIRES ? reader.readU32() : undefined;
    const topicBytes = reader.readU16();
    const at = reader.skip(topicBytes);
    const topic = at < 0 ? undefined : this.#topics.intern(reader.bytes, at, at + topicBytes);
    if (topic === undefined) throw new LinkError('a topic that is no text');
    const replaceKey = flags & KEYED ? reader.readUtf8(reader.readU16()) : undefined;
    const propertiesBytes = reader.readU32();
    const properties = propertiesBytes === 0 ? noBytes : reader.readView(propertiesBytes);
    const body = reader.readView(reader.readU32());
    return {
      topic,
      body,
      properties,
      qos: (flags & QOS) as Qos,
      retain: (flags & RETAIN) !== 0,
      expirySeconds,
      urgency: (flags >> URGENCY_SHIFT) as Urgency,
      replaceKey,
    };
  }
}

/** What a command weighs while it waits, bytes: its content and a share for the objects around it. */
export function commandBytes(command: LinkCommand): number {
  if (command.kind !== 'publish') return COMMAND_BYTES;
  const { topic, body, properties } = command.publication;
  return COMMAND_BYTES + topic.length + body.length + properties.length;
}

const COMMAND_BYTES = 256;

/** The command with nothing in it that belongs to a read buffer. */
export function keptCommand(command: LinkCommand): LinkCommand {
  if (command.kind !== 'publish') return command;
  const { publication } = command;
  const body = new Uint8Array(publication.body);
  const properties = publication.properties.length === 0 ? noBytes : new Uint8Array(publication.properties);
  return { ...command, publication: { ...publication, body, properties } };
}
