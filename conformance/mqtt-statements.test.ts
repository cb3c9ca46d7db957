/**
 * Every normative statement of MQTT 5.0 and 3.1.1 has one row in docs/spec, and every row its proof: links to the
 * tests that name the statement, or a reason why there is none. Tests name statements in their titles, as
 * `[MQTT5 3.1.2-22] [MQTT3 3.1.2-24] …`, several of one version as `[MQTT5 3.2.0-1, 3.2.0-2] …`.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { type Mark, statementsOf, versions } from './mqtt-statements.js';
import { root, testFiles } from './traced-tests.js';

const own = 'mqtt-statements.test.ts';

/** Why a row may be without a test. */
const reasons = {
  /** The statement binds clients, and nothing of the server answers to it. */
  client: 'client',
  /** What it speaks of cannot happen here. */
  'no case': 'server, both',
  /** It belongs to an optional part that is not spoken. */
  'not offered': 'server, both',
  /** It is not kept. The row links the list in mqtt.md. */
  deviation: 'server, both',
} as const;

interface Row {
  readonly id: string;
  readonly binds: string;
  readonly text: string;
  /** Paths of tests, relative to the root. */
  readonly tests: readonly string[];
  /** What stands in place of tests; undefined: there are tests. */
  readonly reason: string | undefined;
}

const ROW = /^\| *`\[MQTT-([^\]`]+)\]` *\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm;
const ROW_START = /^\| *`\[MQTT-/gm;
const ID = /^\d+\.\d+\.\d+-\d+$/;
/** A text in the source that begins with brackets, as titles do. */
const BRACKETS = /['"`]((?:\[[A-Z][^\]\n]*\]\s*)+)/g;
const MARKED = /\[(MQTT[35]) ([^\]]*)\]/g;

function rowsOf(page: string): Row[] {
  const text = readFileSync(join(root, page), 'utf8');
  const targets = new Map(
    [...text.matchAll(/^\[([^\]]+)\]: (\S+)$/gm)].map(([, label, target]) => [
      label!,
      join(dirname(page), target!),
    ]),
  );
  const rows = [...text.matchAll(ROW)].map(([, id, binds, short, proof]) => {
    const cell = proof!.trim();
    const labels = /^(\[[^\]]+\],? ?)+$/.test(cell)
      ? [...cell.matchAll(/\[([^\]]+)\]/g)].map(([, label]) => label!)
      : [];
    const tests = labels.map((label) => targets.get(label) ?? `${label} (a link to nowhere)`);
    const reason = labels.length === 0 ? cell : undefined;
    return { id: id!, binds: binds!.trim(), text: short!.trim(), tests, reason };
  });
  assert.equal(rows.length, [...text.matchAll(ROW_START)].length, `every row of ${page} has four cells`);
  return rows;
}

/** From the number of a statement to the files with a title that names it. */
function titledFiles(mark: Mark): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const file of testFiles()) {
    if (basename(file) === own) continue;
    for (const [, brackets] of readFileSync(join(root, file), 'utf8').matchAll(BRACKETS)) {
      for (const [, foundMark, ids] of brackets!.matchAll(MARKED)) {
        if (foundMark !== mark) continue;
        for (const id of ids!.split(', ')) {
          const files = found.get(id) ?? [];
          if (!files.includes(file)) found.set(id, [...files, file]);
        }
      }
    }
  }
  return found;
}

for (const mark of ['MQTT5', 'MQTT3'] as const) {
  const version = versions[mark];
  describe(version.page, () => {
    const statements = statementsOf(version);
    const rows = rowsOf(version.page);
    const titled = titledFiles(mark);

    test('the list is whole: as many statements as the standard has, each once', () => {
      assert.equal(statements.length, version.count);
      assert.equal(new Set(statements).size, version.count);
    });

    test('every statement has one row, in the order of the standard, and there are no others', () => {
      assert.deepEqual(
        rows.map(({ id }) => id),
        statements,
      );
    });

    test('every title names a statement of the standard', () => {
      const unknown = [...titled].filter(([id]) => !ID.test(id) || !statements.includes(id));
      assert.deepEqual(unknown, []);
    });

    test('every row says whom it binds and what it asks', () => {
      const bad = rows.filter(
        ({ binds, text }) => !['server', 'client', 'both'].includes(binds) || text === '',
      );
      assert.deepEqual(bad, []);
    });

    test('every row links the tests whose titles name it, and all of them', () => {
      const wrong = rows
        .map(({ id, tests }) => ({ id, links: [...tests].sort(), titles: (titled.get(id) ?? []).sort() }))
        .filter(({ links, titles }) => links.join() !== titles.join());
      assert.deepEqual(wrong, []);
    });

    test('a row without a test has a reason that fits', () => {
      const wrong = rows.filter(({ binds, reason }) => {
        if (reason === undefined) return false;
        const [, name, text] = /^([^:]+): (.+)$/.exec(reason) ?? [];
        if (name === undefined || text === undefined || !Object.hasOwn(reasons, name)) return true;
        if (!reasons[name as keyof typeof reasons].split(', ').includes(binds)) return true;
        return name === 'deviation' && !text.includes('(mqtt.md#deviations)');
      });
      assert.deepEqual(wrong, []);
    });
  });
}

test('no title names a statement without the version that it is of', () => {
  const found = testFiles().flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/['"`]\[MQTT-\d[^'"`\n]*/g)].map(
      ([title]) => `${file}: ${title}`,
    ),
  );
  assert.deepEqual(found, []);
});
