/** The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header) and what a key is bound to. */
import { createHash } from 'node:crypto';
import type { IdempotencyKey } from '@wakeline/core/domain';
import { HttpError } from './errors.js';

/** As `IdempotencyKey.key`. */
const KEY_CHARACTERS_MAX = 255;

/** Room for `/999` behind the key of a batch. */
const BATCH_KEY_CHARACTERS_MAX = KEY_CHARACTERS_MAX - 4;

export interface IdempotencyRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly header: string | string[] | undefined;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

/**
 * The key of a request, or undefined when it has none. The draft's quoted form and the bare form name the same key.
 * @throws HttpError idempotency-key-invalid
 */
export function readIdempotencyKey(
  request: IdempotencyRequest,
  owner: string,
  isBatch: boolean,
): IdempotencyKey | undefined {
  const { header } = request;
  if (header === undefined) return undefined;
  const text = typeof header === 'string' ? header.trim() : '';
  // RFC 9651 §3.3.3: a structured-field string.
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text)?.[1];
  const key = quoted === undefined ? text : quoted.replaceAll(/\\(.)/g, '$1');
  const longest = isBatch ? BATCH_KEY_CHARACTERS_MAX : KEY_CHARACTERS_MAX;
  if (key.length === 0 || key.length > longest || !/^[\x20-\x7e]+$/.test(key)) {
    throw new HttpError(
      'idempotency-key-invalid',
      `the Idempotency-Key must have 1 to ${longest} printable ASCII characters`,
    );
  }
  const hash = createHash('sha256');
  for (const part of [request.method, request.url, request.contentType ?? '']) hash.update(`${part}\n`);
  return { owner, key, requestSha256: hash.update(request.body).digest('hex') };
}

/** The key of one message of a batch. */
export function keyOfItem(key: IdempotencyKey | undefined, index: number): IdempotencyKey | undefined {
  return key === undefined ? undefined : { ...key, key: `${key.key}/${index}` };
}
