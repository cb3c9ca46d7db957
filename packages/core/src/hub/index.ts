/** The hub: inboxes, delivery, topics, sessions and requests. Knows no protocol and no host. */
export { Hub } from './hub.js';
export type { CallOptions, HubOptions } from './hub-core.js';
export { systemTopics } from './system-topics.js';
export type * from './machine.js';
