/** FNV-1a of 32 bits: to find places in tables and to notice changes, not to resist anybody. A sign is part of the number. */

const OFFSET_BASIS = 0x811c9dc5 | 0;
const PRIME = 0x01000193;

/** Of `bytes[start … end)`. `hash`: of what comes before, or a number by which tables differ. */
export function fnv1a(bytes: Uint8Array, start = 0, end = bytes.length, hash = OFFSET_BASIS): number {
  for (let index = start; index < end; index += 1) hash = Math.imul(hash ^ bytes[index]!, PRIME);
  return hash;
}

/** Of the UTF-16 units of a text. */
export function fnv1aOfText(text: string): number {
  let hash = OFFSET_BASIS;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), PRIME);
  return hash;
}
