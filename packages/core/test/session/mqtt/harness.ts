/** Drives one session under a virtual clock: packets in, packets and commands out. */
import assert from 'node:assert/strict';
import { ByteWriter, encodeUtf8, limits, toHex, type InstantMs } from '../../../src/base/index.js';
import {
  noBytes,
  SESSION_NEVER_EXPIRES,
  Urgency,
  type Delivery,
  type LinkCommand,
  type LinkEvent,
  type PathProbing,
  type Publication,
  type Refusal,
  type SessionInput,
  type SessionOutput,
} from '../../../src/domain/index.js';
import { MqttSession, type MqttSessionOptions } from '../../../src/session/mqtt/index.js';
import {
  encodePacket,
  MqttDecoder,
  noProperties,
  type ConnectPacket,
  type Malformed,
  type Packet,
  type Properties,
  type ProtocolVersion,
  type PublishPacket,
} from '../../../src/wire/mqtt/index.js';

export const defaults: MqttSessionOptions = {
  maxPacketBytes: 1024 * 1024 + 64 * 1024,
  messageBytesMax: limits.messageBytesMax,
  maxInflightInbound: 3,
  sessionExpirySecondsMax: SESSION_NEVER_EXPIRES,
  hashNetwork: (network) => toHex(encodeUtf8(network)),
};

/** What one input led to. */
export interface Turn {
  readonly authenticate: Extract<SessionOutput, { kind: 'authenticate' }> | undefined;
  readonly commands: readonly LinkCommand[];
  readonly packets: readonly (Packet | Malformed)[];
  readonly probing?: PathProbing;
  readonly close: { readonly reason: Refusal | undefined } | undefined;
}

export class Harness {
  readonly session: MqttSession;
  readonly version: ProtocolVersion;
  nowMs = 1_000;
  readonly #decoder: MqttDecoder;

  constructor(version: ProtocolVersion, options: Partial<MqttSessionOptions> = {}) {
    this.version = version;
    this.session = new MqttSession(this.now, '127.0.0.1:50000', { ...defaults, ...options });
    this.#decoder = new MqttDecoder({ maxPacketBytes: 1 << 24, protocolVersion: version });
  }

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  input(input: SessionInput): Turn {
    this.session.handleInput(this.now, input);
    return this.#drain();
  }

  bytes(chunk: Uint8Array): Turn {
    const lent = Uint8Array.from(chunk);
    const turn = this.input({ kind: 'bytes', chunk: lent });
    return turn;
  }

  send(...packets: readonly Packet[]): Turn {
    return this.bytes(encode(this.version, ...packets));
  }

  events(...events: readonly LinkEvent[]): Turn {
    return this.input({ kind: 'events', events });
  }

  /** Moves the clock, and fires the timeout if it is due, as a driver does. */
  wait(ms: number): Turn {
    this.nowMs += ms;
    this.session.handleTimeout(this.now);
    return this.#drain();
  }

  #drain(): Turn {
    const kinds: string[] = [];
    let authenticate: Turn['authenticate'];
    let commands: readonly LinkCommand[] = [];
    const packets: (Packet | Malformed)[] = [];
    let probing: PathProbing | undefined;
    let close: Turn['close'];
    for (let output = this.session.pollOutput(); output !== undefined; output = this.session.pollOutput()) {
      assert.ok(!kinds.includes(output.kind), `two outputs of kind ${output.kind} in one turn`);
      assert.ok(!kinds.includes('close'), 'an output after close');
      kinds.push(output.kind);
      if (output.kind === 'authenticate') authenticate = output;
      else if (output.kind === 'commands') commands = output.commands;
      else if (output.kind === 'probe-path') probing = output.after;
      else if (output.kind === 'close') {
        assert.equal(output.farewell, undefined, 'MQTT says its farewell in a packet');
        close = { reason: output.reason };
      } else {
        assert.ok(output.kind === 'write', `an MQTT session does not say ${output.kind}`);
        assert.ok(output.bytes.length > 0);
        this.#decoder.push(output.bytes);
        for (let next = this.#decoder.next(); next !== undefined; next = this.#decoder.next())
          packets.push(next);
        assert.equal(this.#decoder.partialBytes, 0, 'half a packet was written');
      }
    }
    return { authenticate, commands, packets, ...(probing !== undefined && { probing }), close };
  }
}

export function encode(version: ProtocolVersion, ...packets: readonly Packet[]): Uint8Array {
  const writer = new ByteWriter();
  for (const packet of packets) encodePacket(writer, packet, version);
  return writer.take();
}

export function connectPacket(version: ProtocolVersion, fields: Partial<ConnectPacket> = {}): ConnectPacket {
  return {
    type: 'connect',
    protocolVersion: version,
    clean: true,
    keepAliveSeconds: 60,
    clientId: 'd1',
    username: undefined,
    password: undefined,
    will: undefined,
    properties: noProperties,
    ...fields,
  };
}

export const opened: Extract<LinkEvent, { kind: 'opened' }> = {
  kind: 'opened',
  deviceId: 'd1',
  epoch: new Uint8Array(8),
  assigned: false,
  sessionPresent: false,
  released: [],
};

/** A session that has its CONNACK. */
export function openSession(
  version: ProtocolVersion,
  fields: Partial<ConnectPacket> = {},
  options: Partial<MqttSessionOptions> = {},
): Harness {
  const harness = new Harness(version, options);
  harness.send(connectPacket(version, fields));
  harness.input({ kind: 'authenticated', identity: { kind: 'anonymous' } });
  const { packets, close } = harness.events(opened);
  assert.equal(packets[0]?.type, 'connack');
  assert.equal(close, undefined);
  return harness;
}

export function publishPacket(fields: Partial<PublishPacket> = {}): PublishPacket {
  return {
    type: 'publish',
    topic: 'a/b',
    payload: Uint8Array.of(1, 2, 3),
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
    properties: noBytes,
    messageExpirySeconds: undefined,
    topicAlias: 0,
    subscriptionIds: [],
    ...fields,
  };
}

export function publication(fields: Partial<Publication> = {}): Publication {
  return {
    topic: 'a/b',
    body: Uint8Array.of(1, 2, 3),
    properties: noBytes,
    qos: 0,
    retain: false,
    expirySeconds: undefined,
    urgency: Urgency.normal,
    replaceKey: undefined,
    ...fields,
  };
}

export function delivery(sequence: number, fields: Partial<Delivery> = {}): LinkEvent {
  return {
    kind: 'deliver',
    delivery: {
      sequence,
      qos: sequence === 0 ? 0 : 1,
      retain: false,
      duplicate: false,
      topic: Uint8Array.of(0x61),
      properties: noBytes,
      body: Uint8Array.of(9),
      expirySeconds: undefined,
      subscriptionIds: [],
      ...fields,
    },
  };
}

export function ackPacket(
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  packetId: number,
  reasonCode = 0,
  properties: Properties = noProperties,
): Packet {
  return { type, packetId, reasonCode, properties };
}

/** Type and reason code of each packet, the shortest useful summary. */
export function summary(
  turn: Pick<Turn, 'packets'>,
): readonly (readonly [string, number | readonly number[] | undefined])[] {
  return turn.packets.map((packet) => {
    if ('reasonCode' in packet) return [packet.type, packet.reasonCode];
    if ('reasonCodes' in packet) return [packet.type, packet.reasonCodes];
    return [packet.type, undefined];
  });
}
