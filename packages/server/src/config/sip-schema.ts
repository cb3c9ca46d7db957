/** What may stand below `sip` in the configuration: domains, users, trunks, and the times of registrations and calls. */
import { isIP } from 'node:net';
import { nearestName } from '@wakeline/core/base';
import { passwordAlgorithms } from '@wakeline/core/domain';
import type { PasswordAlgorithm, SipUser } from '@wakeline/core/domain';
import { z } from 'zod';
import type { SipTrunkConfig } from './config.js';
import { isHostName } from './listener-url.js';
import { readSipAddress, readSipPassword } from './sip-password.js';
import { duration, list, Mistake, shown, value } from './values.js';

const TRUNK_NUMBERS_MAX = 1_000;

/** One of the user parts or addresses-of-record that go out by a trunk: `*` stands for any characters. */
const PATTERN_CHARACTERS_MAX = 256;

/** A list in the file; in the environment the same list as JSON. */
export function listOrJson<Item>(what: string, read: (item: unknown) => Item | Mistake) {
  return (input: unknown): readonly Item[] | Mistake => {
    if (typeof input !== 'string') return list(what, read)(input);
    try {
      return list(what, read)(JSON.parse(input));
    } catch {
      return new Mistake(`must be a JSON list of ${what}`);
    }
  };
}

/** Whether `input` is a mapping of known keys; else what is wrong with it. */
function mapping(input: unknown, what: string, known: readonly string[]): Record<string, unknown> | Mistake {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return new Mistake(`a ${what} is a mapping with ${known.join(', ')}`);
  }
  const unknown = Object.keys(input).find((key) => !known.includes(key));
  if (unknown === undefined) return input as Record<string, unknown>;
  const near = nearestName(unknown, known);
  return new Mistake(`a ${what} has no "${unknown}"${near === undefined ? '' : `; did you mean "${near}"?`}`);
}

function domain(input: unknown): string | Mistake {
  const isDomain = typeof input === 'string' && (isHostName(input) || isIP(input) === 4);
  if (isDomain) return input.toLowerCase();
  return new Mistake(`${shown(input)} is no domain; write it like example.org`);
}

function user(input: unknown): SipUser | Mistake {
  const entry = mapping(input, 'user of sip', ['address', 'password', 'devices']);
  if (entry instanceof Mistake) return entry;
  const address = readSipAddress(entry['address']);
  if (address === undefined) {
    return new Mistake(`${shown(entry['address'])} is no address of a user; write it like alice@example.org`);
  }
  // The value itself is not repeated: it may be a password that was written in the wrong place.
  const ha1 = typeof entry['password'] === 'string' ? readSipPassword(entry['password']) : undefined;
  if (ha1 === undefined) {
    return new Mistake(`the password of ${address} must be a line made by: wakeline password sip ${address}`);
  }
  if (entry['devices'] === undefined) return { aor: address, ha1, devices: defaultDevices(address) };
  const devices = list('device ids', deviceId)(entry['devices']);
  return devices instanceof Mistake
    ? new Mistake(`user ${address}: devices ${devices.text}`)
    : { aor: address, ha1, devices };
}

function algorithm(input: unknown): PasswordAlgorithm | Mistake {
  const known = passwordAlgorithms.find((name) => name === input);
  return (
    known ?? new Mistake(`${shown(input)} is no algorithm; there are ${passwordAlgorithms.join(' and ')}`)
  );
}

/** The device named like the address, where a device may have such a name. */
export function defaultDevices(address: string): readonly string[] {
  return deviceId(address) instanceof Mistake ? [] : [address];
}

function deviceId(input: unknown): string | Mistake {
  if (typeof input === 'string' && /^[^+#/\p{Cc}]{1,256}$/u.test(input)) return input;
  return new Mistake(`${shown(input)} is no device id`);
}

function trunk(input: unknown): SipTrunkConfig | Mistake {
  const entry = mapping(input, 'trunk of sip', ['name', 'uri', 'from', 'register', 'numbers']);
  if (entry instanceof Mistake) return entry;
  const { name } = entry;
  if (typeof name !== 'string' || !/^[\w-]{1,64}$/.test(name)) {
    return new Mistake(`every trunk needs a name of letters, digits, - and _, not ${shown(name)}`);
  }
  const wrong = (what: string): Mistake => new Mistake(`trunk ${name}: ${what}`);
  const { uri } = entry;
  if (typeof uri !== 'string' || !isTrunkUri(uri)) {
    return wrong(`${shown(uri)} is no URI; write it like sip:192.0.2.10:5060;transport=tcp`);
  }
  const from = list('addresses', trunkAddress)(entry['from'] ?? []);
  if (from instanceof Mistake) return wrong(`from ${from.text}`);
  const numbers = list('patterns', pattern)(entry['numbers'] ?? []);
  if (numbers instanceof Mistake) return wrong(`numbers ${numbers.text}`);
  if (numbers.length > TRUNK_NUMBERS_MAX) return wrong(`more than ${TRUNK_NUMBERS_MAX} patterns`);
  if (entry['register'] === undefined) return { name, uri, from, register: undefined, numbers };
  const register = mapping(entry['register'], 'registration', ['address', 'password']);
  if (register instanceof Mistake) return wrong(register.text);
  const address = readSipAddress(register['address']);
  if (address === undefined)
    return wrong(`register.address ${shown(register['address'])} is no address like wakeline@pbx.example`);
  const { password } = register;
  if (typeof password !== 'string' || password === '' || password.length > 1_024)
    return wrong('register needs a password');
  return { name, uri, from, register: { address, password }, numbers };
}

function isTrunkUri(uri: string): boolean {
  return /^sips?:(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(;transport=(tcp|udp|tls))?$/i.test(uri);
}

function trunkAddress(input: unknown): string | Mistake {
  if (typeof input === 'string' && isIP(input) !== 0) return input;
  return new Mistake(`${shown(input)} is no address; write it like 192.0.2.10`);
}

function pattern(input: unknown): string | Mistake {
  const isPattern =
    typeof input === 'string' && input.length <= PATTERN_CHARACTERS_MAX && /^[^\s<>"\p{Cc}]+$/u.test(input);
  return isPattern ? input : new Mistake(`${shown(input)} is no pattern; write it like +* or *@pbx.example`);
}

/** Without the slash at its end. */
function pushEndpoint(input: unknown): string | Mistake {
  const url = typeof input === 'string' && URL.canParse(input) ? new URL(input) : undefined;
  if (url?.protocol !== 'https:' || url.search !== '' || url.hash !== '' || url.username !== '') {
    return new Mistake(
      `${shown(input)} is no beginning of push endpoints; write it like https://push.example`,
    );
  }
  return url.href.replace(/\/+$/, '');
}

const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;

function seconds(minimumMs: number, maximumMs: number) {
  const read = duration(minimumMs, maximumMs);
  return (input: unknown): number | Mistake => {
    const ms = read(input);
    return ms instanceof Mistake ? ms : Math.ceil(ms / SECOND_MS);
  };
}

export const sipSchema = z
  .strictObject({
    domains: value(list('domains', domain)),
    users: value(listOrJson('users of sip', user)),
    challenge: value(list('algorithms', algorithm)),
    trunks: value(listOrJson('trunks of sip', trunk)),
    // RFC 3261 §16.6: Timer C is longer than three minutes; a call may not wait longer than that.
    park: value(duration(SECOND_MS, 180 * SECOND_MS)),
    registrationMin: value(seconds(60 * SECOND_MS, DAY_MS)),
    registrationMax: value(seconds(60 * SECOND_MS, 30 * DAY_MS)),
    // RFC 5626 §4.4.1: a client sends its first ping after 80 to 100 % of it.
    flowTimer: value(seconds(20 * SECOND_MS, 7_200 * SECOND_MS)),
    pushEndpoints: value(list('URLs', pushEndpoint)),
  })
  .optional();
export type ParsedSipConfig = z.output<typeof sipSchema>;
