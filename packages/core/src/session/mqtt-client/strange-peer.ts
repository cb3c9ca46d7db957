/**
 * Tells what answers where a server of MQTT was looked for, by its first bytes: URLs with the port of another protocol are a common
 * mistake, and whoever makes it wants to hear which one. Beyond these bytes nothing of other protocols is known here.
 */
import { mqttClientLimits } from './limits.js';
import { shownText } from './server-text.js';

/** What has answered, where that can be told. */
export type StrangePeer = 'HTTP' | 'TLS' | 'SSH';

/** undefined: it may be MQTT, and is the decoder's. more: a few bytes more will tell. */
export type FirstLook = { readonly looksLike: StrangePeer | undefined } | 'more' | undefined;

/** MQTT 5.0 §3.2.1: the first byte of CONNACK, which is the first packet of a server. */
const CONNACK = 0x20;
/** So many bytes of text are no packet of MQTT. */
const TEXT_BYTES = 8;

const beginnings: readonly (readonly [StrangePeer, readonly number[]])[] = [
  ['HTTP', bytesOf('HTTP/')],
  ['SSH', bytesOf('SSH-')],
  // RFC 8446 §5.1: an alert, or a handshake, of any version.
  ['TLS', [0x15, 0x03]],
  ['TLS', [0x16, 0x03]],
];

/** @param isAll nothing more will come. */
export function lookAtFirst(bytes: Uint8Array, isAll: boolean): FirstLook {
  const [first] = bytes;
  if (first === undefined || first === CONNACK) return undefined;
  const found = beginnings.find(([, beginning]) => beginning.every((byte, index) => byte === bytes[index]));
  if (found !== undefined) return { looksLike: found[0] };
  const begins = beginnings.some(([, beginning]) =>
    bytes.every((byte, index) => index >= beginning.length || byte === beginning[index]),
  );
  const isText = bytes
    .subarray(0, TEXT_BYTES)
    .every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 0x09 && byte <= 0x0d));
  if (!isText && !begins) return undefined;
  if (bytes.length < TEXT_BYTES && !isAll) return 'more';
  return { looksLike: undefined };
}

/** As text, as far as it is some. */
export function firstWords(bytes: Uint8Array): string {
  const { strangeBytesMax } = mqttClientLimits;
  const text = String.fromCharCode(...bytes.subarray(0, strangeBytesMax));
  return shownText(text.replaceAll(/[^\x20-\x7e]+/g, ' '), strangeBytesMax);
}

function bytesOf(text: string): readonly number[] {
  return [...text].map((char) => char.charCodeAt(0));
}
