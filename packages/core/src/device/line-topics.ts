/** What a device asks of its server below `$line/`, and the JSON texts that answer. What the server says is not trusted. */
import { decodeUtf8, encodeUtf8 } from '../base/index.js';
import { noBytes } from '../domain/index.js';
import type { ClientPublication } from '../session/mqtt-client/index.js';

/** Topics; asked on and answered on, but for `state`, which is not answered, and `calls`, on which messages about calls come. */
export const lineTopics = {
  alive: '$line/alive',
  call: '$line/call',
  calls: '$line/inbox/calls',
  canary: '$line/canary',
  network: '$line/network',
  state: '$line/state',
} as const;

/** A question; undefined: with an empty body. */
export function lineQuestion(
  topic: string,
  value: Readonly<Record<string, unknown>> | undefined,
  qos: 0 | 1 = 0,
): ClientPublication {
  const body = value === undefined ? noBytes : encodeUtf8(JSON.stringify(value));
  return { topic, body, properties: noBytes, qos, expirySeconds: undefined };
}

/** The members of a body that is a JSON object; undefined: it is none. */
export function readObject(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  const text = decodeUtf8(body, 0, body.length);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isObject(value) ? value : undefined;
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
