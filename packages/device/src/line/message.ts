/** A message of the machine as the app gets it. */
import type { DeviceMessage } from '@wakeline/core/device';
import { decodeApplicationProperties } from '@wakeline/core/wire/mqtt';
import type { PushOutcome } from '../push/types.js';
import type { Message } from './types.js';

const INBOX = '$line/inbox/';

/** What becomes of a message; returns when the end of a handled one is stored. */
export type Finish = (message: DeviceMessage, isHandled: boolean) => Promise<void>;

export class LineMessage implements Message {
  readonly topic: string;
  readonly channel: string | undefined;
  body: Uint8Array;
  readonly contentType: string | undefined;
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
  readonly userProperties: readonly (readonly [string, string])[];
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly expirySeconds: number | undefined;
  readonly place: Message['place'];
  encryption: PushOutcome | undefined;
  readonly #message: DeviceMessage;
  readonly #finish: Finish;
  #end: Promise<void> | undefined;

  constructor(message: DeviceMessage, finish: Finish) {
    const { topic, body, properties, qos, retain, expirySeconds, place } = message;
    const decoded = decodeApplicationProperties(properties);
    this.topic = topic;
    this.channel = topic.startsWith(INBOX) ? topic.slice(INBOX.length) : undefined;
    this.body = body;
    this.contentType = decoded?.contentType;
    this.responseTopic = decoded?.responseTopic;
    this.correlationData = decoded?.correlationData?.slice();
    this.userProperties = decoded?.userProperties ?? [];
    this.qos = qos;
    this.retain = retain;
    this.expirySeconds = expirySeconds;
    this.place = place;
    this.#message = message;
    this.#finish = finish;
  }

  /** The app has said what becomes of it. */
  get isFinished(): boolean {
    return this.#end !== undefined;
  }

  /** It came encrypted; before the app gets it. */
  setOpened(body: Uint8Array, encryption: PushOutcome): void {
    this.body = body;
    this.encryption = encryption;
  }

  text(): string {
    return new TextDecoder().decode(this.body);
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  ack(): Promise<void> {
    return this.#finishOnce(true);
  }

  giveBack(): void {
    void this.#finishOnce(false);
  }

  #finishOnce(isHandled: boolean): Promise<void> {
    if (this.#end === undefined) {
      this.#end = this.#finish(this.#message, isHandled);
      // Whoever does not wait for it must not be ended by it.
      this.#end.catch(() => undefined);
    }
    return this.#end;
  }
}
