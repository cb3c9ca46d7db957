/**
 * What was found for topics lately, and whether it still holds.
 *
 * A change of a filter without wildcards concerns one topic. A change of one with wildcards may concern any; it is
 * compared with a topic only when that topic is used again, and a topic that is many changes behind is matched anew.
 * So neither a new subscription nor a publication pays for what others have subscribed to meanwhile.
 *
 * A topic is kept when it comes again before many others have come: where each of very many devices has a topic of its own and rarely a message, an
 * answer is matched anew sooner than it would be of use, and keeping it is work for the collector.
 */
import { fnv1aOfText } from '../base/fnv1a.js';
import { levelsMatch } from './topic-filter.js';

/** Changes of wildcard filters that are remembered. */
const CHANGES_MAX = 64;
/** Places for topics that came once. Each topic has one, and a later topic of the same place takes it. */
const NEWCOMERS = 4_096;

interface Known<Match> {
  readonly match: Match;
  /** Wildcard changes that it takes account of. */
  changes: number;
}

export class MatchCache<Match> {
  readonly #known = new Map<string, Known<Match>>();
  readonly #topicsMax: number;
  /** The filters that changed last; the change with number n lies at n modulo CHANGES_MAX. */
  readonly #changed: string[] = [];
  #changes = 0;
  /** Hashes of their topics. */
  readonly #newcomers = new Int32Array(NEWCOMERS);

  constructor(topicsMax: number) {
    this.#topicsMax = topicsMax;
  }

  get(topic: string): Match | undefined {
    const known = this.#known.get(topic);
    if (known === undefined) return undefined;
    if (known.changes !== this.#changes) {
      if (this.#hasChanged(topic, known.changes)) {
        this.#known.delete(topic);
        return undefined;
      }
      known.changes = this.#changes;
    }
    return known.match;
  }

  /** Keeps it if the topic comes for the second time; the oldest topic makes way. */
  offer(topic: string, match: Match): void {
    if (this.#isNewcomer(topic)) return;
    if (this.#known.size >= this.#topicsMax) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#known.set(topic, { match, changes: this.#changes });
  }

  /** The subscribers of a filter without wildcards changed. */
  forgetTopic(topic: string): void {
    this.#known.delete(topic);
  }

  /** The subscribers of a filter with wildcards changed. */
  forgetMatching(filter: string): void {
    this.#changed[this.#changes % CHANGES_MAX] = filter;
    this.#changes++;
  }

  #isNewcomer(topic: string): boolean {
    const hash = fnv1aOfText(topic);
    const place = (hash ^ (hash >>> 15)) & (NEWCOMERS - 1);
    if (this.#newcomers[place] === hash) return false;
    this.#newcomers[place] = hash;
    return true;
  }

  #hasChanged(topic: string, since: number): boolean {
    if (this.#changes - since > CHANGES_MAX) return true;
    for (let change = since; change < this.#changes; change++) {
      if (levelsMatch(this.#changed[change % CHANGES_MAX]!, 0, topic, 0)) return true;
    }
    return false;
  }
}
