/**
 * From what a sender wrote, as JSON or as a raw body with query parameters, to the hub's `OutgoingMessage`.
 * The schemas have checked the types; here are the rules that a schema cannot say.
 */
import { limits } from '@wakeline/core/base';
import { encodeProperties, isPropertyText, Urgency, urgencyNames } from '@wakeline/core/domain';
import type { OutgoingMessage } from '@wakeline/core/domain';
import { parseDurationMs } from '../config/index.js';
import { HttpError } from './errors.js';
import type { HttpErrorCode } from './errors.js';

/** Properties of one message, encoded: what `limits.mqttPacketBytesMax` leaves beside body and topic. */
export const PROPERTIES_BYTES_MAX = 60 * 1024;

/** MQTT 5.0 §3.3.2.3.3: the interval is four bytes. */
const TTL_SECONDS_MAX = 0xffff_ffff;

type UrgencyName = (typeof urgencyNames)[number];

/** The options that both forms have, each under the same name. */
export interface MessageOptions {
  /** Seconds, or a duration with its unit. */
  readonly ttl?: number | string;
  readonly urgency?: UrgencyName;
  readonly replace?: string;
  readonly channel?: string;
  readonly qos?: 1 | 2;
  readonly retain?: boolean;
  readonly contentType?: string;
  readonly responseTopic?: string;
  /** base64 or base64url. */
  readonly correlationData?: string;
  readonly properties?: Readonly<Record<string, string | readonly string[]>>;
}

/** The JSON form. */
export interface MessageEnvelope extends MessageOptions {
  readonly body?: string;
  readonly bodyBase64?: string;
}

/** One message of a batch: to a device or to a topic. */
export interface BatchItem extends MessageEnvelope {
  readonly device?: string;
  readonly topic?: string;
}

/** @throws HttpError body-invalid, message-too-large */
export function messageOfEnvelope(envelope: MessageEnvelope, bytesMax: number): OutgoingMessage {
  const { body, bodyBase64 } = envelope;
  if (body !== undefined && bodyBase64 !== undefined) {
    throw new HttpError('body-invalid', 'give body or bodyBase64, not both');
  }
  if (bodyBase64 === undefined)
    return build(Buffer.from(body ?? '', 'utf8'), body !== undefined, envelope, bytesMax, 'body-invalid');
  return build(
    decodeBase64(bodyBase64, 'bodyBase64', 'body-invalid'),
    false,
    envelope,
    bytesMax,
    'body-invalid',
  );
}

/** @throws HttpError query-invalid, message-too-large */
export function messageOfRawBody(
  body: Uint8Array,
  contentType: string | undefined,
  query: Readonly<Record<string, string>>,
  bytesMax: number,
): { readonly message: OutgoingMessage; readonly options: MessageOptions } {
  const options = optionsOfQuery(query, contentType);
  return { message: build(body, false, options, bytesMax, 'query-invalid'), options };
}

/** Content types that clients send when their user said nothing about the content. */
const meaninglessTypes = ['application/octet-stream', 'application/x-www-form-urlencoded'];

const PROPERTY_PREFIX = 'property.';

function optionsOfQuery(
  query: Readonly<Record<string, string>>,
  contentType: string | undefined,
): MessageOptions {
  const properties: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(query)) {
    if (name.startsWith(PROPERTY_PREFIX)) properties[name.slice(PROPERTY_PREFIX.length)] = value;
  }
  const essence = contentType?.split(';')[0]!.trim().toLowerCase();
  const isMeaningful = essence !== undefined && essence !== '' && !meaninglessTypes.includes(essence);
  const type = query['contentType'] ?? (isMeaningful ? contentType : undefined);
  const { ttl, urgency, replace, channel, qos, retain, responseTopic, correlationData } = query;
  return {
    ...(ttl === undefined ? {} : { ttl: /^\d+$/.test(ttl) ? Number(ttl) : ttl }),
    ...(urgency === undefined ? {} : { urgency: urgency as UrgencyName }),
    ...(replace === undefined ? {} : { replace }),
    ...(channel === undefined ? {} : { channel }),
    ...(qos === undefined ? {} : { qos: qos === '2' ? 2 : 1 }),
    ...(retain === undefined ? {} : { retain: retain === 'true' }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationData === undefined ? {} : { correlationData }),
    ...(type === undefined ? {} : { contentType: type }),
    properties,
  };
}

function build(
  body: Uint8Array,
  isText: boolean,
  options: MessageOptions,
  bytesMax: number,
  code: HttpErrorCode,
): OutgoingMessage {
  if (body.length > bytesMax) {
    throw new HttpError(
      'message-too-large',
      `the message has ${body.length} bytes; at most ${bytesMax} are taken`,
    );
  }
  return {
    body,
    properties: propertiesOf(options, isText, code),
    qos: options.qos ?? 1,
    expirySeconds: secondsOfTtl(options.ttl, code),
    urgency:
      options.urgency === undefined ? Urgency.normal : (urgencyNames.indexOf(options.urgency) as Urgency),
    replaceKey: options.replace === undefined ? undefined : checkedText(options.replace, 'replace', code),
  };
}

function propertiesOf(options: MessageOptions, isText: boolean, code: HttpErrorCode): Uint8Array {
  const { contentType, responseTopic, correlationData } = options;
  const userProperties: [string, string][] = [];
  for (const [name, values] of Object.entries(options.properties ?? {})) {
    for (const value of typeof values === 'string' ? [values] : values) {
      userProperties.push([
        checkedText(name, 'the name of a property', code),
        checkedText(value, `property ${name}`, code),
      ]);
    }
  }
  if (contentType !== undefined) checkedText(contentType, 'contentType', code);
  if (responseTopic !== undefined && !isTopicName(responseTopic)) {
    throw new HttpError(code, 'responseTopic must be a topic name without wildcards');
  }
  const correlation =
    correlationData === undefined ? undefined : decodeBase64(correlationData, 'correlationData', code);
  const properties = encodeProperties({
    isText,
    contentType,
    responseTopic,
    correlationData: correlation,
    userProperties,
  });
  if (properties.length <= PROPERTIES_BYTES_MAX) return properties;
  throw new HttpError('message-too-large', `the properties have more than ${PROPERTIES_BYTES_MAX} bytes`);
}

/** MQTT 5.0 §4.7: as strict as the hub, for texts that the hub does not look at. */
function isTopicName(topic: string): boolean {
  const bytes = Buffer.byteLength(topic);
  return bytes > 0 && bytes <= limits.topicBytesMax && isPropertyText(topic) && !/[+#]/.test(topic);
}

function checkedText(text: string, what: string, code: HttpErrorCode): string {
  if (isPropertyText(text)) return text;
  throw new HttpError(code, `${what} must be text of at most 65,535 bytes without U+0000`);
}

function secondsOfTtl(ttl: number | string | undefined, code: HttpErrorCode): number | undefined {
  if (ttl === undefined) return undefined;
  const ms = typeof ttl === 'number' ? ttl * 1_000 : parseDurationMs(ttl);
  const seconds = ms === undefined ? undefined : Math.ceil(ms / 1_000);
  if (seconds !== undefined && seconds <= TTL_SECONDS_MAX) return seconds;
  throw new HttpError(code, `ttl must be at most ${TTL_SECONDS_MAX} seconds, as a number or like "10s"`);
}

function decodeBase64(text: string, what: string, code: HttpErrorCode): Uint8Array {
  // Node skips what it does not know, so the alphabet is checked first. Both alphabets, padded or not.
  const digits = text.replace(/={1,2}$/, '');
  if (!/^[\w+/-]*$/.test(digits) || digits.length % 4 === 1) {
    throw new HttpError(code, `${what} is not base64`);
  }
  return Buffer.from(digits, 'base64');
}
