/** What an app publishes and subscribes to, checked before the machine gets it: the server would end the connection for it. */
import type { ClientPublication } from '@wakeline/core/session/mqtt-client';
import { encodeApplicationProperties } from '@wakeline/core/wire/mqtt';
import { DeviceError } from '../errors.js';
import { hostLimits } from '../limits.js';
import { checkOptions, duration, qos as qosRule, signal, text, type OptionRules } from './check-options.js';
import { parseDuration } from './duration.js';
import type { PublishOptions } from './types.js';

const EXPIRY_MS_MAX = 0xffff_ffff * 1_000;
const PROPERTIES_BYTES_MAX = 16 * 1024;

const publishRules: OptionRules<PublishOptions> = {
  qos: qosRule,
  expiry: duration,
  contentType: text,
  responseTopic: text,
  correlationData: { is: (value) => value instanceof Uint8Array, text: 'a Uint8Array' },
  userProperties: { is: isTextPairs, text: "a list of pairs of texts: [['colour', 'red']]" },
  signal,
};

/** @throws DeviceError MESSAGE_INVALID, OPTION_INVALID */
export function toPublication(
  topic: string,
  body: string | Uint8Array,
  options: PublishOptions,
): ClientPublication {
  checkOptions('publish', options, publishRules);
  const { qos = 1, expiry, contentType, responseTopic, correlationData, userProperties } = options;
  checkTopic(topic, 'topic');
  if (/[+#]/.test(topic)) throw invalid('a topic has no wildcards');
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) {
    throw invalid('the body is a text or a Uint8Array; an object needs JSON.stringify');
  }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body.slice();
  if (bytes.length > hostLimits.messageBytesMax) {
    throw invalid(`the body has ${bytes.length} bytes; ${hostLimits.messageBytesMax} is the most`);
  }
  if (responseTopic !== undefined) checkTopic(responseTopic, 'responseTopic');
  const texts = [contentType ?? '', ...(userProperties ?? []).flat()];
  const chars = texts.reduce((sum, text) => sum + text.length, correlationData?.length ?? 0);
  if (chars > PROPERTIES_BYTES_MAX || texts.some(isUnclean)) {
    throw invalid(`properties have no control characters, and ${PROPERTIES_BYTES_MAX} bytes in all at most`);
  }
  const properties = encodeApplicationProperties({
    payloadFormat: typeof body === 'string' ? 1 : undefined,
    contentType,
    responseTopic,
    correlationData,
    userProperties: userProperties?.map(([name, value]) => [name, value] as const),
  });
  const expiryMs = expiry === undefined ? undefined : parseDuration(expiry, 'expiry', 1_000, EXPIRY_MS_MAX);
  const expirySeconds = expiryMs === undefined ? undefined : Math.round(expiryMs / 1_000);
  return { topic, body: bytes, properties, qos, expirySeconds };
}

/** @throws DeviceError MESSAGE_INVALID */
export function checkFilter(filter: string): void {
  checkTopic(filter, 'filter');
  const levels = filter.split('/');
  const isWild = (level: string): boolean => /[+#]/.test(level);
  const isWrong = levels.some(
    (level, index) => isWild(level) && level !== '+' && !(level === '#' && index === levels.length - 1),
  );
  if (isWrong) throw invalid(`'${filter}' is no filter: + is a whole level, # the last one`);
}

function checkTopic(text: string, name: string): void {
  const isSound = typeof text === 'string' && text !== '' && !isUnclean(text);
  if (isSound && new TextEncoder().encode(text).length <= hostLimits.topicBytesMax) return;
  throw invalid(`${name} is a text of 1 to ${hostLimits.topicBytesMax} bytes without control characters`);
}

function isTextPairs(value: unknown): boolean {
  const isPair = (pair: unknown): boolean =>
    Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');
  return Array.isArray(value) && value.every(isPair);
}

/** Control characters, or half of a surrogate pair [MQTT-1.5.4-1]. */
function isUnclean(text: string): boolean {
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000)) return true;
  }
  return false;
}

function invalid(message: string): DeviceError {
  return new DeviceError('MESSAGE_INVALID', message);
}
