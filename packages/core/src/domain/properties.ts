/**
 * The application properties of a message, as `Publication.properties` carries them: MQTT 5.0 §2.2.2.2 without
 * the length in front. Written here once for senders that do not speak MQTT; nothing on a message's way reads them.
 */
import { ByteWriter, utf8Bytes } from '../base/index.js';

/** MQTT 5.0 §2.2.2.2: those of the property identifiers that belong to the application. */
export const PropertyId = {
  payloadFormat: 0x01,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  userProperty: 0x26,
} as const;

/** Every text must pass {@link isPropertyText}; correlation data has at most 65,535 bytes. */
export interface MessageProperties {
  /** The body is UTF-8 text (payload format indicator 1). Default: nothing is said. */
  readonly isText?: boolean | undefined;
  /** Media type of the body. */
  readonly contentType?: string | undefined;
  /** Topic name for an answer; the caller has checked that it has no wildcards. */
  readonly responseTopic?: string | undefined;
  readonly correlationData?: Uint8Array | undefined;
  /** In this order; a name may stand more than once. */
  readonly userProperties?: readonly (readonly [name: string, value: string])[] | undefined;
}

/**
 * Whether `text` can be an MQTT UTF-8 string: at most 65,535 bytes, no U+0000, no lone surrogate
 * (MQTT 5.0 §1.5.4).
 */
export function isPropertyText(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit === 0) return false;
    if (unit < 0xd800 || unit > 0xdfff) continue;
    if (unit > 0xdbff) return false;
    const next = text.charCodeAt(index + 1);
    if (!(next >= 0xdc00 && next <= 0xdfff)) return false;
    index += 1;
  }
  return utf8Bytes(text) <= 0xffff;
}

/** The properties in MQTT 5 encoding; empty when there are none. Asserts that every text is short enough. */
export function encodeProperties(properties: MessageProperties): Uint8Array {
  const writer = new ByteWriter(64);
  if (properties.isText === true) {
    writer.writeU8(PropertyId.payloadFormat);
    writer.writeU8(1);
  }
  if (properties.contentType !== undefined) {
    writer.writeU8(PropertyId.contentType);
    writer.writeUtf8WithLength(properties.contentType);
  }
  if (properties.responseTopic !== undefined) {
    writer.writeU8(PropertyId.responseTopic);
    writer.writeUtf8WithLength(properties.responseTopic);
  }
  if (properties.correlationData !== undefined) {
    writer.writeU8(PropertyId.correlationData);
    writer.writeBytesWithLength(properties.correlationData);
  }
  for (const [name, value] of properties.userProperties ?? []) {
    writer.writeU8(PropertyId.userProperty);
    writer.writeUtf8WithLength(name);
    writer.writeUtf8WithLength(value);
  }
  return writer.take();
}
