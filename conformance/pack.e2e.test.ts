/**
 * The packages as they would be published: packed, installed in another place, run there. Nothing of the repository
 * is used but the tarballs; the packages of others come from npm's cache or registry.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Program, runProgram } from './program.js';
import type { ProgramEnd } from './program.js';
import { temporaryDirectory } from './support.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const directory = temporaryDirectory('wakeline-pack');
const place = join(directory.path, 'elsewhere');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  /** Paths, or paths by condition. */
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

interface Packed {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Folder of each package that is published. */
const folders = readdirSync(join(repository, 'packages'))
  .map((name) => join(repository, 'packages', name))
  .filter((folder) => existsSync(join(folder, 'package.json')) && manifestOf(folder).private !== true);
let packed: readonly Packed[];

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** Every file below a folder of a package, as paths from the package; none when it has no such folder. */
function filesIn(folder: string, name: string): readonly string[] {
  if (!existsSync(join(folder, name))) return [];
  return readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** In the other place, with settings of npm and Wakeline that are nobody's. */
function there(command: string, ...args: readonly string[]): Promise<ProgramEnd> {
  return runProgram(command, args, { cwd: place });
}

before(async () => {
  mkdirSync(place);
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory.path];
  const pack = await runProgram('npm', [...args, ...folders], { cwd: repository });
  assert.equal(pack.code, 0, pack.stderr);
  packed = JSON.parse(pack.stdout) as Packed[];
  writeFileSync(join(place, 'package.json'), '{ "name": "elsewhere", "private": true }\n');
  const tarballs = packed.map(({ filename }) => join('..', filename));
  const install = await there('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs);
  assert.equal(install.code, 0, install.stderr);
});

after(() => directory.remove());

describe('the packed packages', () => {
  test('carry every compiled module, what they export, their programs and native sources, and no tests', () => {
    for (const folder of folders) {
      const manifest = manifestOf(folder);
      const { files } = packed.find(({ name }) => name === manifest.name)!;
      const paths = new Set(files.map(({ path }) => path));
      const has = (path: string): void => assert(paths.has(path), `${manifest.name} carries ${path}`);
      for (const source of filesIn(folder, 'src').filter((file) => file.endsWith('.ts'))) {
        const stem = join('dist', source).replace(/\.ts$/, '');
        has(`${stem}.js`);
        has(`${stem}.d.ts`);
      }
      const targets = Object.values({ ...manifest.exports, ...manifest.bin }).flatMap((target) =>
        typeof target === 'string' ? [target] : Object.values(target),
      );
      for (const target of targets) has(target.replace(/^\.\//, ''));
      for (const file of [...filesIn(folder, 'native'), ...filesIn(folder, 'dist/bundle')]) has(file);
      const stray = [...paths].filter((path) => /(^|\/)test\/|\.test\.|\.tsbuildinfo$|^src\//.test(path));
      assert.deepEqual(stray, [], `${manifest.name} carries no tests and leftovers`);
    }
  });

  test('depend on each other in exactly this version', () => {
    const versions = new Map(folders.map((folder) => [manifestOf(folder).name, manifestOf(folder).version]));
    for (const folder of folders)
      for (const [name, range] of Object.entries(manifestOf(folder).dependencies ?? {}))
        if (versions.has(name))
          assert.equal(range, versions.get(name), `${manifestOf(folder).name} → ${name}`);
  });

  test('are all there in the other place, and no module comes from the repository', async () => {
    for (const folder of folders) {
      const { name, exports } = manifestOf(folder);
      const installed = realpathSync(join(place, 'node_modules', name));
      assert(!relative(realpathSync(place), installed).startsWith(`..${sep}`), `${name} is a copy`);
      for (const entry of Object.keys(exports ?? {}).filter((one) => !one.endsWith('.json'))) {
        const specifier = join(name, entry);
        const script =
          `await import(${JSON.stringify(specifier)});` +
          `process.stdout.write(import.meta.resolve(${JSON.stringify(specifier)}))`;
        const end = await there('node', '--input-type=module', '-e', script);
        assert.equal(end.code, 0, `${specifier}: ${end.stderr}`);
        const file = realpathSync(fileURLToPath(end.stdout));
        assert(file.startsWith(realpathSync(place) + sep), `${specifier} is ${file}`);
      }
    }
  });

  test('`npx wakeline --version` tells the version', async () => {
    const end = await there('npx', 'wakeline', '--version');
    assert.equal(end.code, 0, end.stderr);
    assert.equal(end.stdout.trim(), manifestOf(join(repository, 'packages/cli')).version);
  });

  test('`npx wakeline up`, `send` and `devices` work together', async () => {
    const data = join(directory.path, 'data');
    const listen = ['--listen', 'http://127.0.0.1:0', '--listen', 'mqtt://127.0.0.1:0'];
    // The program itself and not npx: a signal has to reach it.
    const bin = join(place, 'node_modules/.bin/wakeline');
    const server = new Program(bin, ['up', '--data', data, ...listen], { cwd: place });
    try {
      const ready = await server.line(/^wakeline: ready /);
      const url = /http:\/\/\S+/.exec(ready)![0];
      const asked = ['--server', url, '--json'];
      const add = await there('npx', 'wakeline', 'devices', 'add', 'phone', ...asked);
      assert.equal(add.code, 0, add.stderr);
      const send = await there('npx', 'wakeline', 'send', '--device', 'phone', 'hello', ...asked);
      assert.equal(send.code, 0, send.stderr);
      assert.equal((JSON.parse(send.stdout) as { recipients: number }).recipients, 1);
      const show = await there('npx', 'wakeline', 'devices', 'show', 'phone', ...asked);
      assert.equal(show.code, 0, show.stderr);
      assert.equal((JSON.parse(show.stdout) as { waitingMessages: number }).waitingMessages, 1);
    } finally {
      const end = await server.end('SIGTERM');
      assert.equal(end.code, 0, end.stderr);
    }
  });

  test('`npx wakeline up --lines` finds the programs of its processes', async () => {
    const args = ['--data', join(directory.path, 'lines'), '--listen', 'mqtt://127.0.0.1:0', '--lines', '1'];
    const server = new Program(join(place, 'node_modules/.bin/wakeline'), ['up', ...args], { cwd: place });
    try {
      await server.line(/^wakeline: ready /);
    } finally {
      const end = await server.end('SIGTERM');
      assert.equal(end.code, 0, end.stderr);
    }
  });

  test('`npx wakeline sleepbox` finds its native part', { skip: process.platform !== 'linux' }, async () => {
    const end = await there(
      'npx',
      'wakeline',
      'sleepbox',
      '--json',
      '--name',
      'packed',
      '--',
      'echo',
      'awake',
    );
    assert.equal(end.code, 0, end.stderr);
    assert.match(end.stdout, /"type":"output","stream":"stdout","line":"awake"/);
  });

  test('`npx wakeline demo` ends well', { skip: process.platform !== 'linux' }, async () => {
    const end = await there('npx', 'wakeline', 'demo');
    assert.equal(end.code, 0, end.stdout + end.stderr);
    assert.match(end.stdout, /Nothing was lost\./);
  });

  test('every `npx wakeline …` of README.md names a command and options that exist', async (t) => {
    const readme = join(repository, 'README.md');
    if (!existsSync(readme)) return t.skip('NOT TESTED: README.md is not there');
    const commands = readFileSync(readme, 'utf8').matchAll(/npx wakeline ([a-z]+)?([^\n`#|]*)/g);
    for (const [line, command, rest] of commands) {
      const help = await there('npx', 'wakeline', ...(command === undefined ? [] : [command]), '--help');
      assert.equal(help.code, 0, `${line}: ${help.stderr}`);
      // What follows -- belongs to the program that is run.
      for (const [option] of rest.split(' -- ')[0].matchAll(/--[a-z][a-z-]*/g))
        assert(help.stdout.includes(option), `${line}: ${option} is an option`);
    }
  });
});
