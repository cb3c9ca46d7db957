/** User agents and endpoints for the hub's tests, and what is pushed to them. */
import assert from 'node:assert/strict';
import { encodeUtf8 } from '../../src/base/index.js';
import { Urgency, encodePushHeaders } from '../../src/domain/index.js';
import type { ControlReply, ControlRequest, LinkCommand, MessageStatus } from '../../src/domain/index.js';
import { text } from './world.js';
import type { TestFlow, World } from './world.js';

export const hashOf = (digit: string): string => digit.repeat(64);
export const KEY = `BP${'A'.repeat(85)}`;
export const OTHER_KEY = `BO${'A'.repeat(85)}`;

/** A user agent comes; `secret` is the one it presents, `fresh` what it is to have if that is unknown. */
export async function agent(world: World, fresh: string, secret?: string, peer?: string): Promise<TestFlow> {
  const flow = world.openAgent(hashOf(fresh), secret === undefined ? undefined : hashOf(secret), peer);
  await world.sync();
  return flow;
}

export async function register(
  world: World,
  flow: TestFlow,
  channel: string,
  token: string,
  more: Partial<LinkCommand & { kind: 'register' }> = {},
): Promise<void> {
  const defaults = { ticket: 1, vapidKey: undefined, qos: 0, packetId: 0 } as const;
  flow.send({ kind: 'register', channel, tokenSha256: hashOf(token), ...defaults, ...more });
  await world.sync();
}

export async function unregister(world: World, flow: TestFlow, channel: string): Promise<void> {
  flow.send({ kind: 'unregister', ticket: 2, channel, qos: 0, packetId: 0 });
  await world.sync();
}

export interface PushOptions {
  readonly expirySeconds?: number;
  readonly urgency?: Urgency;
  readonly replaceKey?: string;
  readonly vapidKey?: string;
  readonly wantsReceipt?: boolean;
}

export function pushTo(token: string, body: string, options: PushOptions = {}) {
  const {
    expirySeconds = 60,
    urgency = Urgency.normal,
    replaceKey,
    vapidKey,
    wantsReceipt = false,
  } = options;
  const properties = encodePushHeaders({
    encoding: 'aes128gcm',
    encryption: undefined,
    cryptoKey: undefined,
  });
  const message = { body: encodeUtf8(body), properties, qos: 1 as const, expirySeconds, urgency, replaceKey };
  return { kind: 'push', tokenSha256: hashOf(token), vapidKey, message, wantsReceipt } as const;
}

export async function push(
  world: World,
  token: string,
  body: string,
  options: PushOptions = {},
): Promise<ControlReply & { kind: 'pushed' }> {
  const reply = await world.request(pushTo(token, body, options));
  assert(reply.kind === 'pushed', JSON.stringify(reply));
  return reply;
}

export async function refusalOf(world: World, token: string, options: PushOptions = {}): Promise<string> {
  const reply = await world.request(pushTo(token, 'x', options));
  return reply.kind === 'refused' ? reply.reason : reply.kind;
}

export async function statusOf(world: World, messageId: string | undefined): Promise<MessageStatus> {
  const reply = await world.request({ kind: 'get-message', messageId: messageId! });
  assert(reply.kind === 'message');
  return reply.message;
}

export const registeredReasons = (flow: TestFlow) => flow.all('registered').map(({ reason }) => reason);
export const topics = (flow: TestFlow): string[] => flow.deliveries.map(({ topic }) => text(topic));

let ids = 0;
/** A name for a watch. */
export const newId = (): string => `watch ${++ids}`;

/** Waits for another stage of a message than `stored`. */
export function watchOf(
  messageId: string | undefined,
  more: Partial<ControlRequest & { kind: 'watch-message' }> = {},
) {
  const defaults = {
    knownStage: 'stored',
    waitMs: 9_000,
    watchId: newId(),
    addressKey: '192.0.2.1',
  } as const;
  return { kind: 'watch-message', messageId: messageId!, ...defaults, ...more } as const;
}
