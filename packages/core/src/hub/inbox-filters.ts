/**
 * Which channels of its own inbox a device has asked for.
 *
 * A device may have asked with as many filters as a session has subscriptions, and its inbox is looked through with
 * them. So a list of them is taken apart once, and a look costs the same however long the list is.
 *
 * Must not: know anything else than `$line/inbox/CHANNEL`, where a channel is one level.
 */
import { INBOX_PREFIX } from './topic-filter.js';

/** Filters below `$line/inbox/`. Replaced as a whole and never changed, because what is known of it is kept. */
export type InboxFilters = readonly string[];

const everyChannel = 'every channel';
const known = new WeakMap<InboxFilters, ReadonlySet<string> | typeof everyChannel>();

/** Whether one of the filters matches the topic, which lies below `$line/inbox/`. */
export function takesTopic(filters: InboxFilters, topic: string): boolean {
  let topics = known.get(filters);
  if (topics === undefined) known.set(filters, (topics = topicsOf(filters)));
  return topics === everyChannel || topics.has(topic);
}

function topicsOf(filters: InboxFilters): ReadonlySet<string> | typeof everyChannel {
  const topics = new Set<string>();
  for (const filter of filters) {
    if (filter === `${INBOX_PREFIX}#`) return everyChannel;
    // `a/#` matches `a` too [MQTT-4.7.1-2], and nothing lies below a channel.
    const topic = filter.endsWith('/#') ? filter.slice(0, -2) : filter;
    if (topic === `${INBOX_PREFIX}+`) return everyChannel;
    topics.add(topic);
  }
  return topics;
}
