/** The sources of all tests, and the files below a folder: for the tests that compare titles with docs/spec. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the repository. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Beside the folders `test` of packages and tools: the contract suites, whose cases are titles too. */
const titleFolders = ['conformance', 'packages/core/src/testing'];

/** Every file of a folder and below, by paths relative to the root; what was compiled or installed left out. */
export function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return entry.name === 'dist' || entry.name === 'node_modules' ? [] : filesBelow(path);
  });
}

/** The source of every test, by its path relative to the root. */
export function testFiles(): string[] {
  const packages = readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join('packages', name));
  const folders = [...packages, 'tools'].filter((folder) => readdirSync(join(root, folder)).includes('test'));
  return [...folders.map((folder) => join(folder, 'test')), ...titleFolders]
    .flatMap(filesBelow)
    .filter((file) => file.endsWith('.ts'));
}
