/** What a device's machine knows of its main connection, and of one that died. */
import { NEVER, type InstantMs } from '../base/index.js';
import { MqttClient } from '../session/mqtt-client/index.js';
import { deviceLimits } from './limits.js';
import type { DeviceOptions } from './types.js';

/** The connection that is open, or being opened. */
export interface MainConnection {
  readonly number: number;
  readonly client: MqttClient;
  receiveMaximum: number;
  /** The server wants to hear something so often, ms; NEVER: it does not. */
  sendGapMs: number;
  /** Monotonic ms. */
  receivedMs: number;
  sentMs: number;
  /** When the answer to a ping is due; NEVER: none is awaited. */
  answerDueMs: number;
  /** The silence after which it was asked, ms; 0: it was asked for another reason. */
  askedGapMs: number;
}

/** One whose transport is being opened. */
export function newMainConnection(now: InstantMs, number: number, options: DeviceOptions): MainConnection {
  const { deviceId: clientId, username, password, sessionExpirySeconds } = options;
  const client = new MqttClient(now, {
    clientId,
    username,
    password,
    sessionExpirySeconds,
    receiveMaximum: deviceLimits.inflightMax,
    packetBytesMax: deviceLimits.packetBytesMax,
    connectTimeoutMs: deviceLimits.connectTimeoutMs,
  });
  return {
    number,
    client,
    receiveMaximum: 0,
    sendGapMs: NEVER,
    receivedMs: now.monotonic,
    sentMs: now.monotonic,
    answerDueMs: NEVER,
    askedGapMs: 0,
  };
}

/** A connection that did not answer, until another one shows whether the network was there. */
export class Death {
  readonly #gapMs: number;
  readonly #key: string | undefined;
  readonly #sinceMs: number;
  /** An attempt was begun since. */
  #isTried = false;

  constructor(nowMs: number, key: string | undefined, gapMs: number) {
    this.#sinceMs = nowMs;
    this.#key = key;
    this.#gapMs = gapMs;
  }

  /** True once: whether the network was there at all is to be known at once. */
  takeTry(): boolean {
    const isFirst = !this.#isTried;
    this.#isTried = true;
    return isFirst;
  }

  /** A connection has opened: after which silence the last one was dead; undefined: the network was not there, or is another. */
  judge(nowMs: number, key: string | undefined, pathMs: number = deviceLimits.pathMs): number | undefined {
    return key === this.#key && nowMs - this.#sinceMs <= pathMs ? this.#gapMs : undefined;
  }
}
