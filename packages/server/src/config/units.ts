/** Durations and sizes as people write them: `500ms`, `10s`, `24h`; `64KiB`, `1MB`, `200`. */

const durationUnitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const sizeUnitsBytes = {
  '': 1,
  B: 1,
  kB: 1_000,
  KB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
} as const;

/** Source of the regular expression of a duration, for JSON schemas. */
export const durationPattern = '^[0-9]{1,12}(\\.[0-9]{1,3})?(ms|s|m|h|d)$';

/** Milliseconds, rounded up; undefined when it is no duration. A bare number is none: it would be a guess. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text.trim());
  if (match === null) return undefined;
  return Math.ceil(Number(match[1]) * durationUnitsMs[match[2] as keyof typeof durationUnitsMs]);
}

/** A duration as it is written in a configuration, in the largest unit that leaves no rest: 7200000 is 2h. */
export function formatDuration(ms: number): string {
  const units = Object.entries(durationUnitsMs).sort(([, first], [, second]) => second - first);
  for (const [unit, unitMs] of units) if (ms !== 0 && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  return `${ms}ms`;
}

/** Bytes, rounded down; undefined when it is no size. A bare number means bytes. */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,3})?) ?([kKMG]?i?B|)$/.exec(text.trim());
  const unit = match?.[2];
  if (match === null || unit === undefined || !Object.hasOwn(sizeUnitsBytes, unit)) return undefined;
  const bytes = Math.floor(Number(match[1]) * sizeUnitsBytes[unit as keyof typeof sizeUnitsBytes]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
