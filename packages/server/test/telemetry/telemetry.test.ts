import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Statistics } from '@wakeline/core/domain';
import { callFigures } from '../../src/runtime/call-figures.js';
import { createLogger, createMetrics, metricNames, sumMetrics } from '../../src/telemetry/index.js';

/** Each field has a figure of its own. */
const fields = Object.values(metricNames).flatMap((row) => ('field' in row ? (row.field ?? []) : []));
const statistics = Object.fromEntries(
  fields.map((field, index) => [field, index + 100]),
) as unknown as Statistics;

const figures = {
  ...callFigures(() => undefined),
  probingListeners: () => 2,
  connectsWaiting: () => 6,
  connectsRefused: () => 7,
  lines: () => 3,
  flowsResumed: () => 4,
  flowsEndedByLoss: () => 5,
};

describe('metrics', () => {
  test('show every figure of the hub, every time anew', async () => {
    const metrics = createMetrics({ statistics: () => statistics, figures });
    metrics.observeCommit(3);
    for (let round = 0; round < 2; round += 1) {
      const text = await metrics.text();
      for (const [name, row] of Object.entries<{ type: string; field?: keyof Statistics }>(metricNames)) {
        assert.match(text, new RegExp(`^# TYPE ${name} ${row.type}$`, 'm'));
        if (row.field) assert.match(text, new RegExp(`^${name} ${statistics[row.field]}$`, 'm'));
      }
      assert.match(text, /^wakeline_commit_duration_seconds_bucket\{le="0\.005"\} 1$/m);
      assert.match(text, /^process_cpu_seconds_total /m);
    }
  });

  test('of two servers do not meet', () => {
    createMetrics({ statistics: () => statistics, figures });
    createMetrics({ statistics: () => statistics, figures });
  });

  test('those of several processes are summed, and each shows what it has', async () => {
    const hub = createMetrics({ statistics: () => statistics, figures: { lines: () => 2 } });
    const lines = [4, 5].map((flowsResumed) =>
      createMetrics({ figures: { probingListeners: () => 1, flowsResumed: () => flowsResumed } }),
    );
    hub.observeCommit(3);
    const text = await sumMetrics(await Promise.all([hub, ...lines].map((metrics) => metrics.values())));
    assert.match(text, /^wakeline_lines 2$/m);
    assert.match(text, /^wakeline_flows_resumed_total 9$/m);
    assert.match(text, /^wakeline_tcp_keep_alive_listeners 1$/m);
    assert.match(text, new RegExp(`^wakeline_flows ${statistics.flows}$`, 'm'));
    assert.match(text, /^wakeline_commit_duration_seconds_count 1$/m);
    assert.match(text, /^process_resident_memory_bytes /m);
  });

  test('docs/metrics.md has the same table', () => {
    const document = readFileSync(new URL('../../../../../docs/metrics.md', import.meta.url), 'utf8');
    const rows = [...document.matchAll(/^\| `(wakeline_\w+)` +\| (\w+) +\| (.*?) +\|$/gm)];
    const expected = Object.entries(metricNames).map(([name, { type, help }]) => [name, type, help]);
    assert.deepEqual(
      rows.map((row) => row.slice(1, 4)),
      expected,
    );
  });
});

describe('the log', () => {
  function logged(pretty: boolean, fields: object, level: 'info' | 'debug' = 'info'): string {
    let text = '';
    const write = (more: string): void => void (text += more);
    createLogger({ level: 'info', pretty, colour: false, write })[level](fields, 'hello');
    return text;
  }

  test('is JSON for machines', () => {
    const line = JSON.parse(logged(false, { port: 1 })) as Record<string, unknown>;
    assert.equal(line['level'], 'info');
    assert.equal(line['msg'], 'hello');
    assert.equal(line['port'], 1);
    assert.equal(Object.hasOwn(line, 'hostname'), false);
  });

  test('is a line for people, which no field can leave', () => {
    assert.match(
      logged(true, { name: 'a\u001b[2J\nb' }),
      /^\d\d:\d\d:\d\d\.\d{3} info {2}hello name=a\?\[2J\?b\n$/,
    );
  });

  test('holds no secrets and nothing below its level', () => {
    for (const pretty of [true, false]) {
      const text = logged(pretty, { token: 'geheim', request: { authorization: 'geheim', body: 'geheim' } });
      assert.doesNotMatch(text, /geheim/);
    }
    assert.equal(logged(false, {}, 'debug'), '');
  });
});
