/**
 * The server's log: lines for people when standard error is a terminal, JSON for machines otherwise. Secrets are
 * taken out here as a second line of defence; the first is not to log them.
 */
import { pino } from 'pino';
import type { DestinationStream, Logger } from 'pino';
import type { LogLevel } from '../config/config.js';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Where lines go; the default is standard error, so that standard output stays for answers. */
  readonly write?: (text: string) => void;
  /** Lines for people instead of JSON. Default: standard error is a terminal. */
  readonly pretty?: boolean;
  /** Colours in lines for people. Default: no NO_COLOR is set. */
  readonly colour?: boolean;
}

/** Fields whose value never reaches a line, one level deep too. */
const secretFields = ['authorization', 'password', 'passwordScrypt', 'token', 'secret', 'body', 'payload'];

/** Made once, at the start. */
export function createLogger(options: LoggerOptions): Logger {
  const write = options.write ?? ((text: string) => void process.stderr.write(text));
  const isPretty = options.pretty ?? process.stderr.isTTY === true;
  const isColoured = options.colour ?? (process.env['NO_COLOR'] ?? '') === '';
  const destination: DestinationStream = {
    write: isPretty ? (line) => write(prettyLine(line, isColoured)) : write,
  };
  return pino(
    {
      level: options.level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: [...secretFields, ...secretFields.map((name) => `*.${name}`)], censor: '[secret]' },
    },
    destination,
  );
}

const colours: Readonly<Record<string, string>> = {
  error: '31',
  fatal: '31',
  warn: '33',
  info: '32',
  debug: '2',
};

/** `12:34:56.789 warn  message key=value`; what is no line of ours passes as it is. */
function prettyLine(line: string, isColoured: boolean): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { time, level, msg, err, ...rest } = fields;
  const name = String(level).padEnd(5);
  const coloured = isColoured ? `\u001b[${colours[String(level)] ?? '0'}m${name}\u001b[0m` : name;
  const pairs = Object.entries(rest).map(([key, value]) => ` ${key}=${plain(value)}`);
  const stack = (err as { stack?: unknown } | undefined)?.stack;
  const trace = stack === undefined ? '' : `\n${String(stack)}`;
  return `${String(time).slice(11, 23)} ${coloured} ${plain(msg ?? '')}${pairs.join('')}${trace}\n`;
}

/** Without control characters: a field must not be able to write to the terminal. */
function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
