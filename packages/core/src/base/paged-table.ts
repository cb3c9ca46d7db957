/**
 * Values by a number that is given out in ascending order: devices, flows. Costs about nine bytes an entry, where a
 * `Map` costs forty; a lookup in the page that was used last needs no hashing.
 *
 * Entries lie in pages; a page that holds nothing any more is let go. Numbers are never used again, so a few old
 * entries among many that are gone cost a page each at most.
 */

/** Entries of a page: small, so that a lone old entry does not keep much. */
const PAGE_ENTRIES = 64;

interface Page<Value> {
  readonly values: (Value | undefined)[];
  count: number;
}

export class PagedTable<Value extends object> {
  readonly #pages = new Map<number, Page<Value>>();
  /** The page used last: lookups come in runs, and the newest entries are the busiest. */
  #lastIndex = -1;
  #lastPage: Page<Value> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(number: number): Value | undefined {
    return this.#pageOf(Math.floor(number / PAGE_ENTRIES))?.values[number % PAGE_ENTRIES];
  }

  set(number: number, value: Value): void {
    const index = Math.floor(number / PAGE_ENTRIES);
    let page = this.#pageOf(index);
    if (page === undefined) {
      page = { values: Array.from<Value | undefined>({ length: PAGE_ENTRIES }), count: 0 };
      this.#pages.set(index, page);
      this.#lastIndex = index;
      this.#lastPage = page;
    }
    const place = number % PAGE_ENTRIES;
    if (page.values[place] === undefined) {
      page.count++;
      this.#size++;
    }
    page.values[place] = value;
  }

  /** True if there was one. */
  delete(number: number): boolean {
    const index = Math.floor(number / PAGE_ENTRIES);
    const page = this.#pageOf(index);
    const place = number % PAGE_ENTRIES;
    if (page?.values[place] === undefined) return false;
    page.values[place] = undefined;
    this.#size--;
    if (--page.count === 0) {
      this.#pages.delete(index);
      this.#lastIndex = -1;
      this.#lastPage = undefined;
    }
    return true;
  }

  /** In the order in which their pages were begun; entries may be deleted and added meanwhile. */
  *values(): Iterable<Value> {
    for (const { values } of this.#pages.values()) {
      for (const value of values) if (value !== undefined) yield value;
    }
  }

  #pageOf(index: number): Page<Value> | undefined {
    if (index === this.#lastIndex) return this.#lastPage;
    const page = this.#pages.get(index);
    if (page !== undefined) {
      this.#lastIndex = index;
      this.#lastPage = page;
    }
    return page;
  }
}
