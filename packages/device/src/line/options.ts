/** The options of a line, checked once: what is unknown or not allowed is refused by name. */
import {
  fixedKeepalive,
  keepAwake,
  noKeepalive,
  PairedCanary,
  type KeepalivePolicy,
} from '@wakeline/core/device';
import { DeviceError } from '../errors.js';
import type { Transport } from '../ports/index.js';
import { parseDuration } from './duration.js';
import type { Keepalive, LineOptions, LineParts } from './types.js';

const DAY_MS = 86_400_000;
const YEAR_DAYS = 365;

export interface LineSettings {
  readonly url: URL;
  readonly transport: Transport;
  readonly deviceId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  readonly keepalive: KeepalivePolicy;
  readonly sessionExpirySeconds: number;
  readonly inbox: boolean;
  readonly warn: (warning: DeviceError) => void;
}

const keys: Record<keyof LineOptions, true> = {
  url: true,
  deviceId: true,
  token: true,
  username: true,
  password: true,
  keepalive: true,
  sessionExpiry: true,
  inbox: true,
  signal: true,
  onWarning: true,
};

/** @throws DeviceError OPTION_INVALID */
export function parseOptions(options: LineOptions, parts: LineParts): LineSettings {
  const stranger = Object.keys(options).find((key) => !Object.hasOwn(keys, key));
  if (stranger !== undefined) {
    throw invalid(`there is no option '${stranger}'; there are ${Object.keys(keys).join(', ')}`);
  }
  const { deviceId, token, username, password, sessionExpiry = '30d', inbox = true } = options;
  if (typeof deviceId !== 'string' || deviceId === '') throw invalid('deviceId is a text that is not empty');
  if (token !== undefined && (username !== undefined || password !== undefined)) {
    throw invalid('token stands for username and password; give one or the other');
  }
  for (const [name, text] of Object.entries({ token, username, password })) {
    if (text !== undefined && typeof text !== 'string') throw invalid(`${name} is a text`);
  }
  if (token === '') throw invalid('token is empty; leave it out for a device without one');
  const { signal, onWarning } = options;
  // Where the platform has none, it may be one of a library.
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalid('signal is an AbortSignal');
  }
  if (onWarning !== undefined && typeof onWarning !== 'function') throw invalid('onWarning is a function');
  if (typeof inbox !== 'boolean') throw invalid('inbox is true or false');
  const secret = token ?? password;
  const url = parseUrl(options.url);
  const transport = parts.transports.find(({ schemes }) => schemes.includes(url.protocol.slice(0, -1)));
  if (transport === undefined) {
    const known = parts.transports.flatMap(({ schemes }) => schemes);
    throw invalid(`url begins with one of ${known.map((scheme) => `${scheme}://`).join(', ')}`);
  }
  if (url.hostname === '') throw invalid(`url names no host: '${url.href}'`);
  return {
    url,
    transport,
    deviceId,
    username,
    password: secret === undefined ? undefined : new TextEncoder().encode(secret),
    keepalive: policyOf(options.keepalive ?? 'adaptive', parts.platform.windowMs),
    sessionExpirySeconds: Math.round(
      parseDuration(sessionExpiry, 'sessionExpiry', 1_000, 10 * YEAR_DAYS * DAY_MS) / 1_000,
    ),
    inbox,
    warn: onWarning ?? ((warning) => console.warn(`${warning.code}: ${warning.message}`)),
  };
}

function parseUrl(url: string | URL): URL {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new DeviceError('OPTION_INVALID', `url is no URL: '${String(url)}'`, { cause: error });
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw invalid('url has credentials in it; give token, or username and password');
  }
  return parsed;
}

function policyOf(keepalive: Keepalive, windowMs: number): KeepalivePolicy {
  if (keepalive === 'adaptive') return new PairedCanary();
  if (keepalive === 'none') return noKeepalive();
  if (keepalive === 'keepAwake') return keepAwake(windowMs);
  if (typeof keepalive === 'object' && 'fixed' in keepalive) {
    return fixedKeepalive(parseDuration(keepalive.fixed, 'keepalive.fixed', 1_000, DAY_MS));
  }
  if (typeof keepalive === 'object' && typeof keepalive.gapMs === 'function') return keepalive;
  throw invalid("keepalive is 'adaptive', 'none', 'keepAwake', { fixed: '4m' } or a policy");
}

function invalid(message: string): DeviceError {
  return new DeviceError('OPTION_INVALID', message);
}
