/**
 * The rules of docs/spec and the titles of the tests name each other: every rule is proved by a test whose title
 * begins with its name, and no test names a rule that is not written down. There are no exceptions.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { filesBelow, root, testFiles } from './traced-tests.js';

const own = 'spec-rules.test.ts';

/** A heading or list item that begins with the rule's name, as `- **[IN-7]** …`. */
const DEFINITION = /^\s*(?:#+|[-*]|\d+\.)\s+\**\[([A-Z]{2}-\d+)\]/gm;
/** A text in the source that begins with one or more names, as `'[IN-7] …'`. */
const TITLE = /['"`]((?:\[[A-Z]{2}-\d+\]\s*)+)/g;
const NAME = /[A-Z]{2}-\d+/g;

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
  for (const file of testFiles()) {
    if (basename(file) === own) continue;
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
