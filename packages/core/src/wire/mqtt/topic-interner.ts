/**
 * Turns the bytes of a topic into the same string object each time, without decoding them again: publishers
 * repeat their topics, and comparing bytes is several times cheaper than making a string.
 *
 * The table has a fixed number of places and each place one topic; a newcomer displaces it when it comes twice in a row, so that topics which are used
 * once in a while leave nothing behind that the collector has to move. A peer that searches for collisions only makes its own topics slow.
 */
import { decodeUtf8, fnv1a } from '../../base/index.js';

/** Topics remembered. */
const PLACES = 4_096;

/** Longer topics are decoded each time. */
const TOPIC_BYTES_MAX = 128;

export class TopicInterner {
  readonly #topics: (string | undefined)[] = Array.from<string | undefined>({ length: PLACES });
  /** Their bytes, TOPIC_BYTES_MAX for each place. */
  readonly #bytes = new Uint8Array(PLACES * TOPIC_BYTES_MAX);
  readonly #lengths = new Uint8Array(PLACES);
  /** By place: hash of the topic that came last and was not the one that is there. */
  readonly #newcomers = new Int32Array(PLACES);

  /** The topic in `bytes[start … end)`; undefined if it is not strict UTF-8 or contains U+0000. */
  intern(bytes: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start;
    if (length > TOPIC_BYTES_MAX) return decodeTopic(bytes, start, end);
    const hash = fnv1a(bytes, start, end);
    // Folded: the topics of one deployment share their beginning and differ at the end.
    const place = (hash ^ (hash >>> 15)) & (PLACES - 1);
    const known = this.#topics[place];
    if (known !== undefined && this.#lengths[place] === length) {
      const at = place * TOPIC_BYTES_MAX - start;
      let index = start;
      while (index < end && this.#bytes[at + index] === bytes[index]) index += 1;
      if (index === end) return known;
    }
    const topic = decodeTopic(bytes, start, end);
    if (topic === undefined) return undefined;
    if (this.#newcomers[place] === hash) {
      this.#topics[place] = topic;
      this.#lengths[place] = length;
      this.#bytes.set(bytes.subarray(start, end), place * TOPIC_BYTES_MAX);
    }
    this.#newcomers[place] = hash;
    return topic;
  }
}

function decodeTopic(bytes: Uint8Array, start: number, end: number): string | undefined {
  const topic = decodeUtf8(bytes, start, end);
  // [MQTT-1.5.4-2]
  return topic === undefined || topic.includes('\0') ? undefined : topic;
}
