/** The figures of a run as one SVG: bars for throughput, lines over the number of connections. No library. */
import { formatNumber } from './report.mjs';

const WIDTH = 1060;
const PANEL = { width: 440, height: 260 };
const COLORS = {
  wakeline: '#0b7285',
  mosquitto: '#e8590c',
  aedes: '#868e96',
  'aedes-memory': '#adb5bd',
  node: '#212529',
  'node-synced': '#5c940d',
};

const escape = (text) => String(text).replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);

function text(x, y, value, options = '') {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${options}>${escape(value)}</text>`;
}

/** A round number at or above `value`. */
function ceilingOf(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.6, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

function frame(panel, title, body) {
  return `<g transform="translate(${panel.x} ${panel.y})">${text(0, -14, title, 'class="title"')}${body}</g>`;
}

/** Horizontal lines with their values; `scale` gives y. */
function grid(ticks, scale, format) {
  return ticks
    .map((tick) => {
      const y = scale(tick);
      return `<line x1="0" x2="${PANEL.width}" y1="${y.toFixed(1)}" y2="${y.toFixed(1)}" class="grid"/>${text(-6, y + 4, format(tick), 'text-anchor="end"')}`;
    })
    .join('');
}

/** Groups of bars: `{ label, values: { server: number } }`. */
function bars(panel, title, groups, servers) {
  const top = ceilingOf(Math.max(...groups.flatMap(({ values }) => Object.values(values))));
  const scale = (value) => PANEL.height * (1 - value / top);
  const step = PANEL.width / groups.length;
  const width = (step * 0.8) / servers.length;
  let body = grid([0, top / 4, top / 2, (3 * top) / 4, top], scale, (value) => formatNumber(value));
  groups.forEach(({ label, values }, group) => {
    servers.forEach((server, index) => {
      const value = values[server];
      if (value === undefined) return;
      const x = group * step + step * 0.1 + index * width;
      const y = scale(value);
      const name = `${server}: ${formatNumber(value)}`;
      body += `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${(width - 1).toFixed(1)}" height="${(PANEL.height - y).toFixed(1)}" fill="${COLORS[server]}"><title>${escape(name)}</title></rect>`;
    });
    body += text(group * step + step / 2, PANEL.height + 16, label, 'text-anchor="middle"');
  });
  return frame(panel, title, body);
}

/** Lines over connections: `{ server, points: [[x, y]], isDashed }`; `isLog` makes the y axis logarithmic. */
function lines(panel, title, series, isLog) {
  const all = series.flatMap(({ points }) => points);
  const right = Math.max(...all.map(([x]) => x));
  const values = all.map(([, y]) => y).filter((y) => y > 0);
  const top = isLog ? 10 ** Math.ceil(Math.log10(Math.max(...values))) : ceilingOf(Math.max(...values));
  const bottom = isLog ? 10 ** Math.floor(Math.log10(Math.min(...values))) : 0;
  const scaleX = (x) => (PANEL.width * x) / right;
  const scaleY = isLog
    ? (y) => PANEL.height * (1 - Math.log(y / bottom) / Math.log(top / bottom))
    : (y) => PANEL.height * (1 - y / top);
  const ticks = isLog
    ? Array.from({ length: Math.round(Math.log10(top / bottom)) + 1 }, (_, index) => bottom * 10 ** index)
    : [0, top / 4, top / 2, (3 * top) / 4, top];
  let body = grid(ticks, scaleY, (value) => formatNumber(value));
  for (const x of [...new Set(all.map(([at]) => at))].filter((at) => at > 0))
    body += text(scaleX(x), PANEL.height + 16, formatNumber(x), 'text-anchor="middle"');
  for (const { server, points, isDashed } of series) {
    const path = points.map(([x, y]) => `${scaleX(x).toFixed(1)},${scaleY(y).toFixed(1)}`).join(' ');
    const dash = isDashed ? ' stroke-dasharray="5 4"' : '';
    body += `<polyline points="${path}" fill="none" stroke="${COLORS[server]}" stroke-width="2"${dash}/>`;
    for (const [x, y] of points)
      body += `<circle cx="${scaleX(x).toFixed(1)}" cy="${scaleY(y).toFixed(1)}" r="3" fill="${COLORS[server]}"><title>${escape(`${server}, ${formatNumber(x)}: ${formatNumber(y)}`)}</title></circle>`;
  }
  return frame(panel, title, body);
}

function memorySeries(result) {
  return Object.entries(result ?? {}).flatMap(([server, figures]) => {
    const base = figures.residentBytes0;
    const points = Object.entries(figures).flatMap(([name, value]) => {
      const count = /^residentBytes(\d+)$/.exec(name)?.[1];
      return count === undefined ? [] : [[Number(count), (value - base) / 1e6]];
    });
    return points.length > 1 ? [{ server, points: points.sort((a, b) => a[0] - b[0]) }] : [];
  });
}

function latencySeries(results, figure, isDashed) {
  const byServer = new Map();
  for (const [name, result] of Object.entries(results)) {
    const count = name === 'latency-qos1' ? '10000' : /^scale-(\d+)$/.exec(name)?.[1];
    if (count === undefined) continue;
    for (const [server, figures] of Object.entries(result)) {
      if (figures[figure] === undefined) continue;
      if (!byServer.has(server)) byServer.set(server, []);
      byServer.get(server).push([Number(count), figures[figure]]);
    }
  }
  return [...byServer].map(([server, points]) => ({
    server,
    points: points.sort((a, b) => a[0] - b[0]),
    isDashed,
  }));
}

/** The picture of a run; panels without figures are left out. */
export function plot(run, servers) {
  const throughput = [
    ['four-to-four', '4 → 4'],
    ['fifty-to-fifty', '50 → 50'],
    ['four-to-thousand', '4 → 1,000'],
    ['absent', 'absent'],
  ].flatMap(([name, label]) => {
    const values = Object.fromEntries(
      Object.entries(run.results[name] ?? {}).flatMap(([server, figures]) =>
        figures.messagesPerSecond === undefined ? [] : [[server, figures.messagesPerSecond]],
      ),
    );
    return Object.keys(values).length === 0 ? [] : [{ label, values }];
  });
  const tcp = memorySeries(run.results['idle-tcp']);
  const tls = memorySeries(run.results['idle-tls']);
  const latency = [
    ...latencySeries(run.results, 'latencyMsP50', false),
    ...latencySeries(run.results, 'latencyMsP99', true),
  ];
  const drawings = [
    throughput.length > 0 && ((panel) => bars(panel, 'QoS 1, messages per second', throughput, run.servers)),
    latency.length > 0 &&
      ((panel) => lines(panel, 'Wake latency over idle connections, ms: p50, p99 dashed', latency, true)),
    tcp.length > 0 && ((panel) => lines(panel, 'Memory of idle TCP connections, MB over none', tcp, false)),
    tls.length > 0 && ((panel) => lines(panel, 'Memory of idle TLS connections, MB over none', tls, false)),
  ].filter(Boolean);
  const panels = drawings.map((draw, index) =>
    draw({ x: 70 + (index % 2) * (PANEL.width + 70), y: 90 + Math.floor(index / 2) * (PANEL.height + 80) }),
  );
  const height = 90 + Math.ceil(drawings.length / 2) * (PANEL.height + 80) - 20;
  const legend = run.servers
    .map((server, index) => {
      const x = 70 + index * 150;
      return `<rect x="${x}" y="34" width="12" height="12" fill="${COLORS[server]}"/>${text(x + 18, 44, servers[server].title)}`;
    })
    .join('');
  const { machine } = run;
  const heading = `${run.at.slice(0, 10)} · ${machine.cores} cores · Linux ${machine.kernel} · Node ${machine.node} · disk fdatasync p50 ${formatNumber(run.disk.fdatasyncMsP50)} ms, p99 ${formatNumber(run.disk.fdatasyncMsP99)} ms`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12" fill="#343a40">
<style>.title{font-size:14px;font-weight:600}.grid{stroke:#dee2e6}</style>
<rect width="100%" height="100%" fill="#fff"/>
${text(70, 22, heading)}
${legend}
${panels.join('\n')}
</svg>
`;
}
