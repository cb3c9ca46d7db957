/**
 * Makes of the server's modules and core's the few files that `wakeline up` runs (`@wakeline/server/program`), from what the compiler has
 * put out. Packages of others stay packages of their own.
 *
 *     node tools/dist/bundle.js
 *
 * Why: docs/adr/0023-the-server-is-run-from-a-bundle.md.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const workspace = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Compiled modules that a process begins with, by the name of what is made of each. */
const entries = {
  program: 'dist/src/program.js',
  'hub-main': 'dist/src/lines/hub-main.js',
  'line-main': 'dist/src/lines/line-main.js',
};

const server = join(workspace, 'packages/server');
const folder = join(server, 'dist/bundle');
const manifest = JSON.parse(readFileSync(join(server, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};
const { outputFiles } = await build({
  absWorkingDir: server,
  entryPoints: entries,
  outdir: folder,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  external: Object.keys(manifest.dependencies).filter((name) => !name.startsWith('@wakeline/')),
  sourcemap: 'linked',
  sourcesContent: false,
  write: false,
  logLevel: 'warning',
});
// Only what has changed, so that nobody who runs it meets half of it.
mkdirSync(folder, { recursive: true });
for (const { path, contents } of outputFiles) {
  if (!existsSync(path) || !readFileSync(path).equals(contents)) writeFileSync(path, contents);
}
const made = new Set(outputFiles.map(({ path }) => basename(path)));
for (const name of readdirSync(folder)) if (!made.has(name)) rmSync(join(folder, name));
