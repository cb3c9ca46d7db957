/** Mozilla's push protocol on the wire: text frames of JSON to messages and back. */
export { decodeFrame, isChannelId, type DecodedFrame } from './decode-frame.js';
export { encodeFrame, FRAME_END } from './encode-frame.js';
export { webPushFrameLimits } from './frame-limits.js';
export type { MalformedFrame, MalformedReason, RefusedRequest } from './malformed.js';
export * from './messages.js';
