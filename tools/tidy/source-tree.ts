/**
 * The files that the rules look at: what git tracks or would track, or, where there is no repository (an unpacked
 * archive, a test's fixture), everything but what is built or installed. Rules read; nothing here writes.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Something to mend. `file` is relative to the root. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  /** What is wrong and what to do. */
  readonly text: string;
}

/** A package.json, as far as the rules read it. */
export interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly workspaces?: readonly string[];
  readonly exports?: unknown;
  readonly bin?: string | Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface WorkspacePackage {
  /** Path from the root, such as `packages/core`. */
  readonly folder: string;
  readonly manifest: Manifest;
}

export interface SourceTree {
  readonly root: string;
  /** Paths from the root with `/`, sorted. */
  readonly files: readonly string[];
  readonly packages: readonly WorkspacePackage[];
  /** The text of a file, or an empty one where it is not text. */
  read(file: string): string;
}

const BUILT_OR_INSTALLED = new Set(['node_modules', 'dist', '.git', 'coverage']);

export function readSourceTree(root: string): SourceTree {
  const files = (existsSync(join(root, '.git')) ? listByGit(root) : listByWalk(root, '')).toSorted();
  const texts = new Map<string, string>();
  const read = (file: string): string => {
    let text = texts.get(file);
    if (text === undefined) {
      const bytes = readFileSync(join(root, file));
      text = bytes.includes(0) ? '' : bytes.toString('utf8');
      texts.set(file, text);
    }
    return text;
  };
  const packages = files
    .filter((file) => /^packages\/[^/]+\/package\.json$/.test(file))
    .map((file) => ({
      folder: file.slice(0, -'/package.json'.length),
      manifest: JSON.parse(read(file)) as Manifest,
    }));
  return { root, files, packages, read };
}

/** Line of an offset in a text, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}

function listByGit(root: string): string[] {
  const output = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const names = new Set(output.split('\0').filter((name) => name !== ''));
  // A file deleted in the working tree is still listed; a symbolic link to a folder is no file.
  return [...names].filter((name) => lstatSync(join(root, name), { throwIfNoEntry: false })?.isFile());
}

function listByWalk(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return BUILT_OR_INSTALLED.has(entry.name) ? [] : listByWalk(root, path);
    return entry.isFile() ? [path] : [];
  });
}
