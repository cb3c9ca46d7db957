/**
 * `$line/alive`, `$line/network`, `$line/call`: what a device asks of the server beside endpoints, as a JSON text; the
 * answer comes as a message on the same topic for it alone. Works in MQTT 3.1.1, too.
 */
import { assert, limits, utf8Bytes } from '../../base/index.js';
import {
  callIntents,
  type Answer,
  type CallIntent,
  type Delivery,
  type HashNetwork,
  type LinkCommand,
  type Qos,
  type Question,
  type Refusal,
} from '../../domain/index.js';
import { decodeApplicationProperties, type PublishPacket } from '../../wire/mqtt/index.js';
import { readJsonObject } from './json-payload.js';
import { errorOf, lineAnswer, type AnswerPlace } from './line-answer.js';
import { mqttLimits } from './limits.js';

export const ALIVE_TOPIC = '$line/alive';
export const NETWORK_TOPIC = '$line/network';
export const CALL_TOPIC = '$line/call';

export type QuestionTopic = typeof ALIVE_TOPIC | typeof NETWORK_TOPIC | typeof CALL_TOPIC;

/** A question, with what its answer repeats. */
interface ReadQuestion {
  readonly question: Question;
  readonly repeated: object;
}

/** One that waits for the hub. */
interface Asked extends AnswerPlace {
  readonly repeated: object;
}

/** Those of one connection that wait for the hub. */
export class LineQuestions {
  readonly #asked = new Map<number, Asked>();
  #lastTicket = 0;

  /** What the hub is to be asked, or why it is not. */
  ask(topic: QuestionTopic, packet: PublishPacket, hashNetwork: HashNetwork): LinkCommand | Refusal {
    const read = readQuestion(topic, packet.payload, hashNetwork);
    if (read === undefined) return 'payload-invalid';
    if (this.#asked.size >= mqttLimits.questionsMax) return 'quota-exceeded';
    const { question, repeated } = read;
    const { responseTopic, correlationData } = decodeApplicationProperties(packet.properties) ?? {};
    const ticket = ++this.#lastTicket;
    this.#asked.set(ticket, {
      answerTopic: responseTopic ?? topic,
      correlationData: correlationData && new Uint8Array(correlationData),
      repeated,
    });
    const qos: Qos = packet.qos;
    return { kind: 'ask', ticket, question, qos, packetId: packet.packetId };
  }

  answer(ticket: number, answer: Answer): Delivery {
    const asked = this.#asked.get(ticket);
    assert(asked !== undefined, 'the hub answers what it was asked');
    this.#asked.delete(ticket);
    return lineAnswer(asked, { ...asked.repeated, ...membersOf(answer) });
  }
}

function membersOf(answer: Answer): object {
  switch (answer.about) {
    case 'alive': {
      const { canary } = answer;
      if (canary === undefined) return {};
      return { canary: { silence: canary.silenceMs, sent: canary.isSent, open: canary.isOpen } };
    }
    case 'network':
      return { hint: answer.hintMs };
    case 'call':
      return { outcome: answer.outcome };
    case 'refused':
      return { error: errorOf(answer.reason) };
  }
}

function readQuestion(
  topic: QuestionTopic,
  payload: Uint8Array,
  hashNetwork: HashNetwork,
): ReadQuestion | undefined {
  if (topic === ALIVE_TOPIC && payload.length === 0) return alive;
  const members = readJsonObject(payload, mqttLimits.questionBytesMax);
  if (members === undefined) return undefined;
  switch (topic) {
    case ALIVE_TOPIC:
      return alive;
    case NETWORK_TOPIC:
      return readNetwork(members, hashNetwork);
    case CALL_TOPIC:
      return readCall(members);
  }
}

const alive: ReadQuestion = { question: { about: 'alive' }, repeated: {} };

/** `{"network":"key","low":ms,"high":ms}`, of which `network` must be there; `high` comes with a lower `low`. */
function readNetwork(
  { network, low, high }: Record<string, unknown>,
  hashNetwork: HashNetwork,
): ReadQuestion | undefined {
  if (typeof network !== 'string' || network === '') return undefined;
  if (utf8Bytes(network) > mqttLimits.networkKeyBytesMax) return undefined;
  if (low !== undefined && !isSilence(low)) return undefined;
  if (high !== undefined && (!isSilence(high) || low === undefined || high <= low)) return undefined;
  return {
    question: { about: 'network', networkSha256: hashNetwork(network), lowMs: low },
    repeated: { network },
  };
}

/** `{"call":"id","intent":"answer|decline"}`. */
function readCall({ call, intent }: Record<string, unknown>): ReadQuestion | undefined {
  if (typeof call !== 'string' || call === '' || utf8Bytes(call) > mqttLimits.callIdBytesMax)
    return undefined;
  if (!callIntents.includes(intent as CallIntent)) return undefined;
  return { question: { about: 'call', call, intent: intent as CallIntent }, repeated: { call } };
}

function isSilence(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0 && Number(value) <= limits.networkSilenceMsMax;
}
