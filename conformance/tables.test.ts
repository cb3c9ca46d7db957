/**
 * The tables of the docs against the code, both ways: every limit with its value, every code with its meaning,
 * every metric. A row that is missing, stale or different fails here, and so does a table that no page has.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** A table of a page, with the constant that it stands for. */
interface DocTable {
  /** The source file and the constant, such as `packages/core/src/base/limits.ts limits`. */
  readonly source: string;
  /** Name of a column to the cells below it. */
  readonly rows: readonly Readonly<Record<string, string>>[];
}

type Constant = Readonly<Record<string, unknown>>;

/** Constants that are tables, by the way they are named; each must be on its page. */
const LIMITS = /^export const (limits|\w+Limits)\b[^=]*= \{/gm;
const CODES = /^export const (errorCodes|\w+ErrorCodes|\w+Errors|refusals|\w+Refusals)\b[^=]*= \{/gm;

const units = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, days: 86_400_000 } as const;
const sizes = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** Reads the pages' own tables: those that a line `Source: …` precedes. */
function readTables(page: string): readonly DocTable[] {
  const text = readFileSync(join(root, page), 'utf8');
  const sections = text.split(/^Source: /m).slice(1);
  return sections.map((section) => {
    const source = /^`([^`]+)`, `([^`]+)`\.\n\n/.exec(section);
    assert.ok(
      source !== null,
      `${page}: after 'Source:' come a file, a constant and an empty line: ${section}`,
    );
    const lines = section.slice(source[0].length).split('\n');
    const end = lines.findIndex((line) => !line.startsWith('|'));
    const [head, , ...rows] = (end === -1 ? lines : lines.slice(0, end)).map(cellsOf);
    assert.ok(head !== undefined, `${page}: ${source[0]} has no table`);
    return {
      source: `${source[1]} ${source[2]}`,
      rows: rows.map((cells) =>
        Object.fromEntries(head.map((column, index) => [column, cells[index] ?? ''])),
      ),
    };
  });
}

function cellsOf(line: string): readonly string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => plain(cell.replaceAll('\\|', '|')));
}

/** Text as it is in the code: without what Markdown adds. */
function plain(text: string): string {
  const trimmed = text.trim();
  const code = /^`([^`]*)`$/.exec(trimmed)?.[1] ?? trimmed;
  return code.replaceAll(/\\([*_#<>])/g, '$1');
}

/** All constants of the packages' sources that a pattern names, as `file constant`. */
function findConstants(pattern: RegExp): readonly string[] {
  return readdirSync(join(root, 'packages')).flatMap((name) => {
    const source = join(root, 'packages', name, 'src');
    if (!existsSync(source)) return [];
    return (readdirSync(source, { recursive: true }) as string[])
      .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts'))
      .flatMap((file) =>
        [...readFileSync(join(source, file), 'utf8').matchAll(pattern)].map(
          (match) => `packages/${name}/src/${file} ${match[1]}`,
        ),
      );
  });
}

/** The constant of a source file, from what it was compiled to. */
async function load(source: string): Promise<Constant> {
  const [file, name] = source.split(' ') as [string, string];
  const compiled = file.replace('/src/', '/dist/src/').replace(/\.ts$/, '.js');
  const module = (await import(new URL(`../../${compiled}`, import.meta.url).href)) as Record<
    string,
    Constant
  >;
  const constant = module[name];
  assert.ok(constant !== undefined, `${file} exports no ${name}`);
  return constant;
}

/** A value as the page writes it, in the unit of its name: ms, s, bytes, a share, or a count. */
function parseValue(name: string, text: string): number {
  const match = /^([\d,]+(?:\.\d+)?) (.+)$/.exec(text);
  assert.ok(
    match !== null,
    `${name}: '${text}' is not a number and a unit, such as '100 ms' or '1,000 messages'`,
  );
  const amount = Number(match[1]!.replaceAll(',', ''));
  const unit = match[2]!;
  const scale = scaleOf(name, unit);
  assert.ok(scale !== undefined, `${name}: '${unit}' is not a unit for it`);
  return amount * scale;
}

function scaleOf(name: string, unit: string): number | undefined {
  if (/Share/.test(name)) return unit === '%' ? 0.01 : undefined;
  if (/Bytes/.test(name)) return sizes[unit as keyof typeof sizes];
  if (/Ms(?=[A-Z]|$)/.test(name)) return units[unit as keyof typeof units];
  if (/Seconds/.test(name)) {
    const scale = units[unit as keyof typeof units];
    return scale === undefined ? undefined : scale / 1_000;
  }
  return unit in sizes || unit in units || unit === '%' ? undefined : 1;
}

/** Both ways: the names of the rows and of the constant are the same, none twice. */
function assertSameNames(names: readonly string[], expected: readonly string[], where: string): void {
  const missing = expected.filter((name) => !names.includes(name));
  const stale = names.filter((name) => !expected.includes(name));
  const doubled = names.filter((name, index) => names.indexOf(name) !== index);
  assert.deepEqual({ missing, stale, doubled }, { missing: [], stale: [], doubled: [] }, where);
}

for (const [page, pattern] of [
  ['docs/limits.md', LIMITS],
  ['docs/errors.md', CODES],
] as const) {
  test(`${page} has a table for every constant, and no other`, () => {
    const sources = readTables(page).map(({ source }) => source);
    assertSameNames(sources, findConstants(pattern), page);
  });
}

describe('docs/limits.md', () => {
  for (const { source, rows } of readTables('docs/limits.md')) {
    test(`${source}: every limit with its value and what happens`, async () => {
      const limits = await load(source);
      const names = rows.map(({ name }) => name!);
      assertSameNames(names, Object.keys(limits), source);
      for (const { name, value, 'when it is reached': effect } of rows) {
        assert.equal(parseValue(name!, value!), limits[name!], `${source}: the value of ${name}`);
        assert.ok(effect, `${source}: ${name} does not say what happens`);
      }
    });
  }
});

describe('docs/errors.md', () => {
  for (const { source, rows } of readTables('docs/errors.md')) {
    test(`${source}: every code with its meaning and what to do`, async () => {
      const codes = await load(source);
      const names = rows.map(({ name }) => name!);
      assertSameNames(names, Object.keys(codes), source);
      for (const { name, status, meaning, 'what to do': advice } of rows) {
        const code = codes[name!] as string | { readonly status: number; readonly meaning: string };
        const expected = typeof code === 'string' ? { meaning: code, status: undefined } : code;
        assert.equal(meaning, expected.meaning, `${source}: the meaning of ${name}`);
        assert.equal(status, expected.status?.toString(), `${source}: the status of ${name}`);
        assert.ok(advice, `${source}: ${name} does not say what to do`);
      }
    });
  }
});

test('docs/metrics.md has every metric with its type and meaning, and no other', async () => {
  const metrics = await load('packages/server/src/telemetry/metrics.ts metricNames');
  const rows = readFileSync(join(root, 'docs/metrics.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| *`wakeline_/.test(line))
    .map(cellsOf);
  const names = rows.map(([name]) => name!);
  assertSameNames(names, Object.keys(metrics), 'docs/metrics.md');
  for (const [name, type, meaning] of rows) {
    const { type: expectedType, help } = metrics[name!] as { readonly type: string; readonly help: string };
    assert.deepEqual({ type, meaning }, { type: expectedType, meaning: help }, name);
  }
});

test('docs/spec/delivery.md has every topic below $SYS, and no other', async () => {
  const path = join(root, 'packages/core/dist/src/hub/index.js');
  const { systemTopics } = (await import(path)) as { systemTopics: readonly string[] };
  const page = readFileSync(join(root, 'docs/spec/delivery.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `(\$SYS\/[^`]+)`/gm)].map(([, topic]) => topic);
  assert.deepEqual(rows.toSorted(), systemTopics.toSorted());
});

test('a value is read with its unit, and refused with one that its name does not allow', () => {
  assert.equal(parseValue('messageBytesMax', '1,088 KiB'), 1_114_112);
  assert.equal(parseValue('receiptMsMax', '7 days'), 604_800_000);
  assert.equal(parseValue('connectBurstSeconds', '10 s'), 10);
  assert.equal(parseValue('handlerShareMin', '50 %'), 0.5);
  assert.equal(parseValue('devicesMax', '1,000 devices'), 1_000);
  assert.throws(() => parseValue('messageBytesMax', '1 MB'), /is not a unit/);
  assert.throws(() => parseValue('stallMs', '30'), /is not a number and a unit/);
  assert.throws(() => parseValue('devicesMax', '10 s'), /is not a unit/);
});
