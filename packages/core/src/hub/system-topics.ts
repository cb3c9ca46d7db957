/**
 * `$SYS`: a few figures of the server as topics, by the names that other brokers use. Told to a new subscription like
 * retained messages, and then when they have changed, every `sysIntervalMs`. Costs nothing while nobody subscribes.
 *
 * A device sees them if an access rule names `$SYS/…`; `#` does not [MQTT-4.7.2-1].
 */
import { NEVER, SECOND_MS } from '../base/time.js';
import type { InstantMs } from '../base/time.js';
import { encodeUtf8 } from '../base/utf8.js';
import type { Statistics } from '../domain/control.js';
import type { Device } from './device-state.js';
import type { HubCore } from './hub-core.js';
import type { Subscription } from './subscription.js';
import { SYSTEM_PREFIX, filterMatches } from './topic-filter.js';

/** Sends one figure to one device, QoS 0, as a retained message or not. */
export type SendFigure = (
  device: Device,
  topic: Uint8Array,
  body: Uint8Array,
  retain: boolean,
  subscriptionIds: readonly number[],
) => void;

interface Figures {
  readonly statistics: Statistics;
  readonly uptimeSeconds: number;
  readonly version: string;
  /** QoS 0 included. */
  readonly messagesSent: number;
}

/** Topics below `$SYS/broker/`. */
const topics: Readonly<Record<string, (figures: Figures) => number | string>> = {
  version: ({ version }) => `wakeline ${version}`,
  uptime: ({ uptimeSeconds }) => `${uptimeSeconds} seconds`,
  'clients/connected': ({ statistics }) => statistics.flows,
  'clients/total': ({ statistics }) => statistics.devices,
  'messages/received': ({ statistics }) => statistics.publicationsAccepted,
  'messages/sent': ({ messagesSent }) => messagesSent,
  'messages/stored': ({ statistics }) => statistics.waitingMessages + statistics.retainedMessages,
  'publish/messages/received': ({ statistics }) => statistics.publicationsAccepted,
  'publish/messages/sent': ({ messagesSent }) => messagesSent,
  'publish/messages/dropped': ({ statistics }) => statistics.endedDropped + statistics.qos0Dropped,
  'retained messages/count': ({ statistics }) => statistics.retainedMessages,
  'subscriptions/count': ({ statistics }) => statistics.subscriptions,
};

/** Names of the topics, for the documentation. */
export const systemTopics: readonly string[] = Object.keys(topics).map(
  (name) => `${SYSTEM_PREFIX}broker/${name}`,
);

export class SystemTopics {
  readonly #core: HubCore;
  readonly #statistics: () => Statistics;
  readonly #send: SendFigure;
  #startMs = 0;
  /** What was told last, by topic. */
  #told = new Map<string, string>();
  /** Monotonic ms; NEVER: nobody subscribes. */
  dueMs = NEVER;

  constructor(core: HubCore, statistics: () => Statistics, send: SendFigure) {
    this.#core = core;
    this.#statistics = statistics;
    this.#send = send;
  }

  begin(now: InstantMs): void {
    this.#startMs = now.monotonic;
  }

  /** Somebody subscribes to a filter that may match some of the topics. */
  arm(): void {
    if (this.dueMs === NEVER) this.dueMs = this.#core.now.monotonic + this.#core.limits.sysIntervalMs;
  }

  /** Tells a new subscription what it matches. */
  tell(device: Device, subscription: Subscription<Device>): void {
    const { subscriptionId } = subscription;
    for (const [topic, text] of this.#read()) {
      if (!filterMatches(subscription.filter, topic)) continue;
      const ids = subscriptionId === 0 ? [] : [subscriptionId];
      this.#send(device, encodeUtf8(topic), encodeUtf8(text), true, ids);
    }
  }

  /** Tells all subscribers what has changed. */
  handleTimeout(now: InstantMs): void {
    if (now.monotonic < this.dueMs) return;
    let isWanted = false;
    for (const [topic, text] of this.#read()) {
      const { topicBytes, targets } = this.#core.tree.match(topic);
      if (targets.length === 0) continue;
      isWanted = true;
      if (this.#told.get(topic) === text) continue;
      this.#told.set(topic, text);
      for (const { holder, subscriptionIds } of targets) {
        this.#send(holder, topicBytes, encodeUtf8(text), false, subscriptionIds);
      }
    }
    this.dueMs = isWanted ? now.monotonic + this.#core.limits.sysIntervalMs : NEVER;
    if (!isWanted) this.#told = new Map();
  }

  *#read(): Iterable<readonly [string, string]> {
    const statistics = this.#statistics();
    const figures: Figures = {
      statistics,
      uptimeSeconds: Math.floor((this.#core.now.monotonic - this.#startMs) / SECOND_MS),
      version: this.#core.options.version ?? '',
      messagesSent: statistics.deliveriesSent + this.#core.qos0Sent,
    };
    for (const [name, read] of Object.entries(topics)) {
      yield [`${SYSTEM_PREFIX}broker/${name}`, String(read(figures))];
    }
  }
}
