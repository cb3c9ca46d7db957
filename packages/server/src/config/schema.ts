/**
 * The shape of the configuration: what may stand where, and what each value becomes. Values from the environment
 * and from flags are strings and pass the same schema as those of the file.
 */
import { isIP } from 'node:net';
import { nearestName } from '@wakeline/core/base';
import { openAccess, SESSION_NEVER_EXPIRES } from '@wakeline/core/domain';
import type { AccessRules } from '@wakeline/core/domain';
import { z } from 'zod';
import { logLevels } from './config.js';
import { isHostName, parseListenerUrl } from './listener-url.js';
import { isPasswordHash } from './password.js';
import { configurableLimits } from './settings.js';
import { listOrJson, sipSchema } from './sip-schema.js';
import { duration, list, Mistake, offOr, oneOf, shown, size, text, value, whole, yesOrNo } from './values.js';

export interface ListenerEntry {
  readonly url: string;
  /** Of this listener alone; undefined: the common `tls` is used. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** How others reach the listener for SIP; port undefined: the listener's own. */
  readonly advertise: { readonly host: string; readonly port: number | undefined } | undefined;
  readonly trunksOnly: boolean;
}

/** What a listener is that says no more than its URL. */
export function plainListener(url: string): ListenerEntry {
  return { url, certFile: undefined, keyFile: undefined, advertise: undefined, trunksOnly: false };
}

const listenerKeys = ['url', 'cert', 'key', 'advertise', 'trunksOnly'];

/** A URL, or a mapping. */
function listener(input: unknown): ListenerEntry | Mistake {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const url = text(input);
    if (url instanceof Mistake) return url;
    const address = parseListenerUrl(url);
    return typeof address === 'string' ? new Mistake(address) : plainListener(url);
  }
  const unknown = Object.keys(input).find((key) => !listenerKeys.includes(key));
  if (unknown !== undefined) {
    return new Mistake(`a listener has ${listenerKeys.join(', ')}, but no "${unknown}"`);
  }
  const entry = input as Record<string, unknown>;
  const plain = listener(typeof entry['url'] === 'string' ? entry['url'] : '');
  if (plain instanceof Mistake) return plain;
  const { cert, key } = entry;
  const hasFiles = typeof cert === 'string' && typeof key === 'string';
  if (!hasFiles && (cert !== undefined || key !== undefined || Object.keys(entry).length === 1)) {
    return new Mistake(`the listener ${plain.url} needs both cert and key, or neither`);
  }
  const advertise = entry['advertise'] === undefined ? undefined : advertised(entry['advertise']);
  if (advertise instanceof Mistake) return new Mistake(`the listener ${plain.url}: ${advertise.text}`);
  const trunksOnly = entry['trunksOnly'] === undefined ? false : yesOrNo(entry['trunksOnly']);
  if (trunksOnly instanceof Mistake)
    return new Mistake(`the listener ${plain.url}: trunksOnly ${trunksOnly.text}`);
  const files = hasFiles ? { certFile: cert, keyFile: key } : {};
  return { ...plain, ...files, advertise, trunksOnly };
}

/** `sip.example.org`, `203.0.113.7:5060` or `[2001:db8::1]:5060`. */
function advertised(input: unknown): { readonly host: string; readonly port: number | undefined } | Mistake {
  const match = typeof input === 'string' ? /^(\[[^\]]*\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(input) : null;
  const written = match?.[1] ?? '';
  const host = written.replace(/^\[(.*)\]$/, '$1');
  const isHost = written.startsWith('[') ? isIP(host) === 6 : isHostName(host);
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  if (isHost && (port === undefined || (port >= 1 && port <= 65_535))) return { host, port };
  return new Mistake(`${shown(input)} is no address to advertise; write it like sip.example.org:5060`);
}

function proxyAddress(input: unknown): string | Mistake {
  const [address = '', prefix, ...rest] = String(input).split('/');
  const version = isIP(address);
  const isPrefix =
    prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
  if (typeof input === 'string' && version !== 0 && isPrefix && rest.length === 0) return input;
  return new Mistake(`${shown(input)} is no address; write it like 10.0.0.5 or 10.0.0.0/24`);
}

/** Without the slash at its end. */
function publicUrl(input: unknown): string | Mistake {
  const url = typeof input === 'string' && URL.canParse(input) ? new URL(input) : undefined;
  const isUsable =
    (url?.protocol === 'https:' || url?.protocol === 'http:') &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '';
  if (url === undefined || !isUsable)
    return new Mistake(`${shown(input)} is no URL of a server; write it like https://push.example.org`);
  return url.href.replace(/\/+$/, '');
}

function accessRules(input: unknown): AccessRules | Mistake {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return new Mistake(`access must have publish and subscribe, not be ${shown(input)}`);
  }
  const rules: { publish: readonly string[]; subscribe: readonly string[] } = { publish: [], subscribe: [] };
  for (const [key, patterns] of Object.entries(input)) {
    if (key !== 'publish' && key !== 'subscribe') {
      return new Mistake(`access has publish and subscribe, but no "${key}"`);
    }
    const filters = list('topic filters', text)(patterns);
    if (filters instanceof Mistake) return new Mistake(`access.${key} ${filters.text}`);
    rules[key] = filters;
  }
  return rules;
}

function user(input: unknown) {
  if (typeof input !== 'object' || input === null) return new Mistake('a user has name, password and access');
  const known = ['name', 'password', 'access'];
  const unknown = Object.keys(input).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    const near = nearestName(unknown, known);
    return new Mistake(`a user has no "${unknown}"${near === undefined ? '' : `; did you mean "${near}"?`}`);
  }
  const entry = input as { name?: unknown; password?: unknown; access?: unknown };
  if (typeof entry.name !== 'string' || entry.name === '' || entry.name.length > 256) {
    return new Mistake('every user needs a name');
  }
  // The value itself is not repeated: it may be a password that was written in the wrong place.
  if (typeof entry.password !== 'string' || !isPasswordHash(entry.password)) {
    return new Mistake(`the password of "${entry.name}" must be a line made by: wakeline password hash`);
  }
  const access = entry.access === undefined ? openAccess : accessRules(entry.access);
  if (access instanceof Mistake) return new Mistake(`user "${entry.name}": ${access.text}`);
  return { name: entry.name, passwordScrypt: entry.password, access };
}

/** Seconds; `never` is the protocol's own value for it. */
function sessionExpiry(input: unknown): number | Mistake {
  if (input === 'never') return SESSION_NEVER_EXPIRES;
  const ms = duration(0, (SESSION_NEVER_EXPIRES - 1) * 1_000)(input);
  return ms instanceof Mistake ? ms : Math.ceil(ms / 1_000);
}

function keepAlive(input: unknown): number | Mistake {
  const ms = duration(1_000, 65_535_000)(input);
  return ms instanceof Mistake ? ms : Math.ceil(ms / 1_000);
}

const BYTES_MAX = 2 ** 40;
const YEAR_MS = 366 * 86_400_000;

/** Units follow from the name, as everywhere: …Bytes…, …Ms…, else a count. */
function limitReader(name: (typeof configurableLimits)[number]) {
  if (name === 'messageBytesMax') return size(1_024, 64 * 1_048_576);
  if (name.includes('Bytes')) return size(0, BYTES_MAX);
  if (name.includes('Ms')) return duration(1_000, YEAR_MS);
  return whole(1, name === 'inflightMax' ? 65_534 : 1_000_000_000);
}

const limitsShape = Object.fromEntries(
  configurableLimits.map((name) => [name, value(limitReader(name))]),
) as Record<(typeof configurableLimits)[number], ReturnType<typeof value<number>>>;

/** Everything optional: defaults depend on other values and are filled in by load-config.ts. */
export const configSchema = z.strictObject({
  data: value(text),
  listen: value(list('listener URLs', listener)),
  tls: z.strictObject({ cert: value(text), key: value(text) }).optional(),
  insecure: value(yesOrNo),
  behindProxy: value(list('addresses', proxyAddress)),
  publicUrl: value(publicUrl),
  anonymousDevices: value(yesOrNo),
  openApi: value(yesOrNo),
  users: value(listOrJson('users', user)),
  logLevel: value(oneOf(logLevels)),
  mqtt: z
    .strictObject({
      // MQTT 5.0 §2.1.4: the largest remaining length, with its header.
      packetBytesMax: value(size(1_024, 268_435_460)),
      sessionExpiryMax: value(sessionExpiry),
      connectTimeout: value(duration(100, 600_000)),
      serverKeepAlive: value(keepAlive),
      keepAliveMax: value(keepAlive),
      keepAliveRequired: value(yesOrNo),
      silenceMax: value(offOr(duration(1_000, 86_400_000))),
      tcpKeepAlive: value(offOr(duration(30_000, 7_200_000))),
    })
    .optional(),
  webpush: z
    .strictObject({
      broadcasts: value(text),
      pingAfter: value(offOr(duration(1_000, 86_400_000))),
      newAgentsPerAddressMax: value(whole(1, 1_000_000_000)),
      newAgentsMax: value(whole(1, 1_000_000_000)),
    })
    .optional(),
  sip: sipSchema,
  connectionsPerAddressMax: value(whole(1, 1_000_000)),
  connectsPerSecondPerAddressMax: value(whole(1, 1_000_000)),
  connectsPerSecondMax: value(whole(1, 1_000_000)),
  handshakesMax: value(whole(1, 1_000_000)),
  lines: value(whole(0, 64)),
  restartFlowsPerSecond: value(whole(1, 1_000_000)),
  limits: z.strictObject(limitsShape).optional(),
});
export type ParsedConfig = z.output<typeof configSchema>;

/** Keys known at a place of the file (`[]`: the top), for a hint about an unknown one. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return Object.keys(configSchema.shape);
  if (path[0] === 'tls') return ['cert', 'key'];
  if (path[0] === 'mqtt') return Object.keys(configSchema.shape.mqtt.unwrap().shape);
  if (path[0] === 'webpush') return Object.keys(configSchema.shape.webpush.unwrap().shape);
  if (path[0] === 'sip') return Object.keys(sipSchema.unwrap().shape);
  return path[0] === 'limits' ? configurableLimits : [];
}
