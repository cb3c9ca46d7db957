/**
 * What an app gives as options, checked by name and kind before anything is made of it: whoever mistypes one is told so at once, with the
 * name that was probably meant. Ranges, and what options mean together, are for whoever takes them.
 */
import { nearestName } from '@wakeline/core/base';
import { DeviceError } from '../errors.js';

/** What one option may be. Undefined is always allowed: it is as good as left out. */
export interface OptionRule {
  readonly is: (value: unknown) => boolean;
  /** Behind "NAME is". */
  readonly text: string;
}

/** One for each option that there is. */
export type OptionRules<Options> = { readonly [Name in keyof Required<Options>]: OptionRule };

/**
 * @param taker who takes the options, for the message.
 * @param required those without a default.
 * @throws DeviceError OPTION_INVALID
 */
export function checkOptions<Options extends object>(
  taker: string,
  options: Options,
  rules: OptionRules<Options>,
  required: readonly (keyof Options & string)[] = [],
): void {
  if (!isObject(options)) throw invalid(`${taker} takes its options as an object`);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) throw invalid(strangerText(taker, name, Object.keys(rules)));
    const { is, text } = rules[name as keyof Options];
    if (value !== undefined && !is(value)) throw invalid(`${name} is ${text}`);
  }
  const missing = required.find((name) => options[name] === undefined);
  if (missing !== undefined) throw invalid(`${missing} is missing: it is ${rules[missing].text}`);
}

/** @throws DeviceError OPTION_INVALID */
export function checkHandler(taker: string, handler: unknown): void {
  if (typeof handler !== 'function') throw invalid(`${taker} takes a function`);
}

export function invalid(message: string): DeviceError {
  return new DeviceError('OPTION_INVALID', message);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One that has these methods: what comes of a library, or stands in for it, is known by nothing else. */
export function hasMethods(value: unknown, ...names: readonly string[]): boolean {
  // Methods may be of its class; some libraries export a function that has them.
  const members = value as Readonly<Record<string, unknown>>;
  const isHolder = isObject(value) || typeof value === 'function';
  return isHolder && names.every((name) => typeof members[name] === 'function');
}

function strangerText(taker: string, name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  const advice = near === undefined ? `there are ${known.join(', ')}` : `did you mean '${near}'?`;
  return `${taker} has no option '${name}'; ${advice}`;
}

/** Of one option that is checked where it is taken. */
export const anything: OptionRule = { is: () => true, text: '' };
export const text: OptionRule = { is: (value) => typeof value === 'string', text: 'a text' };
/** Its range is looked at where it is read. */
export const duration: OptionRule = {
  is: (value) => typeof value === 'string' || Number.isFinite(value),
  text: "a number of ms, or a text such as '10s'",
};
export const flag: OptionRule = { is: (value) => typeof value === 'boolean', text: 'true or false' };
export const qos: OptionRule = { is: (value) => value === 0 || value === 1, text: '0 or 1' };
/** Where the platform has none, it may be one of a library. */
export const signal: OptionRule = {
  is: (value) => hasMethods(value, 'addEventListener', 'removeEventListener'),
  text: 'an AbortSignal',
};

/** Of those that have nothing but a signal. */
export const signalRules: OptionRules<{ readonly signal?: AbortSignal }> = { signal };
