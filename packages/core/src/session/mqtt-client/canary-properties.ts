/**
 * How a device asks for a canary, and hears that it may: user properties of CONNECT and CONNACK. A server that does not know
 * canaries would let one take the place of the device's own connection, so none is asked for unless the server has offered it.
 */
import type { Properties } from '../../wire/mqtt/index.js';
import { CANARY_PROPERTY } from '../mqtt/canary.js';

/** Makes of a CONNECT one that opens a canary. */
export function canaryRequest(silenceMs: number): readonly [string, string] {
  return [CANARY_PROPERTY, String(silenceMs)];
}

/** The longest silence that the server takes, ms; 0: it takes no canaries. */
export function canarySilenceMsMaxIn({ userProperties }: Properties): number {
  const value = userProperties?.find(([name]) => name === CANARY_PROPERTY)?.[1];
  return value !== undefined && /^[1-9][0-9]{0,8}$/.test(value) ? Number(value) : 0;
}
