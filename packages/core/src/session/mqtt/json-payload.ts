/** What devices publish to the server itself is a JSON object; members that are not known are left alone. */
import { decodeUtf8 } from '../../base/index.js';

/** Undefined: it is larger than `bytesMax`, no UTF-8, no JSON, or no object. */
export function readJsonObject(payload: Uint8Array, bytesMax: number): Record<string, unknown> | undefined {
  if (payload.length > bytesMax) return undefined;
  const text = decodeUtf8(payload, 0, payload.length);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    // What a peer sent is no JSON: that is the answer.
    return undefined;
  }
}
