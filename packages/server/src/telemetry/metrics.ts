/**
 * The figures of /metrics. Those of the hub are read when somebody asks, so that they cost nothing in between;
 * only the duration of commits is measured as it happens.
 */
import type { Statistics } from '@wakeline/core/domain';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** The field of the hub's statistics that it shows; undefined: measured here. */
  readonly field?: keyof Statistics;
}

function counter(field: keyof Statistics, help: string): MetricRow {
  return { type: 'counter', field, help };
}

function gauge(field: keyof Statistics, help: string): MetricRow {
  return { type: 'gauge', field, help };
}

/** Every metric of Wakeline's own. docs/metrics.md carries the same table; a test compares the two. */
export const metricNames = {
  wakeline_flows: gauge('flows', 'live connections of devices'),
  wakeline_devices: gauge('devices', 'devices known'),
  wakeline_subscriptions: gauge('subscriptions', 'subscriptions of all sessions'),
  wakeline_retained_messages: gauge('retainedMessages', 'retained messages'),
  wakeline_waiting_messages: gauge('waitingMessages', 'messages waiting in all inboxes'),
  wakeline_log_bytes: gauge('logBytes', 'bytes of the log on disk'),
  wakeline_log_live_bytes: gauge('logLiveBytes', 'bytes of the log that are still needed'),
  wakeline_publications_accepted_total: counter('publicationsAccepted', 'messages accepted from senders'),
  wakeline_deliveries_sent_total: counter('deliveriesSent', 'messages handed to connections'),
  wakeline_deliveries_acknowledged_total: counter(
    'deliveriesAcknowledged',
    'deliveries acknowledged by devices',
  ),
  wakeline_ended_expired_total: counter('endedExpired', 'messages whose time to live ended undelivered'),
  wakeline_ended_replaced_total: counter('endedReplaced', 'messages replaced by a newer one undelivered'),
  wakeline_ended_dropped_total: counter('endedDropped', 'messages dropped undelivered, with a reason'),
  wakeline_qos0_dropped_total: counter('qos0Dropped', 'QoS 0 deliveries not made to a slow or absent device'),
  wakeline_wakes_sent_normal_total: counter(
    'wakesSentNormal',
    'wakes sent to sleeping devices for normal urgency',
  ),
  wakeline_wakes_sent_high_total: counter('wakesSentHigh', 'wakes sent to sleeping devices for high urgency'),
  wakeline_wakes_natural_total: counter(
    'wakesNatural',
    'times that a sleeping device woke by itself while messages waited',
  ),
  wakeline_commits_total: counter('commits', 'commits of the store'),
  wakeline_commit_failures_total: counter('commitFailures', 'commits that the store could not make'),
  wakeline_tcp_keep_alive_listeners: { type: 'gauge', help: 'MQTT listeners that send TCP keepalives' },
  wakeline_commit_duration_seconds: { type: 'histogram', help: 'duration of a commit, disk sync included' },
} as const satisfies Record<string, MetricRow>;

/** Seconds; a sync takes 0.15 ms on a good disk and a second on a bad one. */
const commitBuckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

export interface MetricsOptions {
  /** The hub's figures now. */
  statistics(): Statistics | Promise<Statistics>;
  /** Listeners that send TCP keepalives now. */
  probingListeners(): number;
}

export interface Metrics {
  readonly registry: Registry;
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>;
  /** To be called when a commit is synced. */
  observeCommit(durationMs: number): void;
}

/** A registry of its own each time, so that several servers may live in one process. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const readers: ((statistics: Statistics) => void)[] = [];
  for (const [name, { type, help, field }] of Object.entries<MetricRow>(metricNames)) {
    if (field === undefined) continue;
    const settings = { name, help, registers: [registry] };
    if (type === 'gauge') {
      const metric = new Gauge(settings);
      readers.push((statistics) => metric.set(statistics[field]));
    } else {
      const metric = new Counter(settings);
      readers.push((statistics) => {
        // The hub counts; this only repeats its figure.
        metric.reset();
        metric.inc(statistics[field]);
      });
    }
  }
  const probing = new Gauge({
    name: 'wakeline_tcp_keep_alive_listeners',
    help: metricNames.wakeline_tcp_keep_alive_listeners.help,
    registers: [registry],
  });
  const { help } = metricNames.wakeline_commit_duration_seconds;
  const commits = new Histogram({
    name: 'wakeline_commit_duration_seconds',
    help,
    buckets: commitBuckets,
    registers: [registry],
  });
  return {
    registry,
    text: async () => {
      const statistics = await options.statistics();
      for (const read of readers) read(statistics);
      probing.set(options.probingListeners());
      return registry.metrics();
    },
    observeCommit: (durationMs) => commits.observe(durationMs / 1_000),
  };
}
