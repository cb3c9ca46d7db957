/**
 * What a server says in words, made fit to be shown to people and written to logs: it is not trusted to be short, or free of what moves
 * the cursor or turns the text around. Nothing is decided by it.
 */
import type { Properties } from '../../wire/mqtt/index.js';
import { mqttClientLimits } from './limits.js';

/** White space, control characters, and what changes the direction of what follows (Unicode TR 9 §2). */
const UNFIT = /[\s\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;

/** Each run of what is unfit is one space. What is longer ends in an ellipsis. */
export function shownText(text: string, charsMax: number): string {
  const shown = text.replaceAll(UNFIT, ' ').trim();
  const chars = Array.from(shown.slice(0, 2 * charsMax + 1));
  return chars.length <= charsMax ? shown : `${chars.slice(0, charsMax - 1).join('')}…`;
}

/** The reason string (MQTT 5.0 §3.2.2.3.9 and others) as a member to be spread; none where the server gives none. */
export function reasonIn({ reasonString }: Properties): { readonly reason?: string } {
  const reason = shownText(reasonString ?? '', mqttClientLimits.reasonCharsMax);
  return reason === '' ? {} : { reason };
}
