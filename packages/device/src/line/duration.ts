/** Lengths of time as an app writes them. */
import { DeviceError } from '../errors.js';
import type { Duration } from './types.js';

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * A duration in ms, a whole number within the range.
 *
 * @param name for the message.
 * @throws DeviceError OPTION_INVALID
 */
export function parseDuration(value: Duration, name: string, msMin: number, msMax: number): number {
  const ms = typeof value === 'number' ? value : parseText(value);
  if (ms !== undefined && ms >= msMin && ms <= msMax) return Math.round(ms);
  throw new DeviceError(
    'OPTION_INVALID',
    `${name} is a number of ms, or a text such as '500ms', '10s', '4m', '2h' or '7d', from ${msMin} to ${msMax} ms`,
  );
}

function parseText(text: unknown): number | undefined {
  const match = typeof text === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) : null;
  return match === null ? undefined : Number(match[1]) * units[match[2]!]!;
}
