/**
 * Agreement with `mqtt-packet`, the codec of the npm world: it reads what we write, and we read what it writes.
 * Both sides are compared in its terms.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../../fast-check.js';
import * as oracle from 'mqtt-packet';
import {
  decodeApplicationProperties,
  type Packet,
  type Properties,
  type ProtocolVersion,
  type SubscribePacket,
  type UserProperty,
} from '../../../src/wire/mqtt/index.js';
import { packetKinds, versions } from './arbitraries.js';
import { decodeAll, encode, runs } from './helpers.js';

type Loose = Record<string, unknown>;

/** Our names of properties and theirs; `byte` properties are booleans there. */
const names: Readonly<Record<Exclude<keyof Properties, 'userProperties'>, readonly [string, boolean?]>> = {
  sessionExpirySeconds: ['sessionExpiryInterval'],
  assignedClientId: ['assignedClientIdentifier'],
  serverKeepAliveSeconds: ['serverKeepAlive'],
  authenticationMethod: ['authenticationMethod'],
  authenticationData: ['authenticationData'],
  requestProblemInformation: ['requestProblemInformation', true],
  requestResponseInformation: ['requestResponseInformation', true],
  responseInformation: ['responseInformation'],
  serverReference: ['serverReference'],
  reasonString: ['reasonString'],
  receiveMaximum: ['receiveMaximum'],
  topicAliasMaximum: ['topicAliasMaximum'],
  maximumQos: ['maximumQoS'],
  retainAvailable: ['retainAvailable', true],
  maximumPacketBytes: ['maximumPacketSize'],
  wildcardSubscriptionAvailable: ['wildcardSubscriptionAvailable', true],
  subscriptionIdentifierAvailable: ['subscriptionIdentifiersAvailable', true],
  sharedSubscriptionAvailable: ['sharedSubscriptionAvailable', true],
  subscriptionId: ['subscriptionIdentifier'],
};

function theirUserProperties(pairs: readonly UserProperty[]): Loose {
  const found = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of pairs) {
    const before = found[name];
    found[name] = before === undefined ? value : [before, value].flat();
  }
  return found;
}

function theirProperties(properties: Properties): Loose {
  const found: Loose = {};
  for (const [ours, [theirs, isFlag]] of Object.entries(names)) {
    const value = properties[ours as keyof typeof names];
    if (value === undefined) continue;
    found[theirs] = isFlag === true ? value === 1 : value instanceof Uint8Array ? Buffer.from(value) : value;
  }
  if (properties.userProperties !== undefined) {
    found['userProperties'] = theirUserProperties(properties.userProperties);
  }
  return found;
}

function theirApplicationProperties(block: Uint8Array): Loose {
  const { payloadFormat, contentType, responseTopic, correlationData, userProperties } =
    decodeApplicationProperties(block)!;
  const found: Loose = {};
  if (payloadFormat !== undefined) found['payloadFormatIndicator'] = payloadFormat === 1;
  if (contentType !== undefined) found['contentType'] = contentType;
  if (responseTopic !== undefined) found['responseTopic'] = responseTopic;
  if (correlationData !== undefined) found['correlationData'] = Buffer.from(correlationData);
  if (userProperties !== undefined) found['userProperties'] = theirUserProperties(userProperties);
  return found;
}

function theirSubscriptions(packet: SubscribePacket, version: ProtocolVersion): Loose[] {
  return packet.subscriptions.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
    topic: filter,
    qos,
    ...(version === 5 && { nl: noLocal, rap: retainAsPublished, rh: retainHandling }),
  }));
}

/** Our packet in their terms. */
function toTheirs(packet: Packet, version: ProtocolVersion): Loose {
  const withProperties = (fields: Loose, properties: Loose): Loose =>
    version === 5 ? { ...fields, properties } : fields;
  switch (packet.type) {
    case 'connect': {
      const { will } = packet;
      const fields: Loose = {
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: version,
        clean: packet.clean,
        keepalive: packet.keepAliveSeconds,
        clientId: packet.clientId,
      };
      if (packet.username !== undefined) fields['username'] = packet.username;
      if (packet.password !== undefined) fields['password'] = Buffer.from(packet.password);
      if (will !== undefined) {
        const properties = theirApplicationProperties(will.properties);
        if (will.delaySeconds > 0) properties['willDelayInterval'] = will.delaySeconds;
        if (will.messageExpirySeconds !== undefined) {
          properties['messageExpiryInterval'] = will.messageExpirySeconds;
        }
        const { topic, qos, retain } = will;
        const payload = Buffer.from(will.payload);
        fields['will'] = withProperties({ topic, payload, qos, retain }, properties);
      }
      return withProperties(fields, theirProperties(packet.properties));
    }
    case 'connack': {
      const code = version === 5 ? { reasonCode: packet.reasonCode } : { returnCode: packet.reasonCode };
      return withProperties(
        { cmd: 'connack', sessionPresent: packet.sessionPresent, ...code },
        theirProperties(packet.properties),
      );
    }
    case 'publish': {
      const { topic, qos, dup, retain } = packet;
      const properties = theirApplicationProperties(packet.properties);
      if (packet.messageExpirySeconds !== undefined) {
        properties['messageExpiryInterval'] = packet.messageExpirySeconds;
      }
      if (packet.topicAlias > 0) properties['topicAlias'] = packet.topicAlias;
      const ids = packet.subscriptionIds;
      if (ids.length > 0) properties['subscriptionIdentifier'] = ids.length === 1 ? ids[0] : [...ids];
      const fields = { cmd: 'publish', topic, payload: Buffer.from(packet.payload), qos, dup, retain };
      return withProperties(qos > 0 ? { ...fields, messageId: packet.packetId } : fields, properties);
    }
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp': {
      const fields: Loose = { cmd: packet.type, messageId: packet.packetId };
      if (version === 5) fields['reasonCode'] = packet.reasonCode;
      return withProperties(fields, theirProperties(packet.properties));
    }
    case 'subscribe':
      return withProperties(
        { cmd: 'subscribe', messageId: packet.packetId, subscriptions: theirSubscriptions(packet, version) },
        theirProperties(packet.properties),
      );
    case 'suback':
    case 'unsuback': {
      const fields: Loose = { cmd: packet.type, messageId: packet.packetId };
      if (packet.reasonCodes.length > 0) fields['granted'] = [...packet.reasonCodes];
      return withProperties(fields, theirProperties(packet.properties));
    }
    case 'unsubscribe':
      return withProperties(
        { cmd: 'unsubscribe', messageId: packet.packetId, unsubscriptions: [...packet.filters] },
        theirProperties(packet.properties),
      );
    case 'disconnect':
    case 'auth': {
      const fields: Loose = { cmd: packet.type };
      if (version === 5) fields['reasonCode'] = packet.reasonCode;
      return withProperties(fields, theirProperties(packet.properties));
    }
    default:
      return { cmd: packet.type };
  }
}

/** What `mqtt-packet` cannot express or reads otherwise than the specification says. */
function isExpressible(packet: Packet, version: ProtocolVersion): boolean {
  const pairs: UserProperty[] = [];
  if ('properties' in packet) {
    if (packet.properties instanceof Uint8Array) {
      pairs.push(...(decodeApplicationProperties(packet.properties)?.userProperties ?? []));
    } else pairs.push(...(packet.properties.userProperties ?? []));
  }
  if (packet.type === 'connect') {
    // It wants a client id unless clean is set, and a user name with each password, in 5.0 too.
    if (packet.clientId === '' && !packet.clean) return false;
    if (packet.password !== undefined && (packet.username ?? '') === '') return false;
    if (packet.will !== undefined) {
      pairs.push(...(decodeApplicationProperties(packet.will.properties)?.userProperties ?? []));
    }
  }
  // An empty value is lost there when its name comes again.
  const keys = pairs.map(([name]) => name);
  return version === 4 || new Set(keys).size === keys.length || pairs.every(([, value]) => value !== '');
}

/** The fields of `expected` as the other side has them; absent properties are empty properties. */
function pick(found: Loose, expected: Loose): Loose {
  const picked: Loose = {};
  for (const [key, value] of Object.entries(expected)) {
    if (key === 'will') picked[key] = pick(found[key] as Loose, value as Loose);
    else if (key === 'properties') picked[key] = { ...(found[key] as Loose | undefined) };
    else if (key === 'subscriptions') {
      const wanted = value as Loose[];
      picked[key] = (found[key] as Loose[]).map((entry, index) => pick(entry, wanted[index] ?? entry));
    } else picked[key] = found[key];
  }
  return picked;
}

function theyParse(version: ProtocolVersion, bytes: Uint8Array): Loose {
  const parser = oracle.parser({ protocolVersion: version });
  const found: Loose[] = [];
  parser.on('packet', (packet) => found.push(packet as unknown as Loose));
  parser.on('error', (error: Error) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  assert.equal(found.length, 1);
  return found[0]!;
}

for (const version of versions) {
  describe(`mqtt-packet, MQTT ${version === 4 ? '3.1.1' : '5.0'}`, () => {
    for (const [kind, arbitrary] of Object.entries(packetKinds(version))) {
      const expressible = arbitrary.filter((packet) => isExpressible(packet, version));

      test(`${kind}: they read what we write`, () => {
        fc.assert(
          fc.property(expressible, (packet) => {
            const expected = toTheirs(packet, version);
            assert.deepEqual(pick(theyParse(version, encode(version, packet)), expected), expected);
          }),
          { numRuns: runs(150, 10_000) },
        );
      });

      test(`${kind}: we read what they write`, () => {
        fc.assert(
          fc.property(expressible, (packet) => {
            const expected = toTheirs(packet, version);
            const bytes = oracle.generate(expected as unknown as oracle.Packet, { protocolVersion: version });
            const found = decodeAll(version, [bytes]);
            assert.equal(found.length, 1);
            assert.notEqual(found[0]!.type, 'malformed', JSON.stringify(found[0]));
            assert.deepEqual(toTheirs(found[0] as Packet, version), expected);
          }),
          { numRuns: runs(150, 10_000) },
        );
      });
    }
  });
}
