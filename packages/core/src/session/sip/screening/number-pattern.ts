/** The patterns by which a trunk names the targets that go out by it. */

/** A user part, or with `@` an AOR, in which each `*` stands for any text. Letters of a domain may be large or small. */
export class NumberPattern {
  readonly #parts: readonly string[];
  readonly #isAddress: boolean;

  constructor(text: string) {
    this.#isAddress = text.includes('@');
    const at = text.lastIndexOf('@');
    const folded = this.#isAddress ? text.slice(0, at) + text.slice(at).toLowerCase() : text;
    this.#parts = folded.split('*');
  }

  /** @param host in small letters. */
  matches(user: string, host: string): boolean {
    const text = this.#isAddress ? `${user}@${host}` : user;
    const parts = this.#parts;
    const first = parts[0]!;
    if (parts.length === 1) return text === first;
    const last = parts.at(-1)!;
    if (text.length < first.length + last.length) return false;
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    // Between the ends, the leftmost place of each part is as good as any.
    const end = text.length - last.length;
    let from = first.length;
    for (const part of parts.slice(1, -1)) {
      const at = text.indexOf(part, from);
      if (at < 0 || at + part.length > end) return false;
      from = at + part.length;
    }
    return true;
  }
}
