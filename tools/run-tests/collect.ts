/** Finds the compiled tests. One whose source is gone is a leftover of an older build and is not run. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export interface TestFile {
  /** The compiled file, from the root. */
  readonly path: string;
  /** Runs real processes, peers or time: alone, so that nothing disturbs it. */
  readonly isEndToEnd: boolean;
}

/** All test files below `root`, by path. */
export function collectTests(root: string): readonly TestFile[] {
  const folders = [...packageFolders(root), 'conformance', 'tools'];
  return folders.flatMap((folder) => {
    const dist = join(root, folder, 'dist');
    // A package's tests are in dist/test: dist/src never has any.
    const begin = folder.startsWith('packages/') ? 'test' : '';
    return namesBelow(join(dist, begin))
      .map((name) => join(begin, name))
      .filter((name) => name.endsWith('.test.js'))
      .filter((name) => existsSync(join(root, folder, name.replace(/\.js$/, '.ts'))))
      .toSorted()
      .map((name) => ({ path: join(folder, 'dist', name), isEndToEnd: name.endsWith('.e2e.test.js') }));
  });
}

function packageFolders(root: string): readonly string[] {
  const packages = join(root, 'packages');
  if (!existsSync(packages)) return [];
  return readdirSync(packages)
    .toSorted()
    .map((name) => join('packages', name));
}

function namesBelow(folder: string): readonly string[] {
  return existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]) : [];
}
