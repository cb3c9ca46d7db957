/** The table of a run. */
import { formatFigure, formatNumber, formatTable } from '../mqtt/report.mjs';

const SHOWN = {
  register: {
    registrationsPerSecond: 'registrations',
    serverCpuUsPerRegistration: 'server CPU, per registration',
    registrationsFailed: 'failed',
  },
  calls: {
    callsPerSecond: 'calls',
    serverCpuUsPerCall: 'server CPU, per call',
    callsFailed: 'failed',
    retransmissions: 'messages that SIPp sent again',
  },
};

export function formatSipReport(run, cases, servers) {
  const names = run.servers;
  const rows = [['', 'no server', ...names.map((name) => servers[name].title), 'ratio']];
  for (const { name, title, group, figure } of cases) {
    const result = run.results[name];
    if (result === undefined) continue;
    const columns = [run.ceiling[name], ...names.map((server) => result[server])];
    rows.push([title, ...columns.map(() => ''), '']);
    for (const [each, label] of Object.entries(SHOWN[group])) {
      const ratio = each === figure ? formatRatio(result, figure) : '';
      rows.push([`  ${label}`, ...columns.map((column) => format(each, column?.[each])), ratio]);
    }
    if (!columns.some((column) => column?.failed !== undefined)) continue;
    rows.push(['  rounds failed', ...columns.map((column) => String(column?.failed?.length ?? '')), '']);
  }
  return formatTable(rows);
}

/** Wakeline's figure as a share of Kamailio's. */
function formatRatio(result, figure) {
  const ratio = result.wakeline?.[figure] / result.kamailio?.[figure];
  return Number.isFinite(ratio) ? formatNumber(ratio) : '–';
}

function format(figure, value) {
  if (value === undefined) return '–';
  return figure.startsWith('serverCpuUs') ? `${formatNumber(value)} µs` : formatFigure(figure, value);
}
