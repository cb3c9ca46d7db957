/** Every rule of tidy, on small trees: a sound one passes, and each rule has a tree that breaks it and no other. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { tidy } from '../tidy.js';
import { arrowLines } from '../tidy/arrows.js';
import { findImports } from '../tidy/imports.js';

type Files = Readonly<Record<string, string>>;

const HEAD = '/** A module. */\n';

/** A tree without a problem. */
const sound: Files = {
  'package.json': '{ "version": "1.0.0" }',
  'packages/core/package.json':
    '{ "name": "@wakeline/core", "version": "1.0.0", "exports": { "./hub": "./dist/src/hub/index.js" } }',
  'packages/core/src/base/time.ts': `${HEAD}export const soon = 1;\n`,
  'packages/core/src/hub/index.ts': `${HEAD}export * from './hub.js';\n`,
  'packages/core/src/hub/hub.ts': `${HEAD}import { soon } from '../base/time.js';\nexport const hub = soon;\n`,
  'packages/core/dist/src/hub/index.js': '',
  'packages/server/package.json':
    '{ "name": "@wakeline/server", "version": "1.0.0", "dependencies": { "@wakeline/core": "1.0.0", "ws": "^8.0.0" } }',
  'packages/server/src/start.ts':
    "import { join } from 'node:path';\nimport {\n  hub,\n} from '@wakeline/core/hub';\nimport ws from 'ws';\n",
  'packages/sleepbox/package.json': '{ "name": "@wakeline/sleepbox", "version": "1.0.0" }',
  'packages/cli/package.json':
    '{ "name": "wakeline", "version": "1.0.0", "bin": { "wakeline": "./bin/wakeline.js" }, "dependencies": { "@wakeline/core": "1.0.0" } }',
  'packages/cli/bin/wakeline.js': '',
  'packages/cli/src/main.ts': "import { hub } from '@wakeline/core/hub';\n",
  'docs/adr/0001-one-store.md': '# One store\n\n## Context\n\n## Decision\n\n## Consequences\n',
  'package-lock.json': '{\n  "resolved": "packages/core"\n}\n',
  'ARCHITECTURE.md': `# Parts\n\n<!-- arrows -->\n\n${arrowLines()
    .map((line) => `- \`${line}\``)
    .join('\n')}\n\n<!-- /arrows -->\n`,
};

/** The problems of the sound tree with some files changed; an empty text removes the file. */
function problemsWith(changed: Files): string[] {
  const root = mkdtempSync(join(tmpdir(), 'tidy-'));
  try {
    for (const [file, text] of Object.entries({ ...sound, ...changed })) {
      if (text === '' && Object.hasOwn(changed, file)) continue;
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), text);
    }
    return tidy(root).problems.map(({ file, line, text }) => `${file}:${line}: ${text}`);
  } finally {
    rmSync(root, { recursive: true });
  }
}

interface Case {
  readonly title: string;
  readonly files: Files;
  readonly expected: RegExp;
}

const server = 'packages/server/src/start.ts';
// In parts, so that tidy does not find this file.
const unfinished = `TO${'DO'}`;
const somebodysFolder = ['', 'home', 'somebody', 'key.pem'].join('/');

const cases: readonly Case[] = [
  {
    title: 'an arrow between folders of core',
    files: { 'packages/core/src/base/time.ts': `${HEAD}import type { Hub } from '../wire/wheel.js';\n` },
    expected: /^packages\/core\/src\/base\/time\.ts:2: core\/base imports core\/wire; allowed: nothing/,
  },
  {
    title: 'session importing hub',
    files: { 'packages/core/src/session/mqtt/session.ts': `${HEAD}export * from '../../hub/hub.js';\n` },
    expected: /core\/session imports core\/hub; allowed: wire, domain, base/,
  },
  {
    title: 'testing importing hub',
    files: { 'packages/core/src/testing/fake.ts': `${HEAD}import {\n  hub,\n} from '../hub/hub.js';\n` },
    expected: /fake\.ts:4: core\/testing imports core\/hub; allowed: device, domain, ports, base/,
  },
  {
    title: 'a folder of core without an arrow',
    files: { 'packages/core/src/util/odds.ts': HEAD },
    expected: /core\/src\/util has no arrow/,
  },
  {
    title: 'a file of core in no folder',
    files: { 'packages/core/src/main.ts': HEAD },
    expected: /core\/src itself has no arrow/,
  },
  {
    title: 'core importing Node',
    files: { 'packages/core/src/hub/hub.ts': `${HEAD}import { createHash } from 'node:crypto';\n` },
    expected: /core imports 'node:crypto'; core imports nothing from Node or npm/,
  },
  {
    title: 'core importing npm, at run time',
    files: { 'packages/core/src/hub/hub.ts': `${HEAD}export const hub = await import('ws');\n` },
    expected: /hub\.ts:2: core imports 'ws'/,
  },
  {
    title: 'core importing its own tests',
    files: { 'packages/core/src/hub/hub.ts': `${HEAD}export * from '../../test/fake.js';\n` },
    expected: /a source file of core imports source files of core only/,
  },
  {
    title: 'a cycle in core',
    files: {
      'packages/core/src/base/b.ts': `${HEAD}import { a } from './a.js';\nexport const b = a;\n`,
      'packages/core/src/base/a.ts': `${HEAD}import type { c } from './c.js';\nexport const a = 1;\n`,
      'packages/core/src/base/c.ts': `${HEAD}export * from './b.js';\n`,
    },
    expected:
      /^packages\/core\/src\/base\/a\.ts:1: cycle base\/a\.ts → base\/c\.ts → base\/b\.ts → base\/a\.ts/,
  },
  {
    title: 'an arrow between packages',
    files: { 'packages/sleepbox/src/box.ts': "import { hub } from '@wakeline/core/hub';\n" },
    expected: /@wakeline\/sleepbox imports @wakeline\/core; allowed: nothing of ours/,
  },
  {
    title: 'an arrow between packages, in a test',
    files: { 'packages/sleepbox/test/box.test.ts': "import { hub } from '@wakeline/core/hub';\n" },
    expected: /@wakeline\/sleepbox imports @wakeline\/core/,
  },
  {
    title: 'a path that the package does not export',
    files: { [server]: "import { hub } from '@wakeline/core/dist/src/hub/hub.js';\n" },
    expected: /does not export; use one of: \.\/hub/,
  },
  {
    title: 'another package by path',
    files: { [server]: "import { hub } from '../../core/src/hub/hub.js';\n" },
    expected: /imports packages\/core\/src\/hub\/hub\.ts by path/,
  },
  {
    title: 'something beside the package',
    files: { [server]: "import { tidy } from '../../../tools/tidy.js';\n" },
    expected: /outside its package/,
  },
  {
    title: 'a dependency that is not listed',
    files: { [server]: "import fastify from 'fastify';\n" },
    expected: /imports 'fastify', which packages\/server\/package\.json does not list/,
  },
  {
    title: 'a Node module without its prefix',
    files: { [server]: "import { join } from 'path';\n" },
    expected: /write 'node:path'/,
  },
  {
    title: 'a long file',
    files: { [server]: 'export {};\n'.repeat(601) },
    expected: /start\.ts:601: has 601 lines/,
  },
  {
    title: 'a file name with capitals',
    files: { 'packages/server/src/webSocket.ts': 'export {};\n' },
    expected: /'webSocket\.ts' is not kebab-case/,
  },
  {
    title: 'a folder name with an underscore',
    files: { 'packages/server/src/web_socket/flow.ts': 'export {};\n' },
    expected: /'web_socket' is not kebab-case/,
  },
  {
    title: 'unfinished work without an issue',
    files: { [server]: `export {};\n// ${unfinished} #12: known\n// ${unfinished}: mend\n` },
    expected: /start\.ts:3: .* without an issue/,
  },
  {
    title: 'an export of something that is not there',
    files: { 'packages/core/dist/src/hub/index.js': '' },
    expected: /\.\/dist\/src\/hub\/index\.js does not exist; run npm run build/,
  },
  {
    title: 'an export of a leftover',
    files: { 'packages/core/src/hub/index.ts': '' },
    expected: /\.\/dist\/src\/hub\/index\.js is a leftover/,
  },
  {
    title: 'a program that is not there',
    files: { 'packages/cli/bin/wakeline.js': '' },
    expected: /packages\/cli\/package\.json:1: \.\/bin\/wakeline\.js does not exist; make it/,
  },
  {
    title: "a path of somebody's machine",
    files: { 'docs/guide.md': `Put it\ninto ${somebodysFolder}.\n` },
    expected: /^docs\/guide\.md:2: a path of somebody's machine/,
  },
  {
    title: 'a registry',
    files: { 'docs/guide.md': `https://registry${'.npmjs.'}org/ws\n` },
    expected: /^docs\/guide\.md:1: names a package registry/,
  },
  {
    title: 'an address in the lock file',
    files: { 'package-lock.json': '{\n  "resolved": "https://mirror.example/ws.tgz"\n}\n' },
    expected: /^package-lock\.json:2: a lock entry with an address/,
  },
  {
    title: 'a decision with a wrong name',
    files: { 'docs/adr/two-stores.md': '## Context\n## Decision\n## Consequences\n' },
    expected: /is not named NNNN-/,
  },
  {
    title: 'a decision without consequences',
    files: { 'docs/adr/0002-two-stores.md': '## Context\n\n## Decision\n' },
    expected: /has no heading '## Consequences'/,
  },
  {
    title: 'packages of two versions',
    files: { 'packages/sleepbox/package.json': '{ "name": "@wakeline/sleepbox", "version": "1.1.0" }' },
    expected: /version 1\.1\.0, the workspace has 1\.0\.0/,
  },
  {
    title: 'a dependency on another version of ours',
    files: {
      'packages/server/package.json':
        '{ "name": "@wakeline/server", "version": "1.0.0",\n "dependencies": { "@wakeline/core": "^0.9.0", "ws": "^8.0.0" } }',
    },
    expected: /^packages\/server\/package\.json:2: asks for @wakeline\/core \^0\.9\.0; write 1\.0\.0/,
  },
  {
    title: 'a module of core without a head',
    files: { 'packages/core/src/base/time.ts': 'export const soon = 1;\n' },
    expected: /has no head/,
  },
  {
    title: 'an architecture page without the arrows',
    files: { 'ARCHITECTURE.md': '# Parts\n' },
    expected: /has no <!-- arrows -->/,
  },
  {
    title: 'an arrow that the architecture page does not print',
    files: { 'ARCHITECTURE.md': sound['ARCHITECTURE.md']!.replace('- `hub → domain, ports, base`\n', '') },
    expected: /the line 'hub → domain, ports, base' is missing/,
  },
];

test('a sound tree has no problem, nor has one without an architecture page', () => {
  assert.deepEqual(problemsWith({}), []);
  assert.deepEqual(problemsWith({ 'ARCHITECTURE.md': '' }), []);
});

for (const { title, files, expected } of cases) {
  test(`tells of ${title}, and of nothing else`, () => {
    const problems = problemsWith(files);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0]!, expected);
  });
}

test('tells of an arrow in the architecture page that is not checked', () => {
  const text = sound['ARCHITECTURE.md']!.replace('hub → domain, ports, base', 'hub → domain, session');
  const problems = problemsWith({ 'ARCHITECTURE.md': text });
  assert.equal(problems.length, 2);
  assert.match(problems.join('\n'), /'hub → domain, session' is not in tools\/tidy\/arrows\.ts/);
});

test('finds imports in every form, and none in comments', () => {
  const text = [
    "import './one.js';",
    "import two, { type Two } from './two.js';",
    'import {',
    '  three,',
    "} from './three.js';",
    "export * as four from './four.js';",
    "export type { Five } from './five.js';",
    "type Six = import('./six.js').Six;",
    "// import './seven.js' was here, and import('./eight.js')",
    "export const from = 'nine';",
    '',
  ].join('\n');
  assert.deepEqual(
    findImports(text).map(({ specifier, line }) => `${specifier} ${line}`),
    ['./one.js 1', './two.js 2', './three.js 5', './four.js 6', './five.js 7', './six.js 8'],
  );
});
