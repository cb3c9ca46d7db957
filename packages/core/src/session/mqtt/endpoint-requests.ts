/**
 * `$line/endpoint`: a device asks for the Web Push endpoint of a channel, or ends it, as a JSON text; the answer comes
 * as a message for it alone. Works in MQTT 3.1.1, which has no request and response of its own.
 */
import { assert } from '../../base/index.js';
import {
  isChannel,
  normalizeVapidKey,
  type Delivery,
  type LinkCommand,
  type MintEndpoint,
  type Qos,
  type Refusal,
} from '../../domain/index.js';
import { decodeApplicationProperties } from '../../wire/mqtt/index.js';
import { readJsonObject } from './json-payload.js';
import { errorOf, lineAnswer, type AnswerPlace } from './line-answer.js';
import { mqttLimits } from './limits.js';

/** The topic to ask on; private to each device, and for publishing only. */
export const ENDPOINT_TOPIC = '$line/endpoint';

/** What a device asks for. */
export interface EndpointRequest extends AnswerPlace {
  readonly channel: string;
  /** As `normalizeVapidKey` has it; undefined: the endpoint is for everybody who knows it. */
  readonly vapidKey: string | undefined;
  /** The endpoint is to end. */
  readonly isEnd: boolean;
  /** Why it cannot be: told in the answer. */
  readonly refusal: Refusal | undefined;
}

/**
 * `{"channel":"NAME","key":"VAPID key","end":true}`, of which `channel` must be there; other members are left alone.
 * Otherwise, and when there is no topic for an answer, the reason why it is refused.
 */
export function readEndpointRequest(payload: Uint8Array, properties: Uint8Array): EndpointRequest | Refusal {
  const members = readJsonObject(payload, mqttLimits.endpointRequestBytesMax);
  if (members === undefined) return 'payload-invalid';
  const { channel, key, end } = members;
  if (typeof channel !== 'string') return 'payload-invalid';
  if (end !== undefined && typeof end !== 'boolean') return 'payload-invalid';
  if (key !== undefined && typeof key !== 'string') return 'payload-invalid';
  const { responseTopic, correlationData } = decodeApplicationProperties(properties) ?? {};
  const isChannelValid = isChannel(channel);
  if (!isChannelValid && responseTopic === undefined) return 'channel-invalid';
  const vapidKey = key === undefined ? undefined : normalizeVapidKey(key);
  const isKeyInvalid = key !== undefined && vapidKey === undefined;
  return {
    channel,
    vapidKey,
    isEnd: end === true,
    answerTopic: responseTopic ?? `${ENDPOINT_TOPIC}/${channel}`,
    correlationData: correlationData && new Uint8Array(correlationData),
    refusal: isChannelValid ? (isKeyInvalid ? 'key-invalid' : undefined) : 'channel-invalid',
  };
}

/** A request that the hub was asked, with the endpoint that it is to have. */
interface Asked {
  readonly request: EndpointRequest;
  readonly url: string | undefined;
}

/** Those of one connection that wait for the hub. */
export class EndpointRequests {
  readonly #asked = new Map<number, Asked>();
  #lastTicket = 0;

  /** What the hub is to be asked, or why it is not. */
  ask(
    request: EndpointRequest,
    mint: MintEndpoint | undefined,
    qos: Qos,
    packetId: number,
  ): LinkCommand | Refusal {
    if (request.refusal !== undefined) return request.refusal;
    if (this.#asked.size >= mqttLimits.endpointRequestsMax) return 'quota-exceeded';
    const { channel, vapidKey, isEnd } = request;
    const minted = isEnd ? undefined : mint?.();
    if (!isEnd && minted === undefined) return 'endpoints-off';
    const ticket = ++this.#lastTicket;
    this.#asked.set(ticket, { request, url: minted?.url });
    if (minted === undefined) return { kind: 'unregister', ticket, channel, qos, packetId };
    const { tokenSha256 } = minted;
    return { kind: 'register', ticket, channel, tokenSha256, vapidKey, qos, packetId };
  }

  /** The answer for the device to what was not asked. */
  refuse(request: EndpointRequest, reason: Refusal): Delivery {
    return answerOf(request, undefined, reason);
  }

  /** The answer for the device to what the hub said. */
  answer(ticket: number, reason: Refusal | undefined): Delivery {
    const asked = this.#asked.get(ticket);
    assert(asked !== undefined, 'the hub answers what it was asked');
    this.#asked.delete(ticket);
    return answerOf(asked.request, asked.url, reason);
  }
}

/** `url`: of the endpoint that was made; undefined: it was ended, or `reason` says why not. */
function answerOf(
  { channel, ...place }: EndpointRequest,
  url: string | undefined,
  reason: Refusal | undefined,
): Delivery {
  const answer =
    reason !== undefined
      ? { channel, error: errorOf(reason) }
      : url === undefined
        ? { channel, ended: true }
        : { channel, endpoint: url };
  return lineAnswer(place, answer);
}
