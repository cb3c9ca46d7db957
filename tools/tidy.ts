/**
 * Reads the sources and tells what is not as the project wants it: arrows, names, sizes, leftovers, entry points.
 * Needs nothing but Node. Each problem is one line, `file:line: what is wrong; what to do`; exit code 1 if any.
 *
 *     node tools/dist/tidy.js [ROOT] [--arrows]
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { arrowLines } from './tidy/arrows.js';
import { checkFiles } from './tidy/file-rules.js';
import { checkImports } from './tidy/import-rules.js';
import { type Problem, readSourceTree } from './tidy/source-tree.js';
import { checkWorkspace } from './tidy/workspace-rules.js';

/** Checks the tree at `root` with every rule. Problems come by file and line. */
export function tidy(root: string): { readonly files: number; readonly problems: readonly Problem[] } {
  const tree = readSourceTree(root);
  const problems = [...checkFiles(tree), ...checkImports(tree), ...checkWorkspace(tree)];
  const byPlace = problems.toSorted((a, b) => a.file.localeCompare(b.file) || a.line - b.line);
  return { files: tree.files.length, problems: byPlace };
}

function main(parameters: readonly string[]): void {
  if (parameters.includes('--arrows')) {
    console.log(arrowLines().join('\n'));
    return;
  }
  const here = dirname(fileURLToPath(import.meta.url));
  const { files, problems } = tidy(resolve(parameters[0] ?? join(here, '..', '..')));
  for (const { file, line, text } of problems) console.log(`${file}:${line}: ${text}`);
  console.log(
    `tidy: ${files} files, ${problems.length === 0 ? 'no problems' : `${problems.length} problems`}`,
  );
  if (problems.length > 0) process.exitCode = 1;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2));
}
