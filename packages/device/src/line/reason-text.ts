/** What a reason code of the server says, for people. */
import { ReasonCode } from '@wakeline/core/wire/mqtt';

/** Where the words of MQTT do not say what to do. */
const advice: Readonly<Record<number, string>> = {
  [ReasonCode.clientIdentifierNotValid]: 'the server does not take this deviceId',
  [ReasonCode.badUserNameOrPassword]: 'check deviceId and token',
  [ReasonCode.sessionTakenOver]: 'something else has connected as this device; each needs an id of its own',
};

/** The code in words, and the server's own, where it gives some. */
export function reasonText(code: number, reason: string | undefined): string {
  return withReason(codeText(code), reason);
}

/** With the server's own words, where it gives some. */
export function withReason(text: string, reason: string | undefined): string {
  return reason === undefined ? text : `${text}; the server says: ${reason}`;
}

/** Such as `0x86, bad user name or password: check deviceId and token`. */
function codeText(code: number): string {
  const hex = `0x${code.toString(16).padStart(2, '0')}`;
  const name = Object.entries(ReasonCode).find(([, known]) => known === code)?.[0];
  if (name === undefined) return hex;
  const words = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return advice[code] === undefined ? `${hex}, ${words}` : `${hex}, ${words}: ${advice[code]}`;
}
