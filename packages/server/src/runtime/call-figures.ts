import type { ProcessFigures } from '../telemetry/index.js';
import type { CallHost } from './call-host.js';

/** What /metrics shows of the host's part in calls; zeros where SIP is not spoken. */
export function callFigures(host: () => CallHost | undefined) {
  return {
    sipConnections: () => host()?.side.counters.connections ?? 0,
    sipConnectsFailed: () => host()?.side.counters.connectsFailed ?? 0,
    sipConnectionsStalled: () => host()?.side.counters.connectionsStalled ?? 0,
    sipDatagramsReceived: () => host()?.side.counters.datagramsReceived ?? 0,
    sipDatagramsSent: () => host()?.side.counters.datagramsSent ?? 0,
    sipDatagramsFailed: () => host()?.side.counters.datagramsFailed ?? 0,
    sipDatagramsDropped: () => host()?.side.counters.datagramsDropped ?? 0,
    sipRefused: () => host()?.side.counters.refused ?? 0,
    pushesAccepted: () => host()?.route.counters.accepted ?? 0,
    pushesGone: () => host()?.route.counters.gone ?? 0,
    pushesRefused: () => host()?.route.counters.refused ?? 0,
    pushesFailed: () => host()?.route.counters.failed ?? 0,
  } satisfies Partial<ProcessFigures>;
}
