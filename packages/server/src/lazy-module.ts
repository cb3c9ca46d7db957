/**
 * Packages that most starts do without, or not before the first request: loaded when they are first used. Reading and compiling the
 * hundreds of files of all packages takes longer than all the rest of a small server's start.
 */
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** A function that makes something at its first call and gives it at every one. */
export function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** A function that gives a package of ours: CommonJS, or in both forms. */
export function lazyModule<T>(name: string): () => T {
  return once(() => require(name) as T);
}
