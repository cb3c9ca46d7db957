/**
 * Topic aliases of one MQTT 5.0 connection, both ways (§3.3.2.3.4): a number in the place of a topic that was said
 * before. They end with the connection. A session has this only once its client uses or takes aliases.
 */
import { ReasonCode, type PublishPacket } from '../../wire/mqtt/index.js';
import { mqttLimits } from './limits.js';

/** A topic that the client was told an alias for. */
interface Told {
  topic: Uint8Array;
  /** Used since a newcomer last asked for its place. */
  isRecent: boolean;
}

/** Bytes of the property that carries an alias: what a topic must be longer than. */
const ALIAS_BYTES = 3;

export class TopicAliases {
  /** Aliases that the client takes, and that we give. */
  readonly #toldMax: number;
  /** What the client set, by alias; null: nothing. */
  #heard: Map<number, string> | null = null;
  /** What we set; the alias is the place plus one. null: nothing. */
  #told: Told[] | null = null;
  /** The place that the next newcomer asks for. */
  #hand = 0;

  /** @param clientMax the client's Topic Alias Maximum, 0 … 65,535. */
  constructor(clientMax: number) {
    this.#toldMax = Math.min(clientMax, mqttLimits.topicAliasesOutMax);
  }

  /** The topic of a PUBLISH with an alias, which it may set; undefined: the alias was never set. */
  resolve(alias: number, topic: string): string | undefined {
    if (topic === '') return this.#heard?.get(alias);
    (this.#heard ??= new Map()).set(alias, topic);
    return topic;
  }

  /** The alias that the client knows for the topic; 0: none. */
  find(topic: Uint8Array): number {
    if (this.#told === null || topic.length <= ALIAS_BYTES) return 0;
    for (let place = 0; place < this.#told.length; place += 1) {
      const told = this.#told[place]!;
      if (!isSame(told.topic, topic)) continue;
      told.isRecent = true;
      return place + 1;
    }
    return 0;
  }

  /**
   * The alias that a topic without one would get now; 0: none. When all are given, a topic that was used since the
   * last newcomer came keeps its own for once, so that many topics in turn do not only pay for new aliases.
   */
  offer(topic: Uint8Array): number {
    if (this.#toldMax === 0 || topic.length <= ALIAS_BYTES) return 0;
    const count = this.#told?.length ?? 0;
    if (count < this.#toldMax) return count + 1;
    const place = this.#hand;
    const told = this.#told![place]!;
    if (!told.isRecent) return place + 1;
    told.isRecent = false;
    this.#hand = (place + 1) % this.#toldMax;
    return 0;
  }

  /** The client is told the alias that was offered, with this topic. Copies it. */
  set(alias: number, topic: Uint8Array): void {
    this.#told ??= [];
    this.#told[alias - 1] = { topic: new Uint8Array(topic), isRecent: false };
    if (alias - 1 === this.#hand && this.#told.length === this.#toldMax) {
      this.#hand = (this.#hand + 1) % this.#toldMax;
    }
  }
}

/** Why a client may not use an alias. */
interface AliasProblem {
  readonly code: ReasonCode;
  readonly text: string;
}

/** The topic of a PUBLISH with an alias; or what ends the connection. */
export function resolveAlias(
  aliases: TopicAliases,
  { topicAlias, topic }: Pick<PublishPacket, 'topicAlias' | 'topic'>,
): string | AliasProblem {
  // [MQTT-3.3.2-9]; 0 was refused by the codec [MQTT-3.3.2-8].
  if (topicAlias > mqttLimits.topicAliasesInMax) {
    return { code: ReasonCode.topicAliasInvalid, text: 'the topic alias is beyond the maximum' };
  }
  // MQTT 5.0 §3.3.4
  const unset = { code: ReasonCode.protocolError, text: 'the topic alias was never set' };
  return aliases.resolve(topicAlias, topic) ?? unset;
}

/** From the end: the topics of one deployment share their beginning. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = a.length - 1; index >= 0; index -= 1) if (a[index] !== b[index]) return false;
  return true;
}
