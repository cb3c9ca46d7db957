/** Access rules: which topics a device may publish to and subscribe to. */
import type { AccessRules } from '../domain/device.js';
import { SYSTEM_PREFIX, filterCovers, filterMatches, isTopicFilter } from './topic-filter.js';

/** The rules of a device, with its id put in for `%d`. */
export class Access {
  readonly #publish: readonly string[];
  readonly #subscribe: readonly string[];
  readonly #isPublishOpen: boolean;
  /** The device's id stands in a rule. */
  readonly isPersonal: boolean;

  constructor(rules: AccessRules, deviceId: string) {
    this.#publish = expand(rules.publish, deviceId);
    this.#subscribe = expand(rules.subscribe, deviceId);
    this.#isPublishOpen = rules.publish.includes('#');
    this.isPersonal = [...rules.publish, ...rules.subscribe].some((pattern) => pattern.includes('%d'));
  }

  mayPublish(topic: string): boolean {
    // Topics that begin with $ are the server's.
    if (topic.startsWith('$')) return false;
    return this.#isPublishOpen || this.#publish.some((pattern) => filterMatches(pattern, topic));
  }

  maySubscribe(filter: string): boolean {
    // Below $SYS it needs a rule that says so: no wildcard covers a level that begins with $.
    if (filter.startsWith('$') && !filter.startsWith(SYSTEM_PREFIX)) return false;
    return this.#subscribe.some((pattern) => filterCovers(pattern, filter));
  }
}

/** A function as replacement: in a text, `$&` and the like of a device id would mean something. */
function expand(patterns: readonly string[], deviceId: string): string[] {
  return patterns.map((pattern) => pattern.replaceAll('%d', () => deviceId)).filter(isTopicFilter);
}
