/**
 * The figures of /metrics. Those of the hub are read when somebody asks, so that they cost nothing in between;
 * only the duration of commits is measured as it happens.
 */
import type { Statistics } from '@wakeline/core/domain';
import { AggregatorRegistry, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricObjectWithValues, MetricValue } from 'prom-client';

interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** The field of the hub's statistics that it shows; undefined: it comes from elsewhere. */
  readonly field?: keyof Statistics;
  /** The figure of the process that it shows. */
  readonly figure?: keyof ProcessFigures;
  /** How the values of several processes become one; a sum unless said. */
  readonly aggregator?: 'max';
}

/** What the processes of a server know beside the hub; each is read when somebody asks. */
export interface ProcessFigures {
  /** Listeners that send TCP keepalives now. */
  readonly probingListeners: () => number;
  /** Connections that wait for their turn. */
  readonly connectsWaiting: () => number;
  /** Connections closed because too many waited, in all. */
  readonly connectsRefused: () => number;
  /** Line processes joined to the hub. */
  readonly lines: () => number;
  /** Connections told to a hub that was started again, in all. */
  readonly flowsResumed: () => number;
  /** Connections ended because their devices waited for a hub that went, in all. */
  readonly flowsEndedByLoss: () => number;
  /** Live connections of SIP, those to trunks among them. */
  readonly sipConnections: () => number;
  /** Connections of SIP that could not be made. */
  readonly sipConnectsFailed: () => number;
  /** Connections of SIP closed because their peer took nothing. */
  readonly sipConnectionsStalled: () => number;
  /** Datagrams of SIP received. */
  readonly sipDatagramsReceived: () => number;
  /** Datagrams of SIP handed to the host. */
  readonly sipDatagramsSent: () => number;
  /** Datagrams of SIP that the host did not take. */
  readonly sipDatagramsFailed: () => number;
  /** Datagrams of SIP lost while the disk did not keep up. */
  readonly sipDatagramsDropped: () => number;
  /** Requests of SIP refused before anybody was asked; the log at debug has each by name. */
  readonly sipRefused: () => number;
  /** Wakes that foreign push services took. */
  readonly pushesAccepted: () => number;
  /** Wakes by foreign endpoints that are no more. */
  readonly pushesGone: () => number;
  /** Wakes that foreign push services refused, or that are not made to such an address. */
  readonly pushesRefused: () => number;
  /** Wakes that did not reach a foreign push service. */
  readonly pushesFailed: () => number;
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
  wakeline_endpoints: gauge('endpoints', 'Web Push endpoints of all devices'),
  wakeline_networks: gauge('networks', 'networks of which devices have said how long a silence they allow'),
  wakeline_canaries: gauge('canaries', 'canaries that are open'),
  wakeline_canary_pushes_total: counter('canaryPushes', 'pushes written to canaries'),
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
  wakeline_ended_failed_total: counter('endedFailed', 'messages that devices got and could do nothing with'),
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
  wakeline_tcp_keep_alive_listeners: {
    type: 'gauge',
    help: 'MQTT and SIP listeners that send TCP keepalives',
    figure: 'probingListeners',
    aggregator: 'max',
  },
  wakeline_connects_waiting: {
    type: 'gauge',
    help: 'connections that wait for their turn, more having come than connectsPerSecondMax or than the hub answers',
    figure: 'connectsWaiting',
  },
  wakeline_connects_refused_total: {
    type: 'counter',
    help: 'connections closed because too many waited for their turn',
    figure: 'connectsRefused',
  },
  wakeline_lines: { type: 'gauge', help: 'line processes; 0: all is one process', figure: 'lines' },
  wakeline_flows_resumed_total: {
    type: 'counter',
    help: 'connections that a hub took up which had been started again',
    figure: 'flowsResumed',
  },
  wakeline_flows_ended_by_hub_loss_total: {
    type: 'counter',
    help: 'connections ended because their device waited for an answer of a hub that went',
    figure: 'flowsEndedByLoss',
  },
  wakeline_sip_users: gauge('users', 'users of SIP: those of the configuration and others'),
  wakeline_sip_bindings: gauge('bindings', 'registered phones'),
  wakeline_sip_bindings_live: gauge('bindingsLive', 'registered phones with a live connection'),
  wakeline_calls_active: gauge('callsActive', 'calls that wait for a phone or ring'),
  wakeline_calls_accepted_total: counter('callsAccepted', 'calls accepted from callers'),
  wakeline_calls_answered_total: counter('callsAnswered', 'calls answered'),
  wakeline_calls_rejected_total: counter(
    'callsRejected',
    'calls that phones declined, or that a limit refused',
  ),
  wakeline_calls_cancelled_total: counter('callsCancelled', 'calls that their callers gave up'),
  wakeline_calls_expired_total: counter('callsExpired', 'calls that nobody answered in time'),
  wakeline_calls_missed_total: counter('callsMissed', 'calls that nobody answered or declined'),
  wakeline_call_offers_total: counter('callOffers', 'times that a call was handed to a phone'),
  wakeline_call_wakes_total: counter('callWakes', 'wakes sent because of calls'),
  wakeline_sip_messages_waiting: gauge('sipMessagesWaiting', 'SIP messages that wait for a phone'),
  wakeline_sip_connections: {
    type: 'gauge',
    help: 'live connections of SIP, those to trunks among them',
    figure: 'sipConnections',
  },
  wakeline_sip_connects_failed_total: {
    type: 'counter',
    help: 'connections of SIP that could not be made',
    figure: 'sipConnectsFailed',
  },
  wakeline_sip_connections_stalled_total: {
    type: 'counter',
    help: 'connections of SIP closed because their peer took nothing',
    figure: 'sipConnectionsStalled',
  },
  wakeline_sip_datagrams_received_total: {
    type: 'counter',
    help: 'datagrams of SIP received',
    figure: 'sipDatagramsReceived',
  },
  wakeline_sip_datagrams_sent_total: {
    type: 'counter',
    help: 'datagrams of SIP handed to the host',
    figure: 'sipDatagramsSent',
  },
  wakeline_sip_datagrams_failed_total: {
    type: 'counter',
    help: 'datagrams of SIP that the host did not take',
    figure: 'sipDatagramsFailed',
  },
  wakeline_sip_datagrams_dropped_total: {
    type: 'counter',
    help: 'datagrams of SIP lost while the disk did not keep up',
    figure: 'sipDatagramsDropped',
  },
  wakeline_sip_refused_total: {
    type: 'counter',
    help: 'requests of SIP refused before anybody was asked; the log at debug has each by name',
    figure: 'sipRefused',
  },
  wakeline_foreign_pushes_accepted_total: {
    type: 'counter',
    help: 'wakes that foreign push services took',
    figure: 'pushesAccepted',
  },
  wakeline_foreign_pushes_gone_total: {
    type: 'counter',
    help: 'wakes by foreign endpoints that are no more',
    figure: 'pushesGone',
  },
  wakeline_foreign_pushes_refused_total: {
    type: 'counter',
    help: 'wakes that foreign push services refused, or that are not made to such an address',
    figure: 'pushesRefused',
  },
  wakeline_foreign_pushes_failed_total: {
    type: 'counter',
    help: 'wakes that did not reach a foreign push service',
    figure: 'pushesFailed',
  },
  wakeline_commit_duration_seconds: { type: 'histogram', help: 'duration of a commit, disk sync included' },
} as const satisfies Record<string, MetricRow>;

/** Seconds; a sync takes 0.15 ms on a good disk and a second on a bad one. */
const commitBuckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

export interface MetricsOptions {
  /** The hub's figures now; undefined: the hub is in another process, which shows them. */
  readonly statistics?: () => Statistics | Promise<Statistics>;
  /** Those that this process has. */
  readonly figures: Partial<ProcessFigures>;
}

/** Figures of one process as values. */
export type MetricValues = MetricObjectWithValues<MetricValue<string>>[];

export interface Metrics {
  readonly registry: Registry;
  /** The Prometheus text format, version 0.0.4. */
  text(): Promise<string>;
  /** The same figures as values, to be summed with those of other processes. */
  values(): Promise<MetricValues>;
  /** To be called when a commit is synced. */
  observeCommit(durationMs: number): void;
}

/** A registry of its own each time, so that several servers may live in one process. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { statistics, figures } = options;
  const readers: ((statistics: Statistics | undefined) => void)[] = [];
  for (const [name, row] of Object.entries<MetricRow>(metricNames)) {
    const read = readerOf(row, statistics !== undefined, figures);
    if (read === undefined) continue;
    const { type, help, aggregator } = row;
    const settings = {
      name,
      help,
      registers: [registry],
      ...(aggregator === undefined ? {} : { aggregator }),
    };
    if (type === 'gauge') {
      const metric = new Gauge(settings);
      readers.push((now) => metric.set(read(now)));
    } else {
      const metric = new Counter(settings);
      readers.push((now) => {
        // Somebody else counts; this only repeats the figure.
        metric.reset();
        metric.inc(read(now));
      });
    }
  }
  const refresh = async (): Promise<void> => {
    const now = await statistics?.();
    for (const read of readers) read(now);
  };
  const commits = statistics === undefined ? undefined : commitHistogram(registry);
  return {
    registry,
    text: async () => {
      await refresh();
      return registry.metrics();
    },
    values: async () => {
      await refresh();
      return registry.getMetricsAsJSON();
    },
    observeCommit: (durationMs) => commits?.observe(durationMs / 1_000),
  };
}

/** The figures of several processes as one text: sums, or what a metric says instead. */
export function sumMetrics(values: readonly MetricValues[]): Promise<string> {
  return AggregatorRegistry.aggregate([...values]).metrics();
}

/** Where the metric's value comes from; undefined: not from this process. */
function readerOf(
  { field, figure }: MetricRow,
  hasStatistics: boolean,
  figures: Partial<ProcessFigures>,
): ((statistics: Statistics | undefined) => number) | undefined {
  if (field !== undefined) return hasStatistics ? (statistics) => statistics![field] : undefined;
  return figure === undefined ? undefined : figures[figure];
}

function commitHistogram(registry: Registry): Histogram {
  const name = 'wakeline_commit_duration_seconds';
  return new Histogram({ name, help: metricNames[name].help, buckets: commitBuckets, registers: [registry] });
}
