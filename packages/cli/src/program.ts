/**
 * Every command with its flags, help and examples. What a command does is loaded when it is called: `wakeline send`
 * must not wait for the server's libraries.
 */
import { readFileSync } from 'node:fs';
import { Argument, Command, Option } from 'commander';
import type { CommanderError } from 'commander';
import { defaultServer } from './api-client.js';
import { CliError } from './errors.js';
import { isColoured } from './io.js';
import type { CliIo } from './io.js';

/** Version of the package that this file belongs to. */
export function readVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** A flag that may be repeated. */
function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}

const json = ['--json', 'answer as JSON, for machines'] as const;

function withClientOptions(command: Command): Command {
  return command
    .option('--server <url>', `address of the server (env WAKELINE_SERVER; default ${defaultServer})`)
    .option('--token <token>', 'API token (env WAKELINE_TOKEN; others on this machine can see flags)')
    .option(
      '--data <dir>',
      'data directory whose admin.token is used for a server on this machine (env WAKELINE_DATA)',
    )
    .option(...json);
}

/** Those of withClientOptions: they belong behind the command. */
const clientFlags = /^--(?:server|token|data|json)(?:=|$)/;

/** `setExitCode` is called by every command that was carried out. Usage errors are thrown as CliError. */
export function createProgram(
  io: CliIo,
  setExitCode: (code: number) => void,
  argv: readonly string[],
): Command {
  const program = new Command('wakeline');
  program
    .description('Reaches an application while its device is asleep.')
    .version(readVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHasColors: () => isColoured(io.stdout, io.environment),
      getErrHasColors: () => isColoured(io.stderr, io.environment),
      // They are thrown, and told with all others.
      outputError: () => undefined,
    })
    .addHelpText(
      'after',
      examples(
        'wakeline up',
        'wakeline send --device phone-1 "Hello"',
        'wakeline devices',
        'wakeline sleepbox -- node app.js',
      ) + '\nEnvironment variables and exit codes: docs/cli.md\n',
    );
  addUp(program, io, setExitCode);
  addRestart(program, io, setExitCode);
  addSend(program, io, setExitCode);
  addDevices(program, io, setExitCode);
  addCalls(program, io, setExitCode);
  addUsers(program, io, setExitCode);
  addTokens(program, io, setExitCode);
  addBackups(program, io, setExitCode);
  addPasswords(program, io, setExitCode);

  // main.ts hands everything behind `sleepbox` over untouched; this is for the list of commands.
  program
    .command('sleepbox', 'run a program as on a sleeping phone (wakeline sleepbox --help)', {
      executableFile: 'none',
    })
    .allowUnknownOption();

  program
    .command('demo')
    .description('see a sleeping device being woken, on this machine')
    .option(...json)
    .option('--keep', 'leave the data directory behind')
    .addHelpText('after', examples('wakeline demo', 'wakeline demo --json'))
    .action(async (options: { json?: boolean; keep?: boolean }) => {
      const { runDemo } = await import('./demo/demo.js');
      setExitCode(await runDemo({ json: options.json === true, keep: options.keep === true }, io));
    });

  program
    .command('help')
    .description('print help of a command')
    .argument('[command...]')
    .addHelpText('after', examples('wakeline help', 'wakeline help devices add'))
    .action(async (names: readonly string[]) => {
      if (names[0] === 'sleepbox') {
        const { runSleepboxCommand } = await import('@wakeline/sleepbox');
        setExitCode(await runSleepboxCommand(['--help'], io));
      } else findCommand(program, names).outputHelp();
    });
  refuseEarlyFlag(program, argv);
  explainErrors(program, argv);
  return program;
}

/** @throws CliError when a flag of a command stands before it: commander would only print its help */
function refuseEarlyFlag(program: Command, argv: readonly string[]): void {
  const first = argv[0] ?? '';
  if (!clientFlags.test(first)) return;
  const flag = first.replace(/=.*/, '');
  const name = program.commands.map((one) => one.name()).find((one) => argv.includes(one)) ?? 'devices';
  throw new CliError('usage', `${flag} is an option of a command and was given before it`, {
    hint: `write options after the command: wakeline ${name} ${flag}${flag === '--json' ? '' : ' …'}`,
  });
}

/** @throws CliError when there is none of these names */
function findCommand(program: Command, names: readonly string[]): Command {
  let found = program;
  for (const name of names) {
    const next = found.commands.find((one) => one.name() === name);
    if (next === undefined) {
      throw new CliError('usage', `unknown command '${name}'`, { hint: `Try: ${pathOf(found)} --help` });
    }
    found = next;
  }
  return found;
}

/** As it is typed: `wakeline devices add`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** What commander finds wrong becomes a CliError with words that fit the command. */
function explainErrors(command: Command, argv: readonly string[]): void {
  command.exitOverride((error) => {
    if (error.exitCode === 0) throw error;
    throw usageError(error, command, argv);
  });
  for (const child of command.commands) explainErrors(child, argv);
}

function usageError(
  error: CommanderError,
  command: Command,
  argv: readonly string[],
): CliError | CommanderError {
  let hint = `Try: ${pathOf(command)} --help`;
  if (error.code === 'commander.help') {
    // Help of a command that needs another one was printed, for people.
    return argv.includes('--json') ? new CliError('usage', 'a command is missing', { hint }) : error;
  }
  let message = error.message.replace(/^error: /, '');
  const isDefaultList = command.name() === 'list' && command.parent !== null && !argv.includes('list');
  if (isDefaultList) hint = `Try: ${pathOf(command.parent!)} --help`;
  if (error.code === 'commander.excessArguments') {
    const given = command.args[command.registeredArguments.length] ?? '';
    message = isDefaultList
      ? `unknown command '${given}' of ${pathOf(command.parent!)}`
      : `too many arguments: '${given}'; a text with spaces needs quotes`;
  }
  return new CliError('usage', message, { hint });
}

function addUp(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  program
    .command('up')
    .description('run a server until it gets SIGTERM or SIGINT')
    .option(
      '--data <dir>',
      'data directory (env WAKELINE_DATA; default $XDG_DATA_HOME/wakeline or ~/.local/share/wakeline)',
    )
    .option('--listen <url>', 'a listener, repeatable; any replaces the defaults', collect)
    .option('--tls-cert <file>', 'PEM certificate chain of the https, mqtts and sips listeners')
    .option('--tls-key <file>', 'PEM private key of that certificate')
    .option('--config <file>', 'YAML configuration (env WAKELINE_CONFIG), see docs/configuration.md')
    .option('--insecure', 'allow public listeners without TLS or credentials')
    .option('--behind-proxy <address>', 'a proxy in front, address or address/prefix, repeatable', collect)
    .option('--public-url <url>', 'how others reach the HTTP listeners, for Web Push endpoints')
    .option('--log-level <level>', 'silent, error, warn, info or debug')
    .option('--lines <count>', 'processes that hold the connections, beside the one that keeps the messages')
    .option('--json', 'print the ready line as JSON')
    .addHelpText(
      'after',
      examples(
        'wakeline up',
        'wakeline up --data ./data --listen http://127.0.0.1:0 --listen mqtt://127.0.0.1:0',
        'wakeline up --listen mqtts://0.0.0.0:8883 --tls-cert cert.pem --tls-key key.pem',
      ),
    )
    .action(async (options) => setExitCode(await (await import('./commands/up.js')).runUp(options, io)));
}

function addRestart(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  program
    .command('restart')
    .description('replace processes of a server with lines on this machine, as after an upgrade')
    .addArgument(new Argument('<what>', 'the hub process or the line processes').choices(['hub', 'lines']))
    .option('--data <dir>', "the server's data directory (env WAKELINE_DATA)")
    .option(...json)
    .addHelpText('after', examples('wakeline restart hub', 'wakeline restart lines --data /var/lib/wakeline'))
    .action(async (what: 'hub' | 'lines', options) => {
      const { runRestart } = await import('./commands/restart.js');
      setExitCode(await runRestart(what, options, io));
    });
}

function addSend(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  withClientOptions(program.command('send'))
    .description('send a message to a device or a topic; done when the server has it on disk')
    .argument('[text]', 'the message; - reads standard input')
    .option('--device <id>', 'to this device')
    .option('--topic <topic>', 'to every subscriber of this topic')
    .option('--channel <channel>', "channel of the device's inbox")
    .option('--ttl <duration>', 'how long it may wait, like 10s or 24h')
    .addOption(
      new Option('--urgency <urgency>', 'when to wake the device').choices([
        'very-low',
        'low',
        'normal',
        'high',
      ]),
    )
    .option('--replace <key>', 'replace an undelivered message with the same key')
    .addOption(new Option('--qos <qos>', 'strength of the delivery').choices(['1', '2']))
    .option('--retain', 'topics: keep it for later subscribers')
    .option('--content-type <type>', 'media type of the message')
    .option('--property <name=value>', 'user property, repeatable', collect)
    .option('--idempotency-key <key>', 'repeating the command with this key sends nothing twice')
    .option('--file <file>', 'read the message from a file')
    .option(
      '--wait <stage>',
      'wait until every device is there: acknowledged, or wake-sent (handed to its connection)',
    )
    .option('--timeout <duration>', 'how long to wait', '30s')
    .addHelpText(
      'after',
      examples(
        'wakeline send --device phone-1 "Your taxi is here" --ttl 10m --urgency high',
        'wakeline send --topic news/local --file story.json --content-type application/json',
        'wakeline send --device phone-1 --wait acknowledged --timeout 1m "Are you there?"',
      ),
    )
    .action(async (text, options) =>
      setExitCode(await (await import('./commands/send.js')).runSend(text, options, io)),
    );
  withClientOptions(program.command('message'))
    .description('what became of a message')
    .argument('<id>', 'as send printed it')
    .addHelpText('after', examples('wakeline message 01JABC'))
    .action(async (id, options) =>
      setExitCode(await (await import('./commands/send.js')).runMessage(id, options, io)),
    );
}

function addDevices(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/devices.js');
  const devices = program
    .command('devices')
    .description('list devices, or one of the commands below')
    .addHelpText(
      'after',
      examples('wakeline devices', 'wakeline devices add phone-1', 'wakeline devices show phone-1 --json'),
    );
  withClientOptions(devices.command('list', { isDefault: true }))
    .description('list all devices')
    .addHelpText('after', examples('wakeline devices', 'wakeline devices list --json'))
    .action(async (options) => setExitCode(await (await load()).listDevices(options, io)));
  withClientOptions(devices.command('show'))
    .description('show one device')
    .argument('<id>')
    .addHelpText('after', examples('wakeline devices show phone-1'))
    .action(async (id, options) => setExitCode(await (await load()).showDevice(id, options, io)));
  withClientOptions(devices.command('add'))
    .description('make a device, or give it a new token; prints the token this once')
    .argument('<id>')
    .option('--publish <filter>', 'topics it may publish to, repeatable; %d is its id', collect)
    .option('--subscribe <filter>', 'topics it may subscribe to, repeatable', collect)
    .addHelpText(
      'after',
      examples(
        'wakeline devices add phone-1',
        "wakeline devices add phone-1 --publish 'up/%d/#' --subscribe 'down/%d/#'",
      ),
    )
    .action(async (id, options) => setExitCode(await (await load()).addDevice(id, options, io)));
  withClientOptions(devices.command('remove'))
    .description('end a device: its connection, credential and waiting messages')
    .argument('<id>')
    .addHelpText('after', examples('wakeline devices remove phone-1'))
    .action(async (id, options) => setExitCode(await (await load()).removeDevice(id, options, io)));
  withClientOptions(devices.command('endpoints'))
    .description('list the Web Push endpoints of a device, or end one at once')
    .argument('<id>')
    .option('--end <endpoint>', 'end this one, named as in the list; its senders are told to give up')
    .addHelpText(
      'after',
      examples(
        'wakeline devices endpoints phone-1',
        'wakeline devices endpoints phone-1 --end 4a5e1e4baab89f3a',
      ),
    )
    .action(async (id, options) => setExitCode(await (await load()).showEndpoints(id, options, io)));
}

function addTokens(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/token.js');
  const token = program
    .command('token')
    .description('API tokens')
    .addHelpText('after', examples('wakeline token create --name ci --scope send', 'wakeline token list'));
  withClientOptions(token.command('create'))
    .description('make a token; prints it this once')
    .requiredOption('--name <name>', 'for people')
    .addOption(
      new Option('--scope <scope...>', 'what it may do; repeatable')
        .choices(['send', 'read', 'admin'])
        .makeOptionMandatory(),
    )
    .addHelpText('after', examples('wakeline token create --name ci --scope send read'))
    .action(async (options) => setExitCode(await (await load()).createToken(options, io)));
  withClientOptions(token.command('list'))
    .description('list the tokens, without their secrets')
    .addHelpText('after', examples('wakeline token list'))
    .action(async (options) => setExitCode(await (await load()).listTokens(options, io)));
  withClientOptions(token.command('revoke'))
    .description('end a token at once')
    .argument('<id>', 'as token list prints it')
    .option('--yes', 'also the one in admin.token, whose id is admin')
    .addHelpText('after', examples('wakeline token revoke 4fT0aQbG2kZx'))
    .action(async (id, options) => setExitCode(await (await load()).revokeToken(id, options, io)));
}

function addPasswords(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/password.js');
  const password = program
    .command('password')
    .description('passwords of the users in the configuration file');
  password
    .command('hash')
    .description(
      'print the line for the configuration file; the password is asked for, or read from standard input',
    )
    .option(...json)
    .addHelpText('after', examples('wakeline password hash', 'wakeline password hash < password.txt'))
    .action(async (options) => setExitCode(await (await load()).hashPasswordCommand(options, io)));
  password
    .command('sip')
    .description('print the line for a user of SIP; the password is asked for, or read from standard input')
    .argument('<address>', 'the user, like alice@example.org')
    .option('--md5', 'for phones that know nothing better than MD5')
    .option('--both', 'for a server that asks for SHA-256 and MD5 (sip.challenge)')
    .option(...json)
    .addHelpText(
      'after',
      examples(
        'wakeline password sip alice@example.org',
        'wakeline password sip alice@example.org --md5 < password.txt',
      ),
    )
    .action(async (address, options) =>
      setExitCode(await (await load()).sipPasswordCommand(address, options, io)),
    );
}

function addCalls(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/calls.js');
  const calls = program
    .command('calls')
    .description('list calls, or show what became of one')
    .addHelpText(
      'after',
      examples(
        'wakeline calls --missed',
        'wakeline calls --address bob@example.org',
        'wakeline calls show 3f2a91c04b7d',
      ),
    );
  withClientOptions(calls.command('list', { isDefault: true }))
    .description('list the newest calls')
    .option('--missed', 'only those that nobody answered or declined')
    .option('--address <address>', 'only those to this user')
    .option('--count <count>', 'so many at most, 1 to 999999 (default 50)')
    .addHelpText('after', examples('wakeline calls', 'wakeline calls list --missed --count 200 --json'))
    .action(async (options) => setExitCode(await (await load()).listCalls(options, io)));
  withClientOptions(calls.command('show'))
    .description('show a call as a ladder: who said what to whom, when, and why it was missed')
    .argument('<id>', 'as calls prints it; its first digits are enough')
    .addHelpText(
      'after',
      examples('wakeline calls show 3f2a91c04b7d', 'wakeline calls show 3f2a91c04b7d --json'),
    )
    .action(async (id, options) => setExitCode(await (await load()).showCall(id, options, io)));
}

function addUsers(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/users.js');
  const users = program
    .command('users')
    .description('users of SIP: list them, or one of the commands below')
    .addHelpText(
      'after',
      examples('wakeline users', 'wakeline users add bob@example.org', 'wakeline users show bob@example.org'),
    );
  withClientOptions(users.command('list', { isDefault: true }))
    .description('list all users')
    .addHelpText('after', examples('wakeline users', 'wakeline users list --json'))
    .action(async (options) => setExitCode(await (await load()).listUsers(options, io)));
  withClientOptions(users.command('add'))
    .description('make a user, or give one another password; prints the password this once')
    .argument('<address>', 'user@domain, with a domain of sip.domains')
    .option('--md5', 'for phones that know nothing better than MD5')
    .option('--both', 'for a server that asks for SHA-256 and MD5 (sip.challenge)')
    .option(
      '--device <id>',
      'a device that is told of calls, repeatable; default: one named like the address',
      collect,
    )
    .addHelpText(
      'after',
      examples(
        'wakeline users add bob@example.org',
        'wakeline users add bob@example.org --md5 --device bob-phone --device bob-desk',
      ),
    )
    .action(async (address, options) => setExitCode(await (await load()).addUser(address, options, io)));
  withClientOptions(users.command('show'))
    .description('show a user and its phones')
    .argument('<address>')
    .addHelpText('after', examples('wakeline users show bob@example.org'))
    .action(async (address, options) => setExitCode(await (await load()).showUser(address, options, io)));
  withClientOptions(users.command('remove'))
    .description('end a user with its bindings; its calls go on to their end')
    .argument('<address>')
    .addHelpText('after', examples('wakeline users remove bob@example.org'))
    .action(async (address, options) => setExitCode(await (await load()).removeUser(address, options, io)));
  withClientOptions(users.command('bindings'))
    .description('where the phones of a user are, and whether they are connected')
    .argument('<address>')
    .addHelpText('after', examples('wakeline users bindings bob@example.org'))
    .action(async (address, options) => setExitCode(await (await load()).showBindings(address, options, io)));
}

function addBackups(program: Command, io: CliIo, setExitCode: (code: number) => void): void {
  const load = () => import('./commands/backup.js');
  withClientOptions(program.command('backup'))
    .description("copy the store of the running server; prints the directory, on the server's machine")
    .addHelpText(
      'after',
      examples('wakeline backup', 'wakeline backup --json', 'cp -r "$(wakeline backup)" /mnt/backups/'),
    )
    .action(async (options) => setExitCode(await (await load()).runBackup(options, io)));
  program
    .command('restore')
    .description('make a data directory from a backup; needs no server')
    .argument('<source>', 'directory that wakeline backup has made, or a copy of it')
    .requiredOption('--data <dir>', 'the data directory to make: new or empty')
    .option(...json)
    .addHelpText(
      'after',
      examples(
        'wakeline restore /mnt/backups/20261123T054500.123Z --data ./data',
        'wakeline up --data ./data',
      ),
    )
    .action(async (source, options) => setExitCode(await (await load()).runRestore(source, options, io)));
}
