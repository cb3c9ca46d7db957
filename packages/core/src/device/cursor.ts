/**
 * What of an inbox the app has handled: the device's memory against repeats, the same over any link.
 *
 * Bounded: of ranges beyond a gap the oldest are forgotten. A message of a forgotten range would only come again if the
 * server had lost an acknowledgement that is older than many others.
 */
import { SequenceSet } from '../base/index.js';
import { deviceLimits } from './limits.js';

/** A cursor as it is stored. */
export interface CursorValue {
  /** Of the inbox, 16 hex digits. */
  readonly epoch: string;
  /** All numbers up to this one are handled. */
  readonly through: number;
  /** Flat pairs first, last, first, last, …, ascending: what is handled beyond. */
  readonly beyond: readonly number[];
}

export class Cursor {
  readonly epoch: string;
  #handled: SequenceSet;

  constructor(epoch: string, through = 0, beyond: readonly number[] = []) {
    this.epoch = epoch;
    this.#handled = new SequenceSet(through, beyond);
  }

  get value(): CursorValue {
    const { through, beyond } = this.#handled;
    return { epoch: this.epoch, through, beyond: [...beyond] };
  }

  has(sequence: number): boolean {
    return this.#handled.has(sequence);
  }

  add(sequence: number): void {
    this.#handled.add(sequence);
    const { through, beyond } = this.#handled;
    const numbersMax = 2 * deviceLimits.cursorRangesMax;
    if (beyond.length > numbersMax) this.#handled = new SequenceSet(through, beyond.slice(-numbersMax));
  }
}

/** Whether a stored value is a cursor: what an adapter reads back is not trusted. */
export function isCursorValue(value: unknown): value is CursorValue {
  if (typeof value !== 'object' || value === null) return false;
  const { epoch, through, beyond } = value as Partial<Record<keyof CursorValue, unknown>>;
  if (typeof epoch !== 'string' || !/^[0-9a-f]{16}$/.test(epoch)) return false;
  if (!isSequence(through) || !Array.isArray(beyond) || beyond.length % 2 !== 0) return false;
  let last = through;
  for (let index = 0; index < beyond.length; index += 1) {
    const number: unknown = beyond[index];
    if (!isSequence(number)) return false;
    // A range begins behind the last one and a gap, and ends at or behind its beginning.
    if (index % 2 === 0 ? number <= last + 1 : number < last) return false;
    last = number;
  }
  return true;
}

function isSequence(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= 0xffff_ffff;
}
