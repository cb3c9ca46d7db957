/** What a device publishes to the server itself and gets an answer to, by topic. A session has this once it has asked. */
import type { Delivery, LinkCommand, LinkEvent, Refusal } from '../../domain/index.js';
import type { PublishPacket } from '../../wire/mqtt/index.js';
import { ENDPOINT_TOPIC, EndpointRequests, readEndpointRequest } from './endpoint-requests.js';
import {
  ALIVE_TOPIC,
  CALL_TOPIC,
  LineQuestions,
  NETWORK_TOPIC,
  type QuestionTopic,
} from './line-questions.js';
import type { MqttSessionOptions } from './session-options.js';

const requestTopics = [ENDPOINT_TOPIC, ALIVE_TOPIC, NETWORK_TOPIC, CALL_TOPIC] as const;
type RequestTopic = (typeof requestTopics)[number];

/** What comes of a request at once. */
export type RequestStep =
  | { readonly command: LinkCommand }
  /** The hub is not asked; who asked is told why as far as the request could be read. */
  | { readonly refusal: Refusal; readonly answer?: Delivery };

type RequestAnswer = Extract<LinkEvent, { kind: 'registered' | 'unregistered' | 'answered' }>;

/** Whether a publication to this topic is a request. */
export function isRequestTopic(topic: string): topic is RequestTopic {
  return topic.startsWith('$line/') && requestTopics.includes(topic as RequestTopic);
}

export class LineRequests {
  #endpoints: EndpointRequests | null = null;
  #questions: LineQuestions | null = null;

  ask(topic: RequestTopic, packet: PublishPacket, options: MqttSessionOptions): RequestStep {
    if (topic === ENDPOINT_TOPIC) return this.#askEndpoint(packet, options);
    return this.#ask(topic, packet, options);
  }

  #askEndpoint(
    { payload, properties, qos, packetId }: PublishPacket,
    options: MqttSessionOptions,
  ): RequestStep {
    const request = readEndpointRequest(payload, properties);
    if (typeof request === 'string') return { refusal: request };
    const requests = (this.#endpoints ??= new EndpointRequests());
    const command = requests.ask(request, options.mintEndpoint, qos, packetId);
    if (typeof command === 'object') return { command };
    return { refusal: command, answer: requests.refuse(request, command) };
  }

  #ask(topic: QuestionTopic, packet: PublishPacket, options: MqttSessionOptions): RequestStep {
    const command = (this.#questions ??= new LineQuestions()).ask(topic, packet, options.hashNetwork);
    return typeof command === 'object' ? { command } : { refusal: command };
  }

  /** What the device is told of what the hub said. */
  answer(event: RequestAnswer): Delivery {
    return event.kind === 'answered'
      ? this.#questions!.answer(event.ticket, event.answer)
      : this.#endpoints!.answer(event.ticket, event.reason);
  }
}
