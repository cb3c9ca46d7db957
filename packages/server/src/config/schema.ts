/**
 * The shape of the configuration: what may stand where, and what each value becomes. Values from the environment
 * and from flags are strings and pass the same schema as those of the file.
 */
import { isIP } from 'node:net';
import { openAccess, SESSION_NEVER_EXPIRES } from '@wakeline/core/domain';
import type { AccessRules } from '@wakeline/core/domain';
import { z } from 'zod';
import { logLevels } from './config.js';
import { parseListenerUrl } from './listener-url.js';
import { nearestName } from './nearest-name.js';
import { isPasswordHash } from './password.js';
import { configurableLimits } from './settings.js';
import { formatDuration, parseDurationMs, parseSizeBytes } from './units.js';

/** Why a value is refused, as the end of a sentence that begins with the key. */
class Mistake {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A value of one key: absent, or whatever `read` makes of it. */
function value<Output>(read: (input: unknown) => Output | Mistake) {
  return z
    .unknown()
    .transform((input, context): Output | undefined => {
      if (input === undefined) return undefined;
      const output = input === null ? new Mistake('has no value; give one or remove the line') : read(input);
      if (!(output instanceof Mistake)) return output;
      context.issues.push({ code: 'custom', message: output.text, input });
      return z.NEVER;
    })
    .optional();
}

/** At most this much of a wrong value is repeated in the message. */
const SHOWN_CHARACTERS_MAX = 60;

function shown(input: unknown): string {
  const text = typeof input === 'string' ? `"${input}"` : JSON.stringify(input);
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
}

function text(input: unknown): string | Mistake {
  if (typeof input === 'string' && input !== '' && !input.includes('\0')) return input;
  return new Mistake(`must be a text, not ${shown(input)}`);
}

function yesOrNo(input: unknown): boolean | Mistake {
  if (input === true || input === 'true') return true;
  if (input === false || input === 'false') return false;
  return new Mistake(`must be true or false, not ${shown(input)}`);
}

function inRange(number: number, input: unknown, minimum: number, maximum: number): number | Mistake {
  if (number >= minimum && number <= maximum) return number;
  return new Mistake(`must be from ${minimum} to ${maximum}, not ${shown(input)}`);
}

function whole(minimum: number, maximum: number) {
  return (input: unknown): number | Mistake => {
    const number = typeof input === 'string' && /^\d{1,15}$/.test(input) ? Number(input) : input;
    if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
      return new Mistake(`must be a whole number, not ${shown(input)}`);
    }
    return inRange(number, input, minimum, maximum);
  };
}

function size(minimumBytes: number, maximumBytes: number) {
  return (input: unknown): number | Mistake => {
    const bytes =
      typeof input === 'string' || typeof input === 'number' ? parseSizeBytes(String(input)) : undefined;
    if (bytes === undefined) return new Mistake(`${shown(input)} is no size; write it like 64MiB or 65536`);
    return inRange(bytes, input, minimumBytes, maximumBytes);
  };
}

function duration(minimumMs: number, maximumMs: number) {
  return (input: unknown): number | Mistake => {
    const ms = typeof input === 'string' ? parseDurationMs(input) : undefined;
    if (ms === undefined) {
      return new Mistake(`${shown(input)} is no duration; write it with a unit, like 10s, 500ms or 24h`);
    }
    if (ms >= minimumMs && ms <= maximumMs) return ms;
    return new Mistake(
      `must be from ${formatDuration(minimumMs)} to ${formatDuration(maximumMs)}, not ${shown(input)}`,
    );
  };
}

/** A list; one string is a list too, with commas between its items. */
function list<Item>(what: string, read: (item: unknown) => Item | Mistake) {
  return (input: unknown): readonly Item[] | Mistake => {
    const items = typeof input === 'string' ? input.split(',').map((item) => item.trim()) : input;
    if (!Array.isArray(items)) return new Mistake(`must be a list of ${what}, not ${shown(input)}`);
    const result: Item[] = [];
    for (const item of items as unknown[]) {
      if (item === '') continue;
      const output = read(item);
      if (output instanceof Mistake) return output;
      result.push(output);
    }
    return result;
  };
}

export interface ListenerEntry {
  readonly url: string;
  /** Of this listener alone; undefined: the common `tls` is used. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** A URL, or a mapping with `url`, `cert` and `key`. */
function listener(input: unknown): ListenerEntry | Mistake {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const url = text(input);
    if (url instanceof Mistake) return url;
    const address = parseListenerUrl(url);
    return typeof address === 'string'
      ? new Mistake(address)
      : { url, certFile: undefined, keyFile: undefined };
  }
  const unknown = Object.keys(input).find((key) => !['url', 'cert', 'key'].includes(key));
  if (unknown !== undefined) return new Mistake(`a listener has url, cert and key, but no "${unknown}"`);
  const entry = input as { url?: unknown; cert?: unknown; key?: unknown };
  const plain = listener(typeof entry.url === 'string' ? entry.url : '');
  if (plain instanceof Mistake) return plain;
  if (typeof entry.cert !== 'string' || typeof entry.key !== 'string') {
    return new Mistake(`the listener ${plain.url} needs both cert and key, or neither`);
  }
  return { url: plain.url, certFile: entry.cert, keyFile: entry.key };
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

/** A list in the file; in the environment the same list as JSON. */
function users(input: unknown) {
  if (typeof input !== 'string') return list('users', user)(input);
  try {
    return list('users', user)(JSON.parse(input));
  } catch {
    return new Mistake('must be a JSON list of users');
  }
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return (input: unknown): Names[number] | Mistake => {
    if (names.includes(input as string)) return input as Names[number];
    const near = typeof input === 'string' ? nearestName(input, names) : undefined;
    const meant = near === undefined ? '' : `; did you mean ${near}?`;
    return new Mistake(`must be one of ${names.join(', ')}, not ${shown(input)}${meant}`);
  };
}

/** Seconds; `never` is the protocol's own value for it. */
function sessionExpiry(input: unknown): number | Mistake {
  if (input === 'never') return SESSION_NEVER_EXPIRES;
  const ms = duration(0, (SESSION_NEVER_EXPIRES - 1) * 1_000)(input);
  return ms instanceof Mistake ? ms : Math.ceil(ms / 1_000);
}

function offOr<Output>(read: (input: unknown) => Output | Mistake) {
  // YAML 1.1 reads a bare `off` as false; it is meant all the same.
  return (input: unknown): Output | 'off' | Mistake =>
    input === 'off' || input === false ? 'off' : read(input);
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
  users: value(users),
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
  return path[0] === 'limits' ? configurableLimits : [];
}
