/** The pages of docs/guides as tests use them: what stands there is what is run. */
import { readFileSync } from 'node:fs';

/**
 * The code block behind the mark `<!-- test: NAME -->` of a page. Each replacement must be needed: its text stands in
 * the block.
 */
export function codeOf(
  page: string,
  name: string,
  replacements: Readonly<Record<string, string>> = {},
): string {
  const text = readFileSync(new URL(`../../docs/guides/${page}`, import.meta.url), 'utf8');
  const mark = `<!-- test: ${name} -->`;
  const at = text.indexOf(mark);
  const block = /^\n+```\w+\n([\s\S]*?)\n```/.exec(text.slice(at + mark.length))?.[1];
  if (at < 0 || block === undefined) throw new Error(`${page} has no code block behind ${mark}`);
  let code = block;
  for (const [from, to] of Object.entries(replacements)) {
    if (!code.includes(from)) throw new Error(`${page}, ${name}: '${from}' does not stand there`);
    code = code.replaceAll(from, to);
  }
  return code;
}
