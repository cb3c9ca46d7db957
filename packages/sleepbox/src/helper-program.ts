/**
 * Finds or makes the helper that `watcher-helper.ts` talks to: compiles `native/sleepbox-watch.c` once into the
 * user's cache with whatever compiler there is. No network, no install script; without a compiler the answer
 * is undefined and the caller falls back.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { limits } from './limits.js';

const source = fileURLToPath(new URL('../../native/sleepbox-watch.c', import.meta.url));

/** In order of likelihood; a C++ compiler does as well. */
const compilers: readonly (readonly string[])[] = [
  ['cc'],
  ['gcc'],
  ['clang'],
  ['g++', '-x', 'c++'],
  ['c++', '-x', 'c++'],
  ['clang++', '-x', 'c++'],
];

/**
 * Path of a helper that can be executed. `SLEEPBOX_HELPER` names one that is already there (`none`: do without).
 * Safe to call from several processes at once: each compiles to a name of its own and renames.
 */
export async function findHelperProgram(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string | undefined> {
  const given = env['SLEEPBOX_HELPER'];
  if (given === 'none') return undefined;
  if (given !== undefined && given !== '') return (await isOwnExecutable(given, false)) ? given : undefined;
  try {
    const hash = createHash('sha256')
      .update(await readFile(source))
      .digest('hex')
      .slice(0, 16);
    const cache = join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'wakeline');
    const program = join(cache, `sleepbox-watch-${process.arch}-${hash}`);
    if (await isOwnExecutable(program, true)) return program;
    await mkdir(cache, { recursive: true, mode: 0o700 });
    const fresh = `${program}.${process.pid}`;
    for (const compiler of compilers) {
      const [name = 'cc', ...before] = compiler;
      if (await run(name, ['-O2', '-o', fresh, ...before, source])) {
        await chmod(fresh, 0o700);
        await rename(fresh, program);
        return program;
      }
    }
    await rm(fresh, { force: true });
  } catch {
    // No cache directory, no source: the fallback is slower and right.
  }
  return undefined;
}

/** A file that others may write is not run. */
async function isOwnExecutable(path: string, isOurs: boolean): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    const status = await stat(path);
    return !isOurs || (status.uid === process.getuid?.() && (status.mode & 0o022) === 0);
  } catch {
    return false;
  }
}

function run(command: string, args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore', timeout: limits.compileMsMax });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
  });
}
