/** Topic names and filters as text: what is well formed, what matches, what covers. MQTT 5.0 §4.7. */
import { limits } from '../base/limits.js';
import { utf8Bytes } from '../base/utf8.js';

/** The topics of the device's own line; private to each device. */
export const LINE_PREFIX = '$line/';
/** Messages addressed to the device itself arrive on this prefix plus the channel. */
export const INBOX_PREFIX = '$line/inbox/';

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
  return coversLevels(filter.split('/'), topic.split('/'));
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
