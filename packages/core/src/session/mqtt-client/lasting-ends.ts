/** Which ends of a connection another attempt does not mend. */
import { ReasonCode } from '../../wire/mqtt/index.js';
import type { ClientEnd } from './client.js';

const lasting: ReadonlySet<number> = new Set([
  ReasonCode.unsupportedProtocolVersion,
  ReasonCode.clientIdentifierNotValid,
  ReasonCode.badUserNameOrPassword,
  ReasonCode.notAuthorized,
  ReasonCode.banned,
  ReasonCode.badAuthenticationMethod,
  // Another connection of the same device: two that took each other's place would do so for ever.
  ReasonCode.sessionTakenOver,
]);

/** Whether to connect again would end in the same way until somebody changes something. */
export function isLastingEnd(end: ClientEnd): boolean {
  return (end.cause === 'refused' || end.cause === 'disconnected') && lasting.has(end.reasonCode);
}
