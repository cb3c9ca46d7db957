/** The options of `wakeline sleepbox`: their names, what they become, and the help text. No I/O but a name lookup. */
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { parseArgs } from 'node:util';

import { parseDuration } from './durations.js';
import { SleepboxError } from './errors.js';
import { limits } from './limits.js';
import { nearestName } from './nearest-name.js';
import type { SleepboxOptions } from './options.js';
import type { Mode, ProfileName } from './profiles.js';
import type { Mark } from './sockets.js';

const definitions = {
  profile: { type: 'string' },
  modes: { type: 'string' },
  window: { type: 'string' },
  wake: { type: 'string', multiple: true },
  keepalive: { type: 'string' },
  maintenance: { type: 'string' },
  nat: { type: 'string' },
  'nat-loose': { type: 'boolean' },
  seed: { type: 'string' },
  freezer: { type: 'string' },
  watcher: { type: 'string' },
  name: { type: 'string' },
  notify: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** The command line after `sleepbox`, understood. */
export type ParsedCommand =
  | { readonly kind: 'help' }
  | {
      readonly kind: 'ctl';
      readonly verb: CtlVerb;
      readonly name: string | undefined;
      readonly json: boolean;
    }
  | { readonly kind: 'run'; readonly options: SleepboxOptions; readonly json: boolean };

/** What `ctl` can ask of a running box. */
export const ctlVerbs = ['sleep', 'wake', 'status', 'stop'] as const;
export type CtlVerb = (typeof ctlVerbs)[number];

/** @throws SleepboxError BAD_OPTION, BAD_DURATION, NO_COMMAND, HOST_NOT_FOUND */
export async function parseCommand(argv: readonly string[]): Promise<ParsedCommand> {
  if (argv[0] === 'ctl') return parseCtl(argv.slice(1));
  // The options end at `--`, or where the command begins without one.
  const end = findCommandStart(argv);
  const before = argv.slice(0, end);
  const command = argv[end] === '--' ? argv.slice(end + 1) : argv.slice(end);
  const values = parseOptions(before, definitions);
  if (values.help === true || (argv.length === 1 && argv[0] === 'help')) return { kind: 'help' };
  if (command.length === 0) throw new SleepboxError('NO_COMMAND', 'there is no command; write it after --');
  const json = values.json === true;
  const marks = await parseWake(values.wake);
  const duration = (
    name: 'window' | 'keepalive' | 'maintenance' | 'nat',
    max: number,
    min: number = limits.windowMsMin,
  ): number | undefined => {
    const text = values[name];
    return text === undefined ? undefined : parseDuration(text, { min, max }, `--${name}`);
  };
  const idleMs = duration('nat', limits.natIdleMsMax, limits.natIdleMsMin);
  if (idleMs === undefined && values['nat-loose'] === true) {
    throw new SleepboxError('BAD_OPTION', '--nat-loose goes with --nat IDLE');
  }
  const options: SleepboxOptions = {
    command,
    profile: values.profile as ProfileName | undefined,
    modes: values.modes?.split(',') as Mode[] | undefined,
    windowMs: duration('window', limits.windowMsMax),
    marks,
    keepaliveMs: duration('keepalive', limits.keepaliveMsMax),
    maintenanceMs: duration('maintenance', limits.keepaliveMsMax),
    nat: idleMs === undefined ? undefined : { idleMs, loose: values['nat-loose'] === true },
    seed: parseSeed(values.seed),
    freezer: oneOf('freezer', values.freezer, ['auto', 'cgroup', 'cgroup-v2', 'cgroup-v1', 'signal']),
    watcher: oneOf('watcher', values.watcher, ['auto', 'helper', 'proc-poll']),
    name: values.name,
    notify: values.notify === true,
    output: json ? 'events' : 'inherit',
  } as { [Key in keyof SleepboxOptions]: SleepboxOptions[Key] | undefined } as SleepboxOptions;
  return { kind: 'run', options: withoutUndefined(options), json };
}

function parseCtl(argv: readonly string[]): ParsedCommand {
  const { name, json, help } = definitions;
  const verbs = argv.filter((word, i) => !word.startsWith('-') && argv[i - 1] !== '--name');
  const values = parseOptions(
    argv.filter((word) => word !== verbs[0]),
    { name, json, help },
  );
  if (values.help === true) return { kind: 'help' };
  const verb = ctlVerbs.find((one) => one === verbs[0]);
  if (verb === undefined || verbs.length !== 1) {
    const near = verbs[0] === undefined ? undefined : nearestName(verbs[0], ctlVerbs);
    throw new SleepboxError(
      'BAD_OPTION',
      near ? `ctl ${verbs[0]}: did you mean "${near}"?` : `ctl needs one of ${ctlVerbs.join(', ')}`,
    );
  }
  return { kind: 'ctl', verb, name: values.name, json: values.json === true };
}

/** Index of `--` or of the first word that is neither an option nor an option's value. */
function findCommandStart(argv: readonly string[]): number {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word === '--' || !word.startsWith('-')) return i;
    const definition = (definitions as Record<string, { type: string }>)[word.slice(2)];
    if (definition?.type === 'string') i++; // its value; an unknown option is refused later
  }
  return argv.length;
}

function parseOptions<Definitions extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  args: readonly string[],
  options: Definitions & {},
) {
  for (const word of args) {
    if (!word.startsWith('-') || word === '-h') continue;
    const name = word.replace(/^--?/, '').split('=')[0] ?? '';
    if (Object.hasOwn(options, name) && word.startsWith('--')) continue;
    const near = nearestName(name, Object.keys(options));
    throw new SleepboxError(
      'BAD_OPTION',
      `option ${word.split('=')[0]} is unknown${near ? `; did you mean --${near}?` : ''}`,
    );
  }
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new SleepboxError('BAD_OPTION', (error as Error).message.split('\n')[0] ?? 'bad option', {
      cause: error,
    });
  }
}

function parseSeed(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new SleepboxError('BAD_OPTION', '--seed is a whole number');
  return Number(text);
}

/** `tcp` marks all, `tcp:HOST:PORT` the connections to any address of that host. */
async function parseWake(texts: readonly string[] | undefined): Promise<Mark[] | undefined> {
  if (texts === undefined || texts.includes('tcp')) return undefined;
  const marks: Mark[] = [];
  for (const text of texts) {
    const match = /^tcp:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3]);
    if (host === undefined || port < 1 || port > 65_535) {
      throw new SleepboxError('BAD_OPTION', `--wake ${text}: write tcp or tcp:HOST:PORT`);
    }
    try {
      for (const { address } of await lookup(host, { all: true })) {
        marks.push({ peer: isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}` });
      }
    } catch (error) {
      throw new SleepboxError('HOST_NOT_FOUND', `--wake ${text}: ${host} has no address`, {
        cause: error,
        retryable: true,
      });
    }
  }
  return marks;
}

function oneOf<Value extends string>(
  name: string,
  given: string | undefined,
  known: readonly Value[],
): Value | undefined {
  if (given === undefined) return undefined;
  const found = known.find((one) => one === given);
  if (found !== undefined) return found;
  throw new SleepboxError('BAD_OPTION', `--${name} is one of ${known.join(', ')}`);
}

function withoutUndefined(options: SleepboxOptions): SleepboxOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as SleepboxOptions;
}

/** Names of the options, for the documentation's test. */
export const optionNames: readonly string[] = Object.keys(definitions);

export const helpText = `Usage: wakeline sleepbox [options] -- COMMAND…
       wakeline sleepbox ctl sleep|wake|status|stop [--name NAME] [--json]

Runs any program as on a sleeping phone: frozen until something arrives on one of its TCP connections.

Options:
  --profile NAME      ios-voip (default), linux-phone, android-doze, android-frozen
  --modes LIST        voip (default) or voip,audio: with audio no window ends while audio plays
  --window TIME       length of a wake window (10s)
  --wake tcp          every TCP connection of the program wakes it (default)
  --wake tcp:HOST:PORT  only connections to this peer; may be given several times
  --keepalive TIME    wake for the keep-alive handler before this time is over (ios-voip: at least 10m)
  --maintenance TIME  android-doze: first time between maintenance windows (1h)
  --nat IDLE          behind a NAT of the Linux kernel that forgets flows idle for so long (whole seconds); root
                      only; the program reaches this machine's 127.0.0.1 as 198.18.0.1, also in SLEEPBOX_HOST
  --nat-loose         what the program sends revives a TCP flow that the NAT has forgotten; else nothing passes
  --seed NUMBER       repeat the moments that the box picks
  --freezer KIND      auto (default), cgroup, cgroup-v2, cgroup-v1, signal
  --watcher KIND      auto (default), helper, proc-poll
  --name NAME         name for ctl (box-PID)
  --notify            show the program's notifications on the desktop
  --json              timeline as JSON lines on standard output, the program's output among them
  -h, --help          this text

Examples:
  wakeline sleepbox -- mosquitto_sub -h broker.example -t news -k 3600
  wakeline sleepbox --window 5s --wake tcp:broker.example:1883 --json -- node app.mjs
  wakeline sleepbox --profile android-doze --maintenance 60s -- ./app
  sudo wakeline sleepbox --nat 45s -- mosquitto_sub -h 198.18.0.1 -t news -k 3600
  wakeline sleepbox ctl wake

Exit code: 0 the program left with 0, or ctl stop; 2 wrong usage; 3 ctl found no box, or several;
1 the box cannot be run here; 126, 127 the command may not be executed, does not exist; 129, 130, 143 ended by
SIGHUP, SIGINT, SIGTERM. Documentation: docs/sleepbox.md
`;
