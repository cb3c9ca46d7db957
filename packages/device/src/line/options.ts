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
import {
  checkOptions,
  duration,
  flag,
  hasMethods,
  invalid,
  isObject,
  signal,
  text,
  type OptionRules,
} from './check-options.js';
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

/** Of the options that there are on every platform; each platform adds its own. */
export const lineRules: OptionRules<LineOptions> = {
  url: {
    is: (value) => typeof value === 'string' || (isObject(value) && typeof value['href'] === 'string'),
    text: 'the URL of the server, such as mqtts://line.example.org',
  },
  deviceId: { is: isFilledText, text: 'a text that is not empty' },
  token: { is: isFilledText, text: 'a text that is not empty; leave it out for a device without one' },
  username: text,
  password: text,
  keepalive: { is: isKeepalive, text: "'adaptive', 'none', 'keepAwake', { fixed: '4m' } or a policy" },
  sessionExpiry: duration,
  inbox: flag,
  signal,
  onWarning: { is: (value) => typeof value === 'function', text: 'a function' },
};

const partsRules: OptionRules<LineParts> = {
  transports: {
    is: (value) => Array.isArray(value) && value.length > 0 && value.every((one) => hasMethods(one, 'open')),
    text: 'a list of transports',
  },
  storage: {
    is: (value) => hasMethods(value, 'open', 'get', 'set', 'close'),
    text: 'a storage with open, get, set and close',
  },
  platform: {
    is: (value) =>
      hasMethods(value, 'now', 'setTimer', 'random', 'start', 'stop', 'handleOpen', 'handleDone'),
    text: 'a platform, as processPlatform() is one',
  },
  crypto: { is: isObject, text: 'cryptography for Web Push' },
};

/** @throws DeviceError OPTION_INVALID */
export function parseOptions(options: LineOptions, parts: LineParts): LineSettings {
  checkOptions('openLine', options, lineRules, ['url', 'deviceId']);
  if (!isObject(parts)) throw invalid('openLineWith takes the parts of a line behind its options');
  const { transports, storage, platform, crypto } = parts;
  const known = { transports, storage, platform, crypto };
  checkOptions('openLineWith', known, partsRules, ['transports', 'storage', 'platform']);
  const { deviceId, token, username, password, sessionExpiry = '30d', inbox = true, onWarning } = options;
  if (token !== undefined && (username !== undefined || password !== undefined)) {
    throw invalid('token stands for username and password; give one or the other');
  }
  const secret = token ?? password;
  const url = parseUrl(options.url);
  const transport = transports.find(({ schemes }) => schemes.includes(url.protocol.slice(0, -1)));
  if (transport === undefined) {
    const schemes = transports.flatMap((one) => one.schemes.map((scheme) => `${scheme}://`));
    throw invalid(`url begins with one of ${schemes.join(', ')}`);
  }
  if (url.hostname === '') throw invalid(`url names no host: '${url.href}'`);
  return {
    url,
    transport,
    deviceId,
    username,
    password: secret === undefined ? undefined : new TextEncoder().encode(secret),
    keepalive: policyOf(options.keepalive ?? 'adaptive', platform.windowMs),
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
  if ('fixed' in keepalive) {
    return fixedKeepalive(parseDuration(keepalive.fixed, 'keepalive.fixed', 1_000, DAY_MS));
  }
  return keepalive;
}

function isKeepalive(value: unknown): boolean {
  if (isObject(value) && 'fixed' in value) return true;
  const isNamed = value === 'adaptive' || value === 'none' || value === 'keepAwake';
  return isNamed || hasMethods(value, 'gapMs', 'handleNetwork', 'handleDeath');
}

function isFilledText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}
