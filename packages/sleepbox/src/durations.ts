/** Durations as people write them on the command line: `500ms`, `10s`, `9m`, `6h`. */
import { SleepboxError } from './errors.js';

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;

/**
 * Milliseconds of a written duration. A unit is required: a bare number means seconds to one and milliseconds to another.
 * @throws SleepboxError BAD_DURATION
 */
export function parseDuration(text: string, range: { min: number; max: number }, what: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text);
  if (match === null) {
    throw new SleepboxError(
      'BAD_DURATION',
      `${what}: "${text}" is not a duration; write it like 10s or 500ms`,
    );
  }
  const ms = Math.round(Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs]);
  if (ms < range.min || ms > range.max) {
    const between = `${formatDuration(range.min)} and ${formatDuration(range.max)}`;
    throw new SleepboxError('BAD_DURATION', `${what}: ${text} is not between ${between}`);
  }
  return ms;
}

/** A duration in the largest unit that divides it: 600000 is `10m`, 1500 is `1500ms`. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms % unitsMs.h === 0) return `${ms / unitsMs.h}h`;
  if (ms > 0 && ms % unitsMs.m === 0) return `${ms / unitsMs.m}m`;
  if (ms % unitsMs.s === 0) return `${ms / unitsMs.s}s`;
  return `${ms}ms`;
}
