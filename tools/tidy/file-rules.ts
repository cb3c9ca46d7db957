/** The rules about single files: length, name, marks of unfinished work, what must not leave a machine, heads. */
import { basename } from 'node:path';
import { lineAt, type Problem, type SourceTree } from './source-tree.js';

/** Lines of one source file; beyond, it is two files. */
export const fileLinesMax = 600;

const SOURCE = /\.(?:ts|tsx|mts|js|mjs|cjs|c|h|sh|css|html|py)$/;
const CHECKED_NAME = /\.(?:ts|tsx|mts|js|mjs|cjs|c|h|sh|css|html|py|md|json|ya?ml)$/;
const KEBAB = /^\.?[a-z0-9]+(?:[-.][a-z0-9]+)*$/;
/** Pages that the world expects under these names. */
const SHOUTED = /^(?:README|ARCHITECTURE|CHANGELOG|CODE_OF_CONDUCT|CONTRIBUTING|SECURITY)\.md$/;

// Written in parts, so that this file does not find itself.
const UNFINISHED = new RegExp(
  String.raw`\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\b(?!\s*\(?#\d)`,
  'g',
);
const MACHINE_PATH = /(?<![\w.$}:*/-])\/(?:work|root|home|Users)\/[\w.*<{$-]/g;
const REGISTRY =
  /\b(?:registry|npm|packages?)\.[a-z0-9.-]*?\.?(?:npmjs|npmmirror|yarnpkg|github|cn|local|internal|corp|lan)\b|\bregistry\.[a-z0-9-]+\.(?:org|com|net|io|dev)\b|\bnpmjs\.(?:org|com)\b/gi;

/** Every problem with a single file. */
export function checkFiles(tree: SourceTree): readonly Problem[] {
  return tree.files.flatMap((file) => [
    ...nameProblems(file),
    ...(SOURCE.test(file) || file.startsWith('.ci/') ? sourceProblems(file, tree.read(file)) : []),
    ...leakProblems(file, tree.read(file)),
    ...(/^packages\/core\/src\/.*\.ts$/.test(file) ? headProblems(file, tree.read(file)) : []),
    ...(/^docs\/adr\/[^/]+\.md$/.test(file) ? decisionProblems(file, tree.read(file)) : []),
  ]);
}

function nameProblems(file: string): readonly Problem[] {
  const name = basename(file);
  if (!CHECKED_NAME.test(name) || SHOUTED.test(name)) return [];
  const wrong = file.split('/').find((part) => !KEBAB.test(part));
  if (wrong === undefined) return [];
  return [{ file, line: 1, text: `'${wrong}' is not kebab-case; rename it` }];
}

function sourceProblems(file: string, text: string): readonly Problem[] {
  const problems: Problem[] = [];
  const lines = text.endsWith('\n') ? lineAt(text, text.length) - 1 : lineAt(text, text.length);
  if (lines > fileLinesMax) {
    problems.push({
      file,
      line: fileLinesMax + 1,
      text: `has ${lines} lines; split it, ${fileLinesMax} is the most`,
    });
  }
  for (const match of text.matchAll(UNFINISHED)) {
    const line = lineAt(text, match.index);
    problems.push({ file, line, text: `${match[1]} without an issue; write '${match[1]} #123', or do it` });
  }
  return problems;
}

function leakProblems(file: string, text: string): readonly Problem[] {
  const problems: Problem[] = [];
  for (const match of text.matchAll(MACHINE_PATH)) {
    const line = lineAt(text, match.index);
    problems.push({ file, line, text: `a path of somebody's machine (${match[0]}…); make it relative` });
  }
  for (const match of text.matchAll(REGISTRY)) {
    const line = lineAt(text, match.index);
    problems.push({ file, line, text: `names a package registry (${match[0]}); leave it to the user's npm` });
  }
  if (basename(file) === 'package-lock.json') {
    for (const match of text.matchAll(/"resolved": "([a-z+]+:)/g)) {
      const line = lineAt(text, match.index);
      problems.push({
        file,
        line,
        text: `a lock entry with an address (${match[1]}…); run npm with the repository's .npmrc`,
      });
    }
  }
  return problems;
}

/** A module of core says first what it is: a doc comment before or right after the imports, or at its first statement. */
function headProblems(file: string, text: string): readonly Problem[] {
  const withoutImports = text.replaceAll(/^import\s[^;]*;\n/gm, '').trimStart();
  if (withoutImports.startsWith('/**')) return [];
  if (basename(file) === 'index.ts' && text.includes('/**')) return [];
  return [
    { file, line: 1, text: 'has no head; begin it with a doc comment that says what it is and must not do' },
  ];
}

function decisionProblems(file: string, text: string): readonly Problem[] {
  const problems: Problem[] = [];
  if (!/^\d{4}-[a-z0-9-]+\.md$/.test(basename(file))) {
    problems.push({ file, line: 1, text: 'is not named NNNN-what-was-decided.md; rename it' });
  }
  for (const heading of ['Context', 'Decision', 'Consequences']) {
    if (new RegExp(`^#+ ${heading}\\s*$`, 'm').test(text)) continue;
    problems.push({ file, line: 1, text: `has no heading '## ${heading}'; add it` });
  }
  return problems;
}
