/** Figures of many rounds made one, and the tables that people read. */

/** The median of each figure over the rounds; rounds that failed are left out and told. */
export function summarize(rounds) {
  const done = rounds.filter((round) => round.failed === undefined);
  const failures = rounds.filter((round) => round.failed !== undefined).map((round) => round.failed);
  const summary = { rounds: done.length };
  for (const name of Object.keys(done[0] ?? {})) {
    const values = done.map((round) => round[name]).filter((value) => Number.isFinite(value));
    if (values.length > 0) summary[name] = median(values);
  }
  if (failures.length > 0) summary.failed = failures;
  return summary;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three digits that count, with separators. */
export function formatNumber(value) {
  if (value === undefined) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString('en', { maximumFractionDigits: Math.min(digits, 3) });
}

const UNITS = [
  [/PerSecond$/, '/s'],
  [/Ms(?:P\d+|Max)?$/, 'ms'],
  [/(?:^b|B)ytes/, 'B'],
  [/CpuSecondsPerMillion$/, 's CPU'],
  [/CpuUsPerMessage$/, 'µs CPU'],
];

/** `1,234/s`, `0.52 ms`; bytes as KB or MB. */
export function formatFigure(name, value) {
  if (value === undefined) return '–';
  const unit = UNITS.find(([pattern]) => pattern.test(name))?.[1];
  if (unit === 'B') {
    return Math.abs(value) >= 1e6 ? `${formatNumber(value / 1e6)} MB` : `${formatNumber(value / 1e3)} KB`;
  }
  if (unit === undefined) return formatNumber(value);
  return unit === '/s' ? `${formatNumber(value)}/s` : `${formatNumber(value)} ${unit}`;
}

/** Rows of text in columns: the first to the left, the others to the right. */
export function formatTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => [...row[column]].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const space = ' '.repeat(widths[column] - [...cell].length);
          return column === 0 ? cell + space : space + cell;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Shown only where there are some. */
const WRONGS = ['messagesLost', 'outOfOrder', 'duplicates'];

/** Figures that stand in the table, by group of cases. */
const SHOWN = {
  throughput: [
    'messagesPerSecond',
    'serverCpuSecondsPerMillion',
    'generatorCpuUsPerMessage',
    'latencyMsP50',
    'latencyMsP99',
    ...WRONGS,
  ],
  connects: ['connectsPerSecond', 'serverCpuSecondsPerMillion'],
  'fan-out': ['deliveriesPerSecond', 'lastMsP50', 'serverCpuSecondsPerMillion'],
  latency: ['latencyMsP50', 'latencyMsP99', 'latencyMsP999', 'latencyMsMax', 'serverCpuSecondsPerMillion'],
  memory: ['bytesPerConnection', 'residentBytes0'],
  scale: ['latencyMsP50', 'latencyMsP99'],
  restart: ['readyMs', 'connackMs', 'stopMs', 'residentBytes', 'sessionsLost', 'messagesLost'],
  stuck: ['latencyMsP50', 'latencyMsP99', 'latencyMsP999', 'stuckClosedByServer'],
};

const LABELS = {
  messagesPerSecond: 'messages',
  serverCpuSecondsPerMillion: 'server, per million',
  generatorCpuUsPerMessage: 'generator, per message',
  latencyMsP50: 'p50',
  latencyMsP99: 'p99',
  latencyMsP999: 'p99.9',
  latencyMsMax: 'max',
  connectsPerSecond: 'connects',
  deliveriesPerSecond: 'deliveries',
  lastMsP50: 'until the last',
  bytesPerConnection: 'per connection',
  residentBytes0: 'resident, none connected',
  residentBytes: 'resident after',
  readyMs: 'ready',
  connackMs: 'first CONNACK',
  stopMs: 'stopping took',
  sessionsLost: 'sessions lost',
  messagesLost: 'messages lost',
  outOfOrder: 'gaps in the order',
  duplicates: 'duplicates',
  stuckClosedByServer: 'stuck, closed',
};

/** The table of a whole run. */
export function formatReport(run, cases, servers) {
  const names = run.servers;
  const rows = [['', ...names.map((name) => servers[name].title)]];
  for (const { name, title, group } of cases) {
    const result = run.results[name];
    if (result === undefined) continue;
    rows.push(['', ...names.map(() => '')], [title, ...names.map(() => '')]);
    for (const figure of SHOWN[group]) {
      const isWrong = WRONGS.includes(figure) && group === 'throughput';
      const isShown = (value) => (isWrong ? value > 0 : value !== undefined);
      if (!names.some((server) => isShown(result[server]?.[figure]))) continue;
      const cells = names.map((server) => formatFigure(figure, result[server]?.[figure]));
      rows.push([`  ${LABELS[figure]}`, ...cells]);
    }
    if (names.some((server) => result[server]?.failed !== undefined)) {
      const failed = names.map((server) => result[server]?.failed?.length);
      rows.push(['  rounds failed', ...failed.map((count) => (count === undefined ? '' : String(count)))]);
    }
  }
  return formatTable(rows);
}

/**
 * What the generator reaches against the null server, beside the fastest server. `alone` is what one core of it would do
 * by its CPU time per message: where a message costs each side a read and a write, the null server stops first.
 */
export function formatCeiling(run, cases) {
  const rows = [['generator', 'null server', 'CPU', 'alone', 'fastest server', 'ratio', 'alone']];
  for (const { name, title, figure } of cases) {
    const ceiling = run.ceiling[name];
    if (ceiling === undefined) continue;
    const rates = Object.values(run.results[name] ?? {}).flatMap((result) => result[figure] ?? []);
    const fastest = rates.length === 0 ? undefined : Math.max(...rates);
    const alone = 1e6 / ceiling.generatorCpuUsPerMessage;
    const ratio = (rate) => (fastest === undefined ? '–' : `${formatNumber(rate / fastest)} ×`);
    rows.push([
      title,
      formatFigure(figure, ceiling[figure]),
      `${formatNumber(ceiling.generatorCpuUsPerMessage)} µs`,
      formatFigure(figure, alone),
      formatFigure(figure, fastest),
      ratio(ceiling[figure]),
      ratio(alone),
    ]);
  }
  return formatTable(rows);
}
