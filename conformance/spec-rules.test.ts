/**
 * The rules of docs/spec and the titles of the tests name each other: every rule is proved by a test whose title
 * begins with its name, and no test names a rule that is not written down. There are no exceptions.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const own = 'spec-rules.test.ts';

/** Beside the folders `test` of packages and tools: the contract suites, whose cases are titles too. */
const titleFolders = ['conformance', 'packages/core/src/testing'];

/** A heading or list item that begins with the rule's name, as `- **[IN-7]** …`. */
const DEFINITION = /^\s*(?:#+|[-*]|\d+\.)\s+\**\[([A-Z]{2}-\d+)\]/gm;
/** A text in the source that begins with one or more names, as `'[IN-7] …'`. */
const TITLE = /['"`]((?:\[[A-Z]{2}-\d+\]\s*)+)/g;
const NAME = /[A-Z]{2}-\d+/g;

/** Every file of a folder and below, by paths relative to the root; what was compiled or installed left out. */
function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return entry.name === 'dist' || entry.name === 'node_modules' ? [] : filesBelow(path);
  });
}

function testFolders(): string[] {
  const packages = readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join('packages', name));
  const folders = [...packages, 'tools'].filter((folder) => readdirSync(join(root, folder)).includes('test'));
  return [...folders.map((folder) => join(folder, 'test')), ...titleFolders];
}

/** From each name to the places where it stands. */
type Places = Map<string, string[]>;

function note(places: Places, name: string, file: string): void {
  const files = places.get(name);
  if (files === undefined) places.set(name, [file]);
  else files.push(file);
}

function definedRules(): Places {
  const rules: Places = new Map();
  for (const file of filesBelow('docs/spec')) {
    if (!file.endsWith('.md')) continue;
    for (const [, name] of readFileSync(join(root, file), 'utf8').matchAll(DEFINITION)) {
      note(rules, name!, file);
    }
  }
  return rules;
}

function namedRules(): Places {
  const rules: Places = new Map();
  for (const file of testFolders().flatMap(filesBelow)) {
    if (!file.endsWith('.ts') || basename(file) === own) continue;
    for (const [, names] of readFileSync(join(root, file), 'utf8').matchAll(TITLE)) {
      for (const [name] of names!.matchAll(NAME)) note(rules, name, file);
    }
  }
  return rules;
}

function listOf(places: Places, other: Places): string[] {
  return [...places]
    .filter(([name]) => !other.has(name))
    .map(([name, files]) => `${name} (${files.join(', ')})`);
}

test('every rule of docs/spec has a test, and every rule that a test names is in docs/spec', () => {
  const defined = definedRules();
  const named = namedRules();
  assert(defined.size > 0 && named.size > 0, 'rules and titles are found');
  assert.deepEqual(listOf(defined, named), [], 'rules without a test');
  assert.deepEqual(listOf(named, defined), [], 'titles that name an unknown rule');
});

test('every rule is written down once', () => {
  const twice = [...definedRules()].filter(([, files]) => files.length > 1);
  assert.deepEqual(twice, []);
});
