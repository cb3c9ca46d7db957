/**
 * Messages of the server as text frames. Frames stand one behind the other, each with a line feed at its end, which
 * no frame contains: so many of them leave a session as one array of bytes, and the socket sends each as a frame.
 */
import type { ByteWriter } from '../../base/index.js';
import { writeBase64Url } from './base64url.js';
import type { BroadcastVersion, NotificationHeaders, ServerMessage } from './messages.js';

/** What ends each frame: JSON has none but as white space, and none is written. */
export const FRAME_END = 0x0a;

/** Appends one frame and its end. */
export function encodeFrame(writer: ByteWriter, message: ServerMessage): void {
  if (message.type === 'notification') writeNotification(writer, message);
  else writer.writeUtf8(JSON.stringify(toJson(message)));
  writer.writeU8(FRAME_END);
}

function toJson(message: Exclude<ServerMessage, { type: 'notification' }>): object {
  switch (message.type) {
    case 'hello': {
      const { uaid, broadcasts } = message;
      return {
        messageType: 'hello',
        uaid,
        status: 200,
        use_webpush: true,
        broadcasts: toObject(broadcasts),
      };
    }
    case 'register': {
      const { channelId, status, pushEndpoint } = message;
      return { messageType: 'register', channelID: channelId, status, pushEndpoint };
    }
    case 'unregister':
      return { messageType: 'unregister', channelID: message.channelId, status: message.status };
    case 'broadcast': {
      const { broadcasts, unknown } = message;
      const errors = toObject(unknown.map((id) => [id, 'Broadcast not found']));
      return {
        messageType: 'broadcast',
        broadcasts: { ...toObject(broadcasts), ...(unknown.length > 0 && { errors }) },
      };
    }
    case 'urgency':
      return { messageType: 'urgency', status: message.status };
    case 'ping':
      return {};
  }
}

/** An id is the peer's or the operator's: `__proto__` is one like any other. */
function toObject(broadcasts: readonly BroadcastVersion[]): object {
  return Object.fromEntries(broadcasts);
}

/** Written in pieces: the content is neither copied nor made a text of. */
function writeNotification(
  writer: ByteWriter,
  { channelId, version, data, headers }: Extract<ServerMessage, { type: 'notification' }>,
): void {
  writer.writeUtf8(
    `{"messageType":"notification","channelID":${JSON.stringify(channelId)},"version":"${version}"`,
  );
  if (data.length > 0) {
    writer.writeUtf8(',"data":"');
    writeBase64Url(writer, data);
    writer.writeUtf8('"');
    const named = namedHeaders(headers);
    if (named !== undefined) writer.writeUtf8(`,"headers":${JSON.stringify(named)}`);
  }
  writer.writeUtf8('}');
}

function namedHeaders({ encoding, encryption, cryptoKey }: NotificationHeaders): object | undefined {
  if (encoding === undefined && encryption === undefined && cryptoKey === undefined) return undefined;
  return { encoding, encryption, crypto_key: cryptoKey };
}
