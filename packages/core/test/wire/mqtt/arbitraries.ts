/** Random valid packets of both versions, for the codec's and the session's tests. */
import fc from '../../fast-check.js';
import {
  encodeApplicationProperties,
  noProperties,
  type Packet,
  type Properties,
  type ProtocolVersion,
  type QosLevel,
} from '../../../src/wire/mqtt/index.js';

/** Any text that MQTT allows: no U+0000, no lone surrogate. */
export function text(maxLength = 12): fc.Arbitrary<string> {
  return fc.string({ unit: 'binary', maxLength }).map((value) => value.replaceAll('\0', '.'));
}

export const topic = fc
  .oneof(
    fc.constantFrom('a', 'a/b', 'line/1/temperature', '/', '//', '$line/state'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  )
  .map((value) => value.replaceAll(/[\0+#]/gu, '_'));

const filter = text(20).map((value) => (value === '' ? '#' : value));
export const packetId = fc.integer({ min: 1, max: 65_535 });
const u32 = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffff_ffff }));
const u16 = fc.integer({ min: 0, max: 0xffff });
const flag = fc.constantFrom(0, 1);
const qos = fc.constantFrom<QosLevel>(0, 1, 2);
export const bytes = fc.uint8Array({ maxLength: 40 });
const payload = fc.oneof(bytes, fc.uint8Array({ minLength: 100, maxLength: 300 }));
const userProperties = fc.array(fc.tuple(text(), text()), { minLength: 1, maxLength: 3 });

/** An object with any subset of the keys, `noProperties` in 3.1.1. */
function properties(
  version: ProtocolVersion,
  model: { [Key in keyof Properties]: fc.Arbitrary<Properties[Key]> },
): fc.Arbitrary<Properties> {
  if (version === 4) return fc.constant(noProperties);
  return fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Properties>;
}

export const applicationBlock = fc
  .record(
    {
      payloadFormat: flag,
      contentType: text(),
      responseTopic: topic,
      correlationData: bytes,
      userProperties,
    },
    { requiredKeys: [] },
  )
  .map(encodeApplicationProperties);

function block(version: ProtocolVersion): fc.Arbitrary<Uint8Array> {
  return version === 5 ? applicationBlock : fc.constant(new Uint8Array(0));
}

function expiry(version: ProtocolVersion): fc.Arbitrary<number | undefined> {
  return version === 5 ? fc.option(u32, { nil: undefined }) : fc.constant(undefined);
}

export function publish(version: ProtocolVersion): fc.Arbitrary<Packet> {
  return fc
    .record({
      type: fc.constant('publish' as const),
      topic,
      payload,
      qos,
      retain: fc.boolean(),
      dup: fc.boolean(),
      packetId,
      properties: block(version),
      messageExpirySeconds: expiry(version),
      topicAlias: version === 5 ? fc.constantFrom(0, 0, 1, 65_535) : fc.constant(0),
      subscriptionIds:
        version === 5
          ? fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 })
          : fc.constant<number[]>([]),
    })
    .map((packet) => (packet.qos === 0 ? { ...packet, dup: false, packetId: 0 } : packet));
}

export function connect(version: ProtocolVersion): fc.Arbitrary<Packet> {
  const will = fc.record({
    topic,
    payload: bytes,
    qos,
    retain: fc.boolean(),
    delaySeconds: version === 5 ? u32 : fc.constant(0),
    messageExpirySeconds: expiry(version),
    properties: block(version),
  });
  return fc
    .record({
      type: fc.constant('connect' as const),
      protocolVersion: fc.constant(version),
      clean: fc.boolean(),
      keepAliveSeconds: u16,
      clientId: text(),
      username: fc.option(text(), { nil: undefined }),
      password: fc.option(bytes, { nil: undefined }),
      will: fc.option(will, { nil: undefined }),
      properties: properties(version, {
        sessionExpirySeconds: u32,
        receiveMaximum: packetId,
        maximumPacketBytes: u32.map((value) => value || 1),
        topicAliasMaximum: u16,
        requestResponseInformation: flag,
        requestProblemInformation: flag,
        authenticationMethod: text(),
        userProperties,
      }),
    })
    .map((packet) =>
      version === 4 && packet.username === undefined ? { ...packet, password: undefined } : packet,
    );
}

const ackCodes = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

function code(version: ProtocolVersion, codes: readonly number[]): fc.Arbitrary<number> {
  return version === 5 ? fc.constantFrom(...codes) : fc.constant(0);
}

function ack(
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
  version: ProtocolVersion,
): fc.Arbitrary<Packet> {
  const codes = type === 'puback' || type === 'pubrec' ? ackCodes : [0x00, 0x92];
  return fc.record({
    type: fc.constant(type),
    packetId,
    reasonCode: code(version, codes),
    properties: properties(version, { reasonString: text(), userProperties }),
  });
}

/** One arbitrary for each packet kind of the version. */
export function packetKinds(version: ProtocolVersion): Readonly<Record<string, fc.Arbitrary<Packet>>> {
  const connackCodes = version === 5 ? [0x00, 0x80, 0x81, 0x84, 0x87, 0x97, 0x9f] : [0, 1, 2, 3, 4, 5];
  const entry = fc.record({
    filter,
    qos,
    noLocal: version === 5 ? fc.boolean() : fc.constant(false),
    retainAsPublished: version === 5 ? fc.boolean() : fc.constant(false),
    retainHandling:
      version === 5 ? fc.constantFrom(0 as const, 1 as const, 2 as const) : fc.constant(0 as const),
  });
  const subackCodes = version === 5 ? [0, 1, 2, 0x80, 0x87, 0x8f, 0x97, 0x9e] : [0, 1, 2, 0x80];
  return {
    connect: connect(version),
    connack: fc
      .record({
        type: fc.constant('connack' as const),
        sessionPresent: fc.boolean(),
        reasonCode: fc.constantFrom(...connackCodes),
        properties: properties(version, {
          sessionExpirySeconds: u32,
          receiveMaximum: packetId,
          maximumQos: flag,
          retainAvailable: flag,
          maximumPacketBytes: u32.map((value) => value || 1),
          assignedClientId: text(),
          topicAliasMaximum: u16,
          reasonString: text(),
          userProperties,
          wildcardSubscriptionAvailable: flag,
          subscriptionIdentifierAvailable: flag,
          sharedSubscriptionAvailable: flag,
          serverKeepAliveSeconds: u16,
          responseInformation: text(),
          serverReference: text(),
          authenticationMethod: text(),
          authenticationData: bytes,
        }),
      })
      .map((packet) => (packet.reasonCode === 0 ? packet : { ...packet, sessionPresent: false })),
    publish: publish(version),
    puback: ack('puback', version),
    pubrec: ack('pubrec', version),
    pubrel: ack('pubrel', version),
    pubcomp: ack('pubcomp', version),
    subscribe: fc.record({
      type: fc.constant('subscribe' as const),
      packetId,
      subscriptions: fc.array(entry, { minLength: 1, maxLength: 3 }),
      properties: properties(version, {
        subscriptionId: fc.integer({ min: 1, max: 268_435_455 }),
        userProperties,
      }),
    }),
    suback: fc.record({
      type: fc.constant('suback' as const),
      packetId,
      reasonCodes: fc.array(fc.constantFrom(...subackCodes), { minLength: 1, maxLength: 4 }),
      properties: properties(version, { reasonString: text(), userProperties }),
    }),
    unsubscribe: fc.record({
      type: fc.constant('unsubscribe' as const),
      packetId,
      filters: fc.array(filter, { minLength: 1, maxLength: 3 }),
      properties: properties(version, { userProperties }),
    }),
    unsuback: fc.record({
      type: fc.constant('unsuback' as const),
      packetId,
      reasonCodes:
        version === 5
          ? fc.array(fc.constantFrom(0, 0x11, 0x80, 0x87, 0x8f), { minLength: 1, maxLength: 4 })
          : fc.constant<number[]>([]),
      properties: properties(version, { reasonString: text(), userProperties }),
    }),
    pingreq: fc.constant<Packet>({ type: 'pingreq' }),
    pingresp: fc.constant<Packet>({ type: 'pingresp' }),
    disconnect: fc.record({
      type: fc.constant('disconnect' as const),
      reasonCode: code(version, [0x00, 0x04, 0x81, 0x8b, 0x8d, 0x8e, 0x97, 0xa2]),
      properties: properties(version, {
        sessionExpirySeconds: u32,
        reasonString: text(),
        userProperties,
        serverReference: text(),
      }),
    }),
    ...(version === 5 && {
      auth: fc.record({
        type: fc.constant('auth' as const),
        reasonCode: fc.constantFrom(0x00, 0x18, 0x19),
        properties: properties(version, {
          authenticationMethod: text(),
          authenticationData: bytes,
          reasonString: text(),
          userProperties,
        }),
      }),
    }),
  };
}

/** Any packet of the version. */
export function anyPacket(version: ProtocolVersion): fc.Arbitrary<Packet> {
  return fc.oneof(...Object.values(packetKinds(version)));
}

export const versions: readonly ProtocolVersion[] = [4, 5];
