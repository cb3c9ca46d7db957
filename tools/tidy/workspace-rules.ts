/** The rules about the workspace as a whole: versions, entry points, and the architecture page. */
import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import { arrowLines } from './arrows.js';
import {
  lineAt,
  type Manifest,
  type Problem,
  type SourceTree,
  type WorkspacePackage,
} from './source-tree.js';

const ARCHITECTURE = 'ARCHITECTURE.md';
const MARKERS = /<!-- arrows -->([\s\S]*?)<!-- \/arrows -->/;

/** Every problem that concerns more than one file. */
export function checkWorkspace(tree: SourceTree): readonly Problem[] {
  return [
    ...checkVersions(tree),
    ...tree.packages.flatMap((workspacePackage) => checkEntries(tree, workspacePackage)),
    ...checkArchitecture(tree),
  ];
}

function checkVersions(tree: SourceTree): readonly Problem[] {
  if (!tree.files.includes('package.json')) return [];
  const { version } = JSON.parse(tree.read('package.json')) as Manifest;
  const names = new Set(tree.packages.map(({ manifest }) => manifest.name));
  return tree.packages.flatMap(({ folder, manifest }) => {
    const file = `${folder}/package.json`;
    const text = tree.read(file);
    const problems: Problem[] = [];
    if (manifest.version !== version) {
      const line = lineAt(text, text.indexOf('"version"'));
      problems.push({
        file,
        line,
        text: `version ${manifest.version}, the workspace has ${version}; make them equal`,
      });
    }
    for (const list of [manifest.dependencies, manifest.devDependencies, manifest.peerDependencies]) {
      for (const [name, range] of Object.entries(list ?? {})) {
        if (!names.has(name) || range === version) continue;
        const line = lineAt(text, text.indexOf(`"${name}": `));
        problems.push({
          file,
          line,
          text: `asks for ${name} ${range}; write ${version}, one version for all`,
        });
      }
    }
    return problems;
  });
}

/** What `exports` and `bin` name must be there, and, where it is compiled or bundled, still have its source. */
function checkEntries(tree: SourceTree, { folder, manifest }: WorkspacePackage): readonly Problem[] {
  const file = `${folder}/package.json`;
  const text = tree.read(file);
  return [...pathsIn(manifest.exports), ...pathsIn(manifest.bin)].flatMap((path) => {
    const line = lineAt(text, text.indexOf(JSON.stringify(path)));
    const target = posix.join(folder, path);
    const source = target
      .replace('/dist/bundle/', '/dist/src/')
      .replace('/dist/', '/')
      .replace(/\.js$/, '.ts');
    const isCompiled = target.includes('/dist/');
    if (!existsSync(join(tree.root, target))) {
      const hint =
        isCompiled && tree.files.includes(source) ? 'run npm run build' : 'make it, or mend the entry';
      return [{ file, line, text: `${path} does not exist; ${hint}` }];
    }
    if (isCompiled && path.endsWith('.js') && !tree.files.includes(source)) {
      return [{ file, line, text: `${path} is a leftover: ${source} is gone; mend the entry` }];
    }
    return [];
  });
}

/** All paths in a value of `exports` or `bin`, whatever its nesting of conditions. */
function pathsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(pathsIn);
}

/** The page that explains the parts prints the arrows that are checked, all of them and no others. */
function checkArchitecture(tree: SourceTree): readonly Problem[] {
  if (!tree.files.includes(ARCHITECTURE)) return [];
  const text = tree.read(ARCHITECTURE);
  const match = MARKERS.exec(text);
  if (match === null) {
    const advice = 'add it with the lines that `node tools/dist/tidy.js --arrows` prints';
    return [
      { file: ARCHITECTURE, line: 1, text: `has no <!-- arrows --> … <!-- /arrows --> block; ${advice}` },
    ];
  }
  const start = lineAt(text, match.index);
  const lines = match[1]!.split('\n').map((line) => line.replaceAll(/^[-*`\s]+|[`\s]+$/g, ''));
  const expected = new Set(arrowLines());
  const problems: Problem[] = [];
  for (const [index, line] of lines.entries()) {
    if (!line.includes('→') || expected.has(line)) continue;
    problems.push({
      file: ARCHITECTURE,
      line: start + index,
      text: `'${line}' is not in tools/tidy/arrows.ts; mend it`,
    });
  }
  for (const line of expected) {
    if (lines.includes(line)) continue;
    problems.push({ file: ARCHITECTURE, line: start, text: `the line '${line}' is missing; add it` });
  }
  return problems;
}
