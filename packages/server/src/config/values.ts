/**
 * Readers of single values of the configuration: each takes what stands in file, environment or flag and gives the value
 * as the server wants it, or the {@link Mistake} that a person is told.
 */
import { nearestName } from '@wakeline/core/base';
import { z } from 'zod';
import { formatDuration, parseDurationMs, parseSizeBytes } from './units.js';

/** Why a value is refused, as the end of a sentence that begins with the key. */
export class Mistake {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A value of one key: absent, or whatever `read` makes of it. */
export function value<Output>(read: (input: unknown) => Output | Mistake) {
  return z
    .unknown()
    .transform((input, context): Output | undefined => {
      if (input === undefined) return undefined;
      const output = input === null ? new Mistake('has no value; give one or remove the line') : read(input);
      if (!(output instanceof Mistake)) return output;
      context.issues.push({ code: 'custom', message: output.text, input });
      return z.NEVER;
    })
    .optional();
}

/** At most this much of a wrong value is repeated in the message. */
const SHOWN_CHARACTERS_MAX = 60;

export function shown(input: unknown): string {
  if (input === undefined) return 'nothing';
  const text = typeof input === 'string' ? `"${input}"` : JSON.stringify(input);
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

export function text(input: unknown): string | Mistake {
  if (typeof input === 'string' && input !== '' && !input.includes('\0')) return input;
  return new Mistake(`must be a text, not ${shown(input)}`);
}

export function yesOrNo(input: unknown): boolean | Mistake {
  if (input === true || input === 'true') return true;
  if (input === false || input === 'false') return false;
  return new Mistake(`must be true or false, not ${shown(input)}`);
}

function inRange(number: number, input: unknown, minimum: number, maximum: number): number | Mistake {
  if (number >= minimum && number <= maximum) return number;
  return new Mistake(`must be from ${minimum} to ${maximum}, not ${shown(input)}`);
}

export function whole(minimum: number, maximum: number) {
  return (input: unknown): number | Mistake => {
    const number = typeof input === 'string' && /^\d{1,15}$/.test(input) ? Number(input) : input;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
      return new Mistake(`must be a whole number, not ${shown(input)}`);
    }
    return inRange(number, input, minimum, maximum);
  };
}

export function size(minimumBytes: number, maximumBytes: number) {
  return (input: unknown): number | Mistake => {
    const bytes =
      typeof input === 'string' || typeof input === 'number' ? parseSizeBytes(String(input)) : undefined;
    if (bytes === undefined) return new Mistake(`${shown(input)} is no size; write it like 64MiB or 65536`);
    return inRange(bytes, input, minimumBytes, maximumBytes);
  };
}

export function duration(minimumMs: number, maximumMs: number) {
  return (input: unknown): number | Mistake => {
    const ms = typeof input === 'string' ? parseDurationMs(input) : undefined;
    if (ms === undefined) {
      return new Mistake(`${shown(input)} is no duration; write it with a unit, like 10s, 500ms or 24h`);
    }
    if (ms >= minimumMs && ms <= maximumMs) return ms;
    return new Mistake(
      `must be from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}, not ${shown(input)}`,
    );
  };
}

/** A list; one string is a list too, with commas between its items. */
export function list<Item>(what: string, read: (item: unknown) => Item | Mistake) {
  return (input: unknown): readonly Item[] | Mistake => {
    const items = typeof input === 'string' ? input.split(',').map((item) => item.trim()) : input;
    if (!Array.isArray(items)) return new Mistake(`must be a list of ${what}, not ${shown(input)}`);
    const result: Item[] = [];
    for (const item of items as unknown[]) {
      if (item === '') continue;
      const output = read(item);
      if (output instanceof Mistake) return output;
      result.push(output);
    }
    return result;
  };
}

export function oneOf<const Names extends readonly string[]>(names: Names) {
  return (input: unknown): Names[number] | Mistake => {
    if (names.includes(input as string)) return input as Names[number];
    const near = typeof input === 'string' ? nearestName(input, names) : undefined;
    const meant = near === undefined ? '' : `; did you mean ${near}?`;
    return new Mistake(`must be one of ${names.join(', ')}, not ${shown(input)}${meant}`);
  };
}

export function offOr<Output>(read: (input: unknown) => Output | Mistake) {
  // YAML 1.1 reads a bare `off` as false; it is meant all the same.
  return (input: unknown): Output | 'off' | Mistake =>
    input === 'off' || input === false ? 'off' : read(input);
}
