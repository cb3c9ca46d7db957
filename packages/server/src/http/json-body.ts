/** Reads a JSON body strictly: UTF-8 only, bounded in depth before anything is built. */
import { HttpError } from './errors.js';

/** Levels of arrays and objects; no request needs more than four. */
export const JSON_DEPTH_MAX = 16;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The value in `bytes`. @throws HttpError body-invalid */
export function parseJsonBody(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new HttpError('body-invalid', 'the body is not UTF-8');
  }
  if (isTooDeep(text)) {
    throw new HttpError('body-invalid', `the body nests more than ${JSON_DEPTH_MAX} arrays and objects`);
  }
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message would repeat a piece of the body.
    throw new HttpError('body-invalid', 'the body is not JSON');
  }
}

function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charCodeAt(index);
    if (character === 0x22) {
      // A string: skip to its end; what is unterminated the parser refuses.
      for (index += 1; index < text.length && text.charCodeAt(index) !== 0x22; index += 1) {
        if (text.charCodeAt(index) === 0x5c) index += 1;
      }
    } else if (character === 0x5b || character === 0x7b) {
      depth += 1;
      if (depth > JSON_DEPTH_MAX) return true;
    } else if (character === 0x5d || character === 0x7d) depth -= 1;
  }
  return false;
}
