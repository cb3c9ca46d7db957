/** What the server itself tells a device on its line: a JSON text for that connection alone, without a subscription. */
import { encodeUtf8 } from '../../base/index.js';
import { noBytes, type Delivery, type Refusal } from '../../domain/index.js';
import { encodeApplicationProperties } from '../../wire/mqtt/index.js';
import { reasons } from './reasons.js';

/** Where an answer goes, and what it repeats (MQTT 5.0 §4.10). */
export interface AnswerPlace {
  readonly answerTopic: string;
  readonly correlationData: Uint8Array | undefined;
}

/** @param body undefined members are left out. */
export function lineAnswer({ answerTopic, correlationData }: AnswerPlace, body: object): Delivery {
  return {
    sequence: 0,
    qos: 0,
    retain: false,
    duplicate: false,
    topic: encodeUtf8(answerTopic),
    properties: correlationData === undefined ? noBytes : encodeApplicationProperties({ correlationData }),
    body: encodeUtf8(JSON.stringify(body)),
    expirySeconds: undefined,
    subscriptionIds: [],
  };
}

/** How an answer says that nothing was done. */
export function errorOf(reason: Refusal): { readonly code: Refusal; readonly message: string } {
  return { code: reason, message: reasons[reason].text };
}
