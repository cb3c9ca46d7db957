/**
 * One text frame of a client to its message. Looks at size and nesting before anything is made of the text; every
 * frame that is no message is a value with a reason.
 *
 * Members that are not known are left alone: clients send some of their own (`channelIDs`, `use_webpush`, `wakeup_hostport`).
 */
import { decodeUtf8 } from '../../base/index.js';
import { webPushFrameLimits as limits } from './frame-limits.js';
import { malformed, type MalformedFrame, type RefusedRequest } from './malformed.js';
import {
  AckCode,
  frameUrgencies,
  NackCode,
  type AckUpdate,
  type BroadcastVersion,
  type ClientMessage,
  type FrameUrgency,
} from './messages.js';

export type DecodedFrame = ClientMessage | MalformedFrame | RefusedRequest;

type Members = Readonly<Record<string, unknown>>;

/** `bytes` is the whole content of one text frame; it may be reused after the call. */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  if (bytes.length > limits.frameBytesMax) {
    return malformed('packet-too-large', `a frame has at most ${limits.frameBytesMax} bytes`);
  }
  if (nestsDeeperThan(bytes, limits.frameDepthMax)) {
    return malformed(
      'packet-malformed',
      `at most ${limits.frameDepthMax} objects and lists within each other`,
    );
  }
  const text = decodeUtf8(bytes, 0, bytes.length);
  if (text === undefined) return malformed('packet-malformed', 'the frame is not UTF-8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return malformed('packet-malformed', 'the frame is not JSON');
  }
  return isObject(value) ? readMessage(value) : malformed('packet-malformed', 'the frame is no JSON object');
}

/** Brackets outside of texts. Of what is no JSON any answer will do: it is refused later. */
function nestsDeeperThan(bytes: Uint8Array, depthMax: number): boolean {
  let depth = 0;
  let isInText = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (isInText) {
      if (byte === 0x5c) index += 1;
      else if (byte === 0x22) isInText = false;
    } else if (byte === 0x22) isInText = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return false;
}

function readMessage(members: Members): DecodedFrame {
  const { messageType } = members;
  switch (messageType) {
    case undefined:
      return Object.keys(members).length === 0 ? ping : malformed('protocol-error', 'messageType is missing');
    case 'ping':
      return ping;
    case 'hello':
      return readHello(members);
    case 'register':
      return readRegister(members);
    case 'unregister':
      return readUnregister(members);
    case 'ack':
      return readAck(members);
    case 'nack':
      return readNack(members);
    case 'broadcast_subscribe': {
      const broadcasts = readBroadcasts(members.broadcasts);
      return 'type' in broadcasts ? broadcasts : { type: 'broadcast-subscribe', broadcasts };
    }
    case 'urgency':
      return frameUrgencies.includes(members.min as FrameUrgency)
        ? { type: 'urgency', min: members.min as FrameUrgency }
        : malformed('protocol-error', 'min is very-low, low, normal or high');
    default:
      return malformed('protocol-error', 'the messageType is not known');
  }
}

function readHello(members: Members): DecodedFrame {
  const { uaid } = members;
  if (uaid !== undefined && uaid !== null && typeof uaid !== 'string') {
    return malformed('protocol-error', 'uaid is a text');
  }
  if (typeof uaid === 'string' && uaid.length > limits.uaidCharactersMax) {
    return malformed('protocol-error', `a uaid has at most ${limits.uaidCharactersMax} characters`);
  }
  // Firefox sends null before it has read its listeners.
  const broadcasts = readBroadcasts(members.broadcasts ?? {});
  if ('type' in broadcasts) return broadcasts;
  return { type: 'hello', uaid: uaid === '' || uaid === null ? undefined : uaid, broadcasts };
}

function readRegister(members: Members): DecodedFrame {
  const { channelID: channelId, key } = members;
  if (typeof channelId !== 'string') return malformed('protocol-error', 'channelID is a text');
  if (!isChannelId(channelId)) return refused('register', channelId, notAChannelId);
  if (key === undefined || key === null || key === '') return { type: 'register', channelId, key: undefined };
  return typeof key === 'string' && key.length <= limits.keyCharactersMax
    ? { type: 'register', channelId, key }
    : refused('register', channelId, `key is a text of at most ${limits.keyCharactersMax} characters`);
}

function readUnregister(members: Members): DecodedFrame {
  const { channelID: channelId, code } = members;
  if (typeof channelId !== 'string') return malformed('protocol-error', 'channelID is a text');
  if (!isChannelId(channelId)) return refused('unregister', channelId, notAChannelId);
  return { type: 'unregister', channelId, code: Number.isSafeInteger(code) ? Number(code) : undefined };
}

function readAck(members: Members): DecodedFrame {
  const { updates } = members;
  if (!Array.isArray(updates)) return malformed('protocol-error', 'updates is a list');
  const result: AckUpdate[] = [];
  for (const update of updates as unknown[]) {
    if (!isObject(update)) return malformed('protocol-error', 'an update is an object');
    const { channelID: channelId, version, code } = update;
    if (typeof channelId !== 'string' || !isChannelId(channelId)) {
      return malformed('protocol-error', 'an update has a channelID');
    }
    if (!isVersion(version)) return malformed('protocol-error', 'an update has a version');
    // KUnifiedPush sends no code; one that is not known says no more than that the client has the message.
    const isFailure = code === AckCode.notDecrypted || code === AckCode.notDelivered;
    result.push({ channelId, version, code: isFailure ? code : AckCode.delivered });
  }
  return { type: 'ack', updates: result };
}

function readNack(members: Members): DecodedFrame {
  const { version, code } = members;
  if (!isVersion(version)) return malformed('protocol-error', 'a nack has a version');
  const isKnown = code === NackCode.uncaughtException || code === NackCode.unhandledRejection;
  return { type: 'nack', version, code: isKnown ? code : NackCode.internalError };
}

function readBroadcasts(value: unknown): readonly BroadcastVersion[] | MalformedFrame {
  if (!isObject(value)) return malformed('protocol-error', 'broadcasts is an object');
  const entries = Object.entries(value);
  if (entries.length > limits.broadcastsMax) {
    return malformed('protocol-error', `a frame names at most ${limits.broadcastsMax} broadcasts`);
  }
  const broadcasts: BroadcastVersion[] = [];
  for (const [id, version] of entries) {
    if (typeof version !== 'string' || Math.max(id.length, version.length) > limits.broadcastTextMax) {
      return malformed(
        'protocol-error',
        `ids and versions of broadcasts are texts of at most ${limits.broadcastTextMax}`,
      );
    }
    broadcasts.push([id, version]);
  }
  return broadcasts;
}

const CHANNEL_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ping = { type: 'ping' } as const;
const notAChannelId = 'channelID is a lower-case dashed UUID';

/** Whether this is a lower-case dashed UUID, of whatever version. */
export function isChannelId(text: string): boolean {
  return CHANNEL_ID.test(text);
}

function isVersion(value: unknown): value is string {
  return typeof value === 'string' && value.length <= limits.versionCharactersMax;
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(request: RefusedRequest['request'], channelId: string, detail: string): RefusedRequest {
  return {
    type: 'refused-request',
    request,
    channelId: channelId.slice(0, limits.channelIdEchoMax),
    detail,
  };
}
