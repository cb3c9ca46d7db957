/** From what a PUBLISH or a will says to the domain's `Publication`. */
import { encodeUtf8 } from '../../base/index.js';
import { Urgency, urgencyNames, type Publication, type Will } from '../../domain/index.js';
import { findUserProperty, type PublishPacket, type WillFields } from '../../wire/mqtt/index.js';

/** User properties that mean something to the server; they are forwarded all the same. */
const urgencyName = encodeUtf8('urgency');
const replaceName = encodeUtf8('replace');

/** Body and properties stay views, as the packet's are. `topic` is the packet's, or what its alias stands for. */
export function toPublication(packet: PublishPacket, topic: string): Publication {
  const { properties } = packet;
  const hasProperties = properties.length > 0;
  return {
    topic,
    body: packet.payload,
    properties,
    qos: packet.qos,
    retain: packet.retain,
    expirySeconds: packet.messageExpirySeconds,
    urgency: hasProperties ? readUrgency(properties) : Urgency.normal,
    replaceKey: hasProperties ? findUserProperty(properties, replaceName) : undefined,
  };
}

/** Copies everything: a will outlives the packet it came in. */
export function toWill(will: WillFields): Will {
  return {
    publication: {
      topic: will.topic,
      body: new Uint8Array(will.payload),
      properties: new Uint8Array(will.properties),
      qos: will.qos,
      retain: will.retain,
      expirySeconds: will.messageExpirySeconds,
      urgency: readUrgency(will.properties),
      replaceKey: findUserProperty(will.properties, replaceName),
    },
    delaySeconds: will.delaySeconds,
  };
}

/** Urgency by its name in RFC 8030; one that is not known there counts as normal. */
function readUrgency(properties: Uint8Array): Urgency {
  const name = findUserProperty(properties, urgencyName);
  const index = urgencyNames.indexOf(name as (typeof urgencyNames)[number]);
  return index < 0 ? Urgency.normal : (index as Urgency);
}
