/**
 * Finds what a module imports, by pattern: the formatter has put every static import at the start of a line, so
 * that no parser is needed. Type imports count: an arrow is about who knows whom.
 */
import { posix } from 'node:path';
import { lineAt } from './source-tree.js';

export interface Import {
  /** As written, such as `./wheel.js` or `@wakeline/core/hub`. */
  readonly specifier: string;
  readonly line: number;
}

const STATIC = /^(?:import|export)\s+(?:type\s+)?(?:[\w$*{},\s]+?\s*from\s*)?(['"])([^'"\n]+)\1/gm;
const DYNAMIC = /\b(?:import|require\.resolve|import\.meta\.resolve)\(\s*(['"])([^'"\n]+)\1/g;

/** All imports of a module, in the order of their lines. */
export function findImports(text: string): readonly Import[] {
  const found: Import[] = [];
  for (const pattern of [STATIC, DYNAMIC]) {
    for (const match of text.matchAll(pattern)) {
      if (isInComment(text, match.index)) continue;
      // The specifier's own line: a long import begins lines before it.
      const end = match.index + match[0].length;
      found.push({ specifier: match[2]!, line: lineAt(text, end) });
    }
  }
  return found.toSorted((a, b) => a.line - b.line);
}

/** The source file that a relative specifier means, from the root: `.js` is written, `.ts` is meant. */
export function resolveRelative(file: string, specifier: string): string {
  return posix.join(posix.dirname(file), specifier).replace(/\.(m|c)?js$/, '.$1ts');
}

/** The package of a bare specifier and the entry point within it, such as `./hub`, or `.`. */
export function splitBare(specifier: string): { readonly name: string; readonly entry: string } {
  const parts = specifier.split('/');
  const name = parts.splice(0, specifier.startsWith('@') ? 2 : 1).join('/');
  return { name, entry: parts.length === 0 ? '.' : `./${parts.join('/')}` };
}

function isInComment(text: string, offset: number): boolean {
  const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
  return /^\s*(?:\/\/|\/?\*)/.test(text.slice(lineStart, offset));
}
