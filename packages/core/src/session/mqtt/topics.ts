/** Which topic names and filters are well formed, and which a device may use at all (§4.7 of both versions). */
import { limits, utf8Bytes } from '../../base/index.js';
import type { Refusal } from '../../domain/index.js';

const HASH = 0x23;
const PLUS = 0x2b;
const SLASH = 0x2f;

/** The one name space below `$` to which a device publishes. */
const PRIVATE_PREFIX = '$line/';

const SHARED_PREFIX = '$share/';

/** What is wrong with a topic to publish to; the codec has refused the empty topic, wildcards and U+0000 already. */
export function checkTopicName(topic: string): Refusal | undefined {
  if (isTooLong(topic)) return 'topic-invalid';
  // [MQTT-4.7.2-1] and the note below it: what begins with $ belongs to the server.
  if (topic.charCodeAt(0) === 0x24 && !topic.startsWith(PRIVATE_PREFIX)) return 'not-authorized';
  return undefined;
}

/** What is wrong with a filter to subscribe to. */
export function checkFilter(filter: string): Refusal | undefined {
  return isFilterValid(filter) ? undefined : 'filter-invalid';
}

/** Whether this asks for a shared subscription (MQTT 5.0 §4.8.2). */
export function isSharedFilter(filter: string): boolean {
  return filter.startsWith(SHARED_PREFIX);
}

/** Whether the wildcards stand where they may, and length and depth are within the limits. */
export function isFilterValid(filter: string): boolean {
  if (!isSharedFilter(filter)) return isPlainFilterValid(filter);
  // [MQTT-4.8.2-1], [MQTT-4.8.2-2]: a name of at least one character, without wildcards, and a filter behind it.
  const end = filter.indexOf('/', SHARED_PREFIX.length);
  if (end <= SHARED_PREFIX.length || isTooLong(filter)) return false;
  const name = filter.slice(SHARED_PREFIX.length, end);
  return !name.includes('+') && !name.includes('#') && isPlainFilterValid(filter.slice(end + 1));
}

function isPlainFilterValid(filter: string): boolean {
  const length = filter.length;
  if (length === 0 || isTooLong(filter)) return false;
  for (let index = 0; index < length; index += 1) {
    const unit = filter.charCodeAt(index);
    if (unit !== HASH && unit !== PLUS) continue;
    // [MQTT-4.7.1-1], [MQTT-4.7.1-2]: a wildcard is alone in its level, and # is the last level.
    if (index > 0 && filter.charCodeAt(index - 1) !== SLASH) return false;
    if (unit === HASH ? index !== length - 1 : index < length - 1 && filter.charCodeAt(index + 1) !== SLASH) {
      return false;
    }
  }
  return true;
}

function isTooLong(topic: string): boolean {
  const length = topic.length;
  if (length > limits.topicBytesMax) return true;
  // One code unit is at most three bytes, so most topics need not be counted.
  if (length * 3 > limits.topicBytesMax && utf8Bytes(topic) > limits.topicBytesMax) return true;
  if (length < limits.topicDepthMax) return false;
  let levels = 1;
  for (let index = 0; index < length; index += 1) if (topic.charCodeAt(index) === SLASH) levels += 1;
  return levels > limits.topicDepthMax;
}
