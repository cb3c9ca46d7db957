/** Topic names and filters as text: what is well formed, what matches, what covers. MQTT 5.0 §4.7. */
import { limits } from '../base/limits.js';
import { utf8Bytes } from '../base/utf8.js';

/** The topics of the device's own line; private to each device. */
export const LINE_PREFIX = '$line/';
/** Messages addressed to the device itself arrive on this prefix plus the channel. */
export const INBOX_PREFIX = '$line/inbox/';

/** Answers to a device that asked for an endpoint arrive on this prefix plus the channel, whatever it subscribes to. */
export const ENDPOINT_PREFIX = '$line/endpoint/';

const SHARE_PREFIX = '$share/';

/** Figures of the server; for those whose access rules name it. */
export const SYSTEM_PREFIX = '$SYS/';

export function isTopicName(topic: string): boolean {
  if (topic.length === 0 || topic.includes('\0') || topic.includes('+') || topic.includes('#')) return false;
  return isWithinLimits(topic);
}

export function isTopicFilter(filter: string): boolean {
  if (filter.length === 0 || filter.includes('\0')) return false;
  const levels = filter.split('/');
  for (let index = 0; index < levels.length; index++) {
    const level = levels[index];
    if (level.includes('#') && (level !== '#' || index !== levels.length - 1)) return false;
    if (level.includes('+') && level !== '+') return false;
  }
  return isWithinLimits(filter);
}

/** What a shared subscription is about, and who shares it; undefined: the filter is not one, or malformed. */
export function parseSharedFilter(
  text: string,
): { readonly name: string; readonly filter: string } | undefined {
  if (!isSharedFilter(text)) return undefined;
  const end = text.indexOf('/', SHARE_PREFIX.length);
  if (end <= SHARE_PREFIX.length || end === text.length - 1) return undefined;
  const name = text.slice(SHARE_PREFIX.length, end);
  return hasWildcard(name) ? undefined : { name, filter: text.slice(end + 1) };
}

/** Whether this asks for a shared subscription. */
export function isSharedFilter(filter: string): boolean {
  return filter.startsWith(SHARE_PREFIX);
}

export function hasWildcard(filter: string): boolean {
  return filter.includes('+') || filter.includes('#');
}

function isWithinLimits(text: string): boolean {
  if (text.length > limits.topicBytesMax || utf8Bytes(text) > limits.topicBytesMax) return false;
  let depth = 1;
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) === 0x2f) depth++;
  return depth <= limits.topicDepthMax;
}

/** Whether the filter matches the topic name. */
export function filterMatches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  if (topic.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) return false;
  return levelsMatch(filter, 0, topic, 0);
}

const HASH = 0x23;
const PLUS = 0x2b;
const SLASH = 0x2f;

/**
 * Whether the levels of a filter from `at` on match those of a topic from `topicAt` on. Levels begin there; behind the
 * length of a text there are none left. Compared as text: nothing is parted.
 */
export function levelsMatch(filter: string, at: number, topic: string, topicAt: number): boolean {
  const end = filter.length;
  const topicEnd = topic.length;
  while (at <= end) {
    const first = at < end ? filter.charCodeAt(at) : SLASH;
    // `a/#` matches `a` too [MQTT-4.7.1-2].
    if (first === HASH) return true;
    if (topicAt > topicEnd) return false;
    if (first === PLUS) {
      at += 2;
      while (topicAt < topicEnd && topic.charCodeAt(topicAt) !== SLASH) topicAt++;
      topicAt++;
      continue;
    }
    for (;;) {
      // The end of a text ends a level as a slash does.
      const unit = at < end ? filter.charCodeAt(at) : SLASH;
      const topicUnit = topicAt < topicEnd ? topic.charCodeAt(topicAt) : SLASH;
      if (unit !== topicUnit) return false;
      at++;
      topicAt++;
      if (unit === SLASH) break;
    }
  }
  return topicAt > topicEnd;
}

/** Whether every topic that `narrow` matches is matched by `wide`, too. Both are filters. */
export function filterCovers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true;
  if (narrow.startsWith('$') && (wide.startsWith('#') || wide.startsWith('+'))) return false;
  return coversLevels(wide.split('/'), narrow.split('/'));
}

function coversLevels(wide: readonly string[], narrow: readonly string[]): boolean {
  for (let index = 0; index < wide.length; index++) {
    const level = wide[index];
    if (level === '#') return true;
    if (index >= narrow.length || narrow[index] === '#') return false;
    if (level !== '+' && level !== narrow[index]) return false;
  }
  return wide.length === narrow.length;
}
