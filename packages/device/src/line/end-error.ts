/** Why a connection ended, or could not be had, as an app is told: with what to do about it, where that can be known. */
import { deviceLimits, type Status } from '@wakeline/core/device';
import { DeviceError } from '../errors.js';
import { reasonText } from './reason-text.js';

type End = Extract<Status, { readonly kind: 'waiting' | 'refused' }>['end'];

/** What OpenSSL says of an answer that is not TLS, by Node's code for it. */
const notTls: ReadonlySet<unknown> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_HTTP_REQUEST',
]);

/**
 * @param cause what the platform said, of an end by the network; undefined: it ended in peace.
 * @param wasOnline the connection had come about.
 */
export function endError(end: End, url: URL, cause: unknown, wasOnline: boolean): DeviceError {
  switch (end.cause) {
    case 'refused':
    case 'disconnected': {
      const { reasonCode, reason } = end;
      const what = end.cause === 'refused' ? 'refused the device' : 'ended the connection';
      return new DeviceError('REFUSED', `the server ${what} (${reasonText(reasonCode, reason)})`, {
        reasonCode,
        reason,
      });
    }
    case 'not-mqtt':
      return new DeviceError('NOT_MQTT', strangeText(end, url), { retryable: true });
    case 'timeout':
      return unconnected(`no answer from ${url.host} within ${deviceLimits.connectTimeoutMs / 1_000} s`);
    case 'protocol':
      return unconnected(`the server broke the rules of MQTT: ${end.detail}`);
    case 'network':
      return unconnected(networkText(url, cause, wasOnline), cause);
    case 'left':
      return unconnected('the connection was ended here');
  }
}

function unconnected(text: string, cause?: unknown): DeviceError {
  return new DeviceError('NOT_CONNECTED', text, { cause, retryable: true });
}

function strangeText(
  { looksLike, said }: Extract<End, { cause: 'not-mqtt' }>,
  { protocol, host }: URL,
): string {
  const isSecure = protocol === 'mqtts:' || protocol === 'wss:';
  const what = `what answers at ${host} is not MQTT`;
  switch (looksLike) {
    case 'HTTP':
      return `${what}; it looks like HTTP: use ${isSecure ? 'wss' : 'ws'}://${host}/mqtt, or the port of MQTT`;
    case 'TLS':
      return `${what}; it looks like TLS: use mqtts://${host}`;
    case 'SSH':
      return `${what}; it looks like SSH: use the port of MQTT`;
    case undefined:
      return `${what}${said === '' ? '' : `; it says '${said}'`}: check host and port`;
  }
}

function networkText({ protocol, host }: URL, cause: unknown, wasOnline: boolean): string {
  if (cause === undefined) {
    if (wasOnline) return 'the server ended the connection';
    const advice = protocol === 'mqtt:' ? `; if its port is one of TLS, use mqtts://${host}` : '';
    return `${host} ended the connection without an answer${advice}`;
  }
  const text = cause instanceof Error ? cause.message : String(cause);
  const isPlain = notTls.has((cause as { readonly code?: unknown } | null)?.code);
  const plain = protocol === 'wss:' ? 'ws' : 'mqtt';
  return isPlain ? `${text}; the port speaks no TLS: use ${plain}://${host}, or the port of TLS` : text;
}
