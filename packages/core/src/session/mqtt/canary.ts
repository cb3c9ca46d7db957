/**
 * A canary: a second connection of a device, which takes over nothing and waits for one push after a silence. MQTT 5.0
 * only, since it is asked for with a user property of CONNECT.
 */
import { limits } from '../../base/index.js';
import type { Delivery } from '../../domain/index.js';
import type { Packet, Properties } from '../../wire/mqtt/index.js';
import { lineAnswer } from './line-answer.js';

/** User property of CONNECT that makes the connection a canary; its value is the silence, ms, decimal. */
export const CANARY_PROPERTY = 'wakeline-canary';

/** Where the push arrives. */
export const CANARY_TOPIC = '$line/canary';

/** The silence asked for, ms; undefined: it is no canary. */
export function canarySilence({ userProperties }: Properties): number | 'canary-invalid' | undefined {
  const values = userProperties?.filter(([name]) => name === CANARY_PROPERTY) ?? [];
  if (values.length === 0) return undefined;
  const [, text] = values[0]!;
  if (values.length > 1 || !/^[1-9][0-9]{0,8}$/.test(text)) return 'canary-invalid';
  const silenceMs = Number(text);
  const { canarySilenceMsMin, canarySilenceMsMax } = limits;
  return silenceMs < canarySilenceMsMin || silenceMs > canarySilenceMsMax ? 'canary-invalid' : silenceMs;
}

/** A canary says nothing else: it is no connection for messages. */
export function mayCanarySend(packet: Packet): boolean {
  return packet.type === 'pingreq' || packet.type === 'disconnect' || packet.type === 'connect';
}

/** The one message that it gets. */
export function canaryPush(silenceMs: number): Delivery {
  return lineAnswer({ answerTopic: CANARY_TOPIC, correlationData: undefined }, { silence: silenceMs });
}
