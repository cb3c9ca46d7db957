/** The tables of a run. */
import { formatFigure, formatNumber, formatTable } from '../mqtt/report.mjs';

/** Figures that stand in the table, with their labels; the last ones only where there are some. */
const SHOWN = {
  accept: { pushesPerSecond: 'pushes', serverCpuUsPerPush: 'server CPU, per push' },
  latency: {
    latencyMsP50: 'p50',
    latencyMsP99: 'p99',
    latencyMsP999: 'p99.9',
    latencyMsMax: 'max',
    serverCpuUsPerPush: 'server CPU, per push',
  },
};
const WRONGS = { pushesLost: 'pushes lost', pushesRepeated: 'pushes repeated' };

export function formatPushReport(run, cases, servers) {
  const names = run.servers;
  const rows = [['', 'null server', ...names.map((name) => servers[name].title)]];
  for (const { name, title, group } of cases) {
    const result = run.results[name];
    if (result === undefined) continue;
    const columns = [run.ceiling[name], ...names.map((server) => result[server])];
    rows.push(
      rows[0].map(() => ''),
      [title, ...columns.map(() => '')],
    );
    for (const [figure, label] of Object.entries(SHOWN[group]))
      rows.push([`  ${label}`, ...columns.map((column) => format(figure, column?.[figure]))]);
    for (const [figure, label] of Object.entries(WRONGS)) {
      if (!columns.some((column) => column?.[figure] > 0)) continue;
      rows.push([`  ${label}`, ...columns.map((column) => format(figure, column?.[figure]))]);
    }
    if (!columns.some((column) => column?.failed !== undefined)) continue;
    rows.push(['  rounds failed', ...columns.map((column) => String(column?.failed?.length ?? ''))]);
  }
  return formatTable(rows);
}

/** Server CPU of a push by what it carries: what a check costs, and what remembering the checked tokens saves. */
export function formatVapid(run, servers) {
  const cpuOf = (caseName, server) => run.results[caseName]?.[server]?.serverCpuUsPerPush;
  const lines = run.servers.flatMap((server) => {
    const unsigned = cpuOf('accept-unsigned', server);
    const kept = cpuOf('accept-kept', server);
    const fresh = cpuOf('accept-fresh', server);
    if (unsigned === undefined || kept === undefined || fresh === undefined) return [];
    const [check, rest] = [fresh - unsigned, kept - unsigned].map((us) => `${formatNumber(us)} µs`);
    return [`VAPID, ${servers[server].title}: a new token costs ${check} of CPU, one seen before ${rest}`];
  });
  return lines.join('\n');
}

function format(figure, value) {
  if (value === undefined) return '–';
  return figure === 'serverCpuUsPerPush' ? `${formatNumber(value)} µs` : formatFigure(figure, value);
}
