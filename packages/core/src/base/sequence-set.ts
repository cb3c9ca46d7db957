/**
 * The finished part of a dense numbering: everything up to a mark, and a few closed ranges beyond it.
 *
 * Acknowledgements come nearly in order, so the ranges are few; a message that waits unsubscribed at the front of
 * an inbox costs one range however many behind it are finished.
 */
export class SequenceSet {
  #through: number;
  /** Flat pairs [first, last, first, last, …], ascending, disjoint and not adjacent. null: none. */
  #beyond: number[] | null = null;

  constructor(through = 0, beyond: readonly number[] = []) {
    this.#through = through;
    for (let index = 0; index + 1 < beyond.length; index += 2)
      this.addRange(beyond[index], beyond[index + 1]);
  }

  /** All numbers up to this one are members. */
  get through(): number {
    return this.#through;
  }

  /** The ranges beyond the mark as flat pairs, ascending. */
  get beyond(): readonly number[] {
    return this.#beyond ?? [];
  }

  has(sequence: number): boolean {
    if (sequence <= this.#through) return true;
    if (this.#beyond === null) return false;
    const index = this.#firstRangeEndingAtOrAfter(sequence);
    return index < this.#beyond.length && this.#beyond[index] <= sequence;
  }

  add(sequence: number): void {
    if (sequence === this.#through + 1 && this.#beyond === null) this.#through = sequence;
    else this.addRange(sequence, sequence);
  }

  /** Adds first … last, both included; what is a member already stays one. */
  addRange(first: number, last: number): void {
    if (last <= this.#through) return;
    if (first <= this.#through + 1) {
      this.#through = last;
      this.#absorb();
      return;
    }
    const ranges = (this.#beyond ??= []);
    // The first range that touches [first - 1, …] and the first one wholly behind [… , last + 1].
    const begin = this.#firstRangeEndingAtOrAfter(first - 1);
    let end = begin;
    let mergedFirst = first;
    let mergedLast = last;
    while (end < ranges.length && ranges[end] <= last + 1) {
      mergedFirst = Math.min(mergedFirst, ranges[end]);
      mergedLast = Math.max(mergedLast, ranges[end + 1]);
      end += 2;
    }
    ranges.splice(begin, end - begin, mergedFirst, mergedLast);
  }

  /** Takes out one number. */
  delete(sequence: number): void {
    if (!this.has(sequence)) return;
    const ranges = (this.#beyond ??= []);
    if (sequence <= this.#through) {
      if (sequence < this.#through) ranges.unshift(sequence + 1, this.#through);
      this.#through = sequence - 1;
    } else {
      const index = this.#firstRangeEndingAtOrAfter(sequence);
      const [first, last] = ranges.splice(index, 2);
      if (sequence < last) ranges.splice(index, 0, sequence + 1, last);
      if (first < sequence) ranges.splice(index, 0, first, sequence - 1);
    }
    if (ranges.length === 0) this.#beyond = null;
  }

  /** Takes out everything behind `last`. */
  truncate(last: number): void {
    if (this.#through >= last) {
      this.#through = last;
      this.#beyond = null;
      return;
    }
    const ranges = this.#beyond;
    if (ranges === null) return;
    while (ranges.length > 0 && ranges[ranges.length - 2] > last) ranges.length -= 2;
    if (ranges.length === 0) this.#beyond = null;
    else ranges[ranges.length - 1] = Math.min(ranges[ranges.length - 1], last);
  }

  #absorb(): void {
    const ranges = this.#beyond;
    if (ranges === null) return;
    let count = 0;
    while (count < ranges.length && ranges[count] <= this.#through + 1) {
      this.#through = Math.max(this.#through, ranges[count + 1]);
      count += 2;
    }
    if (count === ranges.length) this.#beyond = null;
    else if (count > 0) ranges.splice(0, count);
  }

  /** Index (even) of the first range whose last number is at least `sequence`. */
  #firstRangeEndingAtOrAfter(sequence: number): number {
    const ranges = this.#beyond!;
    let low = 0;
    let high = ranges.length >>> 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ranges[middle * 2 + 1] < sequence) low = middle + 1;
      else high = middle;
    }
    return low * 2;
  }
}
