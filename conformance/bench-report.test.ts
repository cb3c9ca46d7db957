/** What `bench/mqtt.mjs` makes of its rounds: medians, figures with units, and a picture. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

type Figures = Readonly<Record<string, unknown>>;
interface Report {
  summarize(rounds: readonly Figures[]): Figures;
  formatFigure(name: string, value: number | undefined): string;
  formatTable(rows: readonly (readonly string[])[]): string;
}
interface Plot {
  plot(run: object, servers: Readonly<Record<string, { readonly title: string }>>): string;
}

let report: Report;
let plot: Plot['plot'];

before(async () => {
  const url = (name: string): string => new URL(`../../bench/mqtt/${name}`, import.meta.url).href;
  report = (await import(url('report.mjs'))) as Report;
  ({ plot } = (await import(url('plot.mjs'))) as Plot);
});

test('rounds become medians, and those that failed are left out and told', () => {
  const rounds = [{ a: 5, b: 1 }, { failed: 'round 2: it broke' }, { a: 1, b: 3 }, { a: 2 }];
  assert.deepEqual(report.summarize(rounds), { rounds: 3, a: 2, b: 2, failed: ['round 2: it broke'] });
  assert.deepEqual(report.summarize([{ failed: 'all broke' }]), { rounds: 0, failed: ['all broke'] });
});

test('figures have the unit that their name ends in', () => {
  assert.equal(report.formatFigure('messagesPerSecond', 123_456.7), '123,457/s');
  assert.equal(report.formatFigure('latencyMsP99', 0.4567), '0.457 ms');
  assert.equal(report.formatFigure('bytesPerConnection', 2_345), '2.35 KB');
  assert.equal(report.formatFigure('residentBytes', 234_500_000), '235 MB');
  assert.equal(report.formatFigure('serverCpuSecondsPerMillion', 12.34), '12.3 s CPU');
  assert.equal(report.formatFigure('messagesLost', 0), '0');
  assert.equal(report.formatFigure('readyMs', undefined), '–');
});

test('columns of a table stand below each other', () => {
  const rows = [
    ['', 'one', 'seven'],
    ['rate', '1,000/s', '–'],
  ];
  assert.equal(report.formatTable(rows), '          one  seven\nrate  1,000/s      –');
});

test('the picture has a bar and a line for each figure, and leaves out what was not measured', () => {
  const memory = { residentBytes0: 1e6, residentBytes1000: 3e6, residentBytes2000: 5e6 };
  const run = {
    at: '2026-01-02T03:04:05.000Z',
    machine: { cores: 2, kernel: '6.0', node: 'v20' },
    disk: { fdatasyncMsP50: 0.1, fdatasyncMsP99: 1 },
    servers: ['wakeline', 'mosquitto'],
    results: {
      'four-to-four': { wakeline: { messagesPerSecond: 400 }, mosquitto: { messagesPerSecond: 100 } },
      absent: { wakeline: { messagesPerSecond: 300 }, mosquitto: { rounds: 0, failed: ['x'] } },
      'scale-1000': { wakeline: { latencyMsP50: 0.5, latencyMsP99: 2 } },
      'latency-qos1': { wakeline: { latencyMsP50: 0.5, latencyMsP99: 4 } },
      'idle-tcp': { wakeline: memory },
    },
  };
  const svg = plot(run, { wakeline: { title: 'Wake<line' }, mosquitto: { title: 'mosquitto' } });
  const count = (pattern: RegExp): number => [...svg.matchAll(pattern)].length;
  assert.equal(count(/<rect [^>]*><title>/g), 3);
  assert.equal(count(/<polyline /g), 3); // p50, p99, memory
  assert.match(svg, /<title>wakeline, 10,000: 4<\/title>/);
  assert.match(svg, /Wake&#60;line/);
  assert.doesNotMatch(svg, /TLS|NaN|undefined/);
  // A bar four times as high: the scale begins at zero.
  const heights = [...svg.matchAll(/height="([\d.]+)" fill="[^"]+"><title>/g)].map(([, height]) =>
    Number(height),
  );
  assert.ok(Math.abs(heights[0]! / heights[1]! - 4) < 0.05, String(heights));
});
