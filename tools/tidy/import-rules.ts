/** The rules about imports: the arrows between folders and packages, public entry points, and no cycles. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { type Arrows, coreArrows, packageArrows } from './arrows.js';
import { findImports, type Import, resolveRelative, splitBare } from './imports.js';
import { type Problem, type SourceTree, type WorkspacePackage } from './source-tree.js';

const CORE_SOURCE = 'packages/core/src/';
const MODULE = /\.(?:ts|tsx|mts|js|mjs)$/;

/** Every problem with an import in the tree. */
export function checkImports(tree: SourceTree): readonly Problem[] {
  const problems: Problem[] = [];
  for (const file of tree.files) {
    if (!MODULE.test(file)) continue;
    const own = tree.packages.find(({ folder }) => file.startsWith(`${folder}/`));
    for (const found of findImports(tree.read(file))) {
      const text = found.specifier.startsWith('.')
        ? relativeProblem(file, found, own)
        : bareProblem(tree, file, found, own);
      if (text !== undefined) problems.push({ file, line: found.line, text });
    }
  }
  return [...problems, ...strayFiles(tree), ...checkCycles(tree)];
}

/** Within a package, or from an example. Benches and whole-system tests look inside on purpose and may. */
function relativeProblem(file: string, found: Import, own: WorkspacePackage | undefined): string | undefined {
  const target = resolveRelative(file, found.specifier);
  if (own === undefined && !file.startsWith('examples/')) return undefined;
  const targetPackage = /^packages\/[^/]+/.exec(target)?.[0];
  if (targetPackage !== undefined && targetPackage !== own?.folder) {
    return `imports ${target} by path; import the package by its name, through a public entry point`;
  }
  if (own !== undefined && targetPackage === undefined) {
    return `imports ${target}, which is outside its package; a package needs nothing beside it`;
  }
  if (!file.startsWith(CORE_SOURCE)) return undefined;
  if (!target.startsWith(CORE_SOURCE)) {
    return `imports ${target}; a source file of core imports source files of core only`;
  }
  const from = folderOf(file);
  const to = folderOf(target);
  if (from === undefined || to === undefined || from === to || allows(coreArrows, from, to)) return undefined;
  return `core/${from} imports core/${to}; allowed: ${listOf(coreArrows, from)}. Move what is shared, or pass it in`;
}

function bareProblem(
  tree: SourceTree,
  file: string,
  found: Import,
  own: WorkspacePackage | undefined,
): string | undefined {
  const { name, entry } = splitBare(found.specifier);
  const isSource = own !== undefined && file.startsWith(`${own.folder}/src/`);
  if (file.startsWith(CORE_SOURCE)) {
    return `core imports '${found.specifier}'; core imports nothing from Node or npm: make it a port`;
  }
  if (isBuiltin(found.specifier)) {
    if (found.specifier.startsWith('node:')) return undefined;
    return `imports '${found.specifier}'; write 'node:${found.specifier}'`;
  }
  const target = tree.packages.find(({ manifest }) => manifest.name === name);
  if (target !== undefined || Object.hasOwn(packageArrows, name)) {
    const from = own?.manifest.name;
    if (from !== undefined && from !== name && !allows(packageArrows, from, name)) {
      return `${from} imports ${name}; allowed: ${listOf(packageArrows, from)}`;
    }
    if (target === undefined) return `imports ${name}, which is no package of this workspace`;
    if (!entriesOf(target).has(entry)) {
      return `imports '${found.specifier}', which ${name} does not export; use one of: ${[...entriesOf(target)].join(' ')}`;
    }
  }
  if (isSource && name !== own.manifest.name && !isDeclared(own, name)) {
    return `imports '${name}', which ${own.folder}/package.json does not list; add it to its dependencies`;
  }
  return undefined;
}

/** Files of core that are in no folder of the table. */
function strayFiles(tree: SourceTree): readonly Problem[] {
  return tree.files.flatMap((file) => {
    if (!file.startsWith(CORE_SOURCE) || !MODULE.test(file)) return [];
    const folder = folderOf(file);
    if (folder !== undefined && Object.hasOwn(coreArrows, folder)) return [];
    const where = folder === undefined ? 'core/src itself' : `core/src/${folder}`;
    return [
      {
        file,
        line: 1,
        text: `${where} has no arrow; move the file, or add the folder to tools/tidy/arrows.ts`,
      },
    ];
  });
}

/** Each cycle of core once, told at the file that comes first by name. */
function checkCycles(tree: SourceTree): readonly Problem[] {
  const edges = new Map<string, readonly string[]>();
  for (const file of tree.files) {
    if (!file.startsWith(CORE_SOURCE) || !MODULE.test(file)) continue;
    const targets = findImports(tree.read(file))
      .filter(({ specifier }) => specifier.startsWith('.'))
      .map(({ specifier }) => resolveRelative(file, specifier));
    edges.set(file, targets);
  }
  const problems: Problem[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const told = new Set<string>();
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at !== -1) {
      const cycle = path.slice(at);
      const first = cycle.toSorted()[0]!;
      const start = cycle.indexOf(first);
      const turned = [...cycle.slice(start), ...cycle.slice(0, start), first];
      const names = turned.map((name) => name.slice(CORE_SOURCE.length)).join(' → ');
      if (!told.has(names)) {
        told.add(names);
        problems.push({
          file: first,
          line: 1,
          text: `cycle ${names}; move what they share to a file of its own`,
        });
      }
      return;
    }
    if (done.has(file)) return;
    path.push(file);
    for (const target of edges.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of edges.keys()) visit(file);
  return problems;
}

/** Folder of core/src that a file is in; undefined: in none. */
function folderOf(file: string): string | undefined {
  const rest = posix.relative(CORE_SOURCE, file).split('/');
  return rest.length > 1 ? rest[0] : undefined;
}

function allows(arrows: Arrows, from: string, to: string): boolean {
  const targets = arrows[from];
  return targets === 'all' || (targets?.includes(to) ?? false);
}

function listOf(arrows: Arrows, from: string): string {
  const targets = arrows[from];
  if (targets === undefined) return 'nothing (it is not in tools/tidy/arrows.ts)';
  return targets === 'all' ? 'all' : targets.join(', ') || 'nothing of ours';
}

function entriesOf({ manifest }: WorkspacePackage): ReadonlySet<string> {
  const { exports } = manifest;
  if (typeof exports === 'string') return new Set(['.']);
  return new Set(Object.keys(exports ?? {}));
}

function isDeclared({ manifest }: WorkspacePackage, name: string): boolean {
  return [manifest.dependencies, manifest.optionalDependencies, manifest.peerDependencies].some(
    (list) => list !== undefined && Object.hasOwn(list, name),
  );
}
