/** What a policy has learned of networks, as it is stored: whether a value that was read back is that. */
import type { GapKnowledge } from './keepalive/index.js';
import type { NetworkKnowledge } from './types.js';

/** Whether a stored value is knowledge: what an adapter reads back is not trusted. Bounds are looked at by the policy. */
export function isNetworkKnowledge(value: unknown): value is NetworkKnowledge {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every(isGapKnowledge);
}

function isGapKnowledge(value: unknown): value is GapKnowledge {
  if (typeof value !== 'object' || value === null) return false;
  const { lowMs, highMs, highSinceMs } = value as Partial<Record<keyof GapKnowledge, unknown>>;
  if (typeof lowMs !== 'number') return false;
  return highMs === undefined ? highSinceMs === undefined : isNumber(highMs) && isNumber(highSinceMs);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number';
}
