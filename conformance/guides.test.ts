/** The marks in docs/guides, and the tests that run what stands behind them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { codeOf } from './guide.js';

const repository = new URL('../../', import.meta.url);
const folder = new URL('conformance/', repository);
const source = readdirSync(folder)
  .filter((name) => name.endsWith('.ts') && name !== 'guides.test.ts')
  .map((name) => readFileSync(new URL(name, folder), 'utf8'))
  .join('\n');
const pages = readdirSync(new URL('docs/guides', repository));

test('every block of the guides that is marked as tested is run by a test, and no other is asked for', () => {
  const marked = pages.flatMap((page) => {
    const text = readFileSync(new URL(`docs/guides/${page}`, repository), 'utf8');
    return [...text.matchAll(/<!-- test: (.+?) -->/g)].map(([, name]) => `${page}: ${name}`);
  });
  const asked = source.matchAll(/codeOf\(\s*'([^']+)',\s*'([^']+)'/g);
  const run = [...asked].map(([, page, name]) => `${page}: ${name}`);
  assert(marked.length > 10);
  assert.deepEqual([...new Set(run)].toSorted(), marked.toSorted());
});

test('a block is found by its mark; one that is not there, or a replacement that is not needed, is an error', () => {
  assert.match(codeOf('sending.md', 'node'), /^import /);
  assert.throws(() => codeOf('sending.md', 'cobol'), /no code block/);
  assert.throws(() => codeOf('sending.md', 'node', { 'not in there': '' }), /does not stand there/);
});
