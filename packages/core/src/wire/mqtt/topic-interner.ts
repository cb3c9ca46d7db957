/**
 * Turns the bytes of a topic into the same string object each time, without decoding them again: publishers
 * repeat their topics, and comparing bytes is several times cheaper than making a string.
 *
 * The table has a fixed number of places and each place one topic; a newcomer displaces. A peer that searches
 * for collisions only makes its own topics slow.
 */
import { decodeUtf8 } from '../../base/index.js';

/** Topics remembered: with the longest topics the table holds about 1 MB. */
const PLACES = 4_096;

/** Longer topics are decoded each time. */
const TOPIC_BYTES_MAX = 128;

export class TopicInterner {
  readonly #keys: (Uint8Array | undefined)[] = Array.from<Uint8Array | undefined>({ length: PLACES });
  readonly #topics: string[] = Array.from({ length: PLACES }, () => '');

  /** The topic in `bytes[start … end)`; undefined if it is not strict UTF-8 or contains U+0000. */
  intern(bytes: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start;
    if (length > TOPIC_BYTES_MAX) return decodeTopic(bytes, start, end);
    // FNV-1a, folded: the topics of one deployment share their beginning and differ at the end.
    let hash = 0x811c9dc5 ^ length;
    for (let index = start; index < end; index += 1) hash = Math.imul(hash ^ bytes[index]!, 0x01000193);
    const place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    const key = this.#keys[place];
    if (key !== undefined && key.length === length) {
      let index = 0;
      while (index < length && key[index] === bytes[start + index]) index += 1;
      if (index === length) return this.#topics[place];
    }
    const topic = decodeTopic(bytes, start, end);
    if (topic !== undefined) {
      // Not `slice`: on a host's own buffer class that would be a view of memory that is about to be reused.
      this.#keys[place] = new Uint8Array(bytes.subarray(start, end));
      this.#topics[place] = topic;
    }
    return topic;
  }
}

function decodeTopic(bytes: Uint8Array, start: number, end: number): string | undefined {
  const topic = decodeUtf8(bytes, start, end);
  // [MQTT-1.5.4-2]
  return topic === undefined || topic.includes('\0') ? undefined : topic;
}
