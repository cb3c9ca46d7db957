/**
 * docs/guides/sip-phones.md and beside-a-pbx.md: the server's configurations and commands that stand there, on free
 * ports. Their blocks for baresip and Kamailio are what baresip.ts and kamailio.ts start, here as in the tests of calls.
 */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Baresip } from './baresip.js';
import { codeOf } from './guide.js';
import { Kamailio, KAMAILIO } from './kamailio.js';
import { Program, startWakeline, wakeline, whyMissing } from './program.js';
import { Sipp } from './sipp.js';
import { SmallPhone } from './small-phone.js';
import { freePort, temporaryDirectory, until, wakelineBin } from './support.js';

const fixtures = fileURLToPath(new URL('../../packages/server/test/fixtures/', import.meta.url));

/** Where the PBX of the second guide is, in place of 192.0.2.10. */
const PBX_ADDRESS = '127.0.0.22';
const PASSWORD = 'secret';
const PASSWORD_LINE = 'sha-256:… # npx';

class Reader {
  readonly path: string;
  readonly #ends: { end(): Promise<unknown> }[] = [];
  readonly #remove: () => void;
  #environment: Readonly<Record<string, string>> = {};

  constructor() {
    const directory = temporaryDirectory('wakeline-guide');
    this.path = directory.path;
    this.#remove = () => directory.remove();
    copyFileSync(join(fixtures, 'first.cert.pem'), join(this.path, 'cert.pem'));
    copyFileSync(join(fixtures, 'first.key.pem'), join(this.path, 'key.pem'));
  }

  keep<T extends { end(): Promise<unknown> }>(one: T): T {
    this.#ends.push(one);
    return one;
  }

  /** What a command prints. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const program = wakeline(args, { cwd: this.path, env: this.#environment });
    program.write(input);
    program.endInput();
    const { code, stdout, stderr } = await program.ended;
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  }

  /** The line for the configuration file, made as the comment beside it says. */
  async passwordOf(address: string, ...more: readonly string[]): Promise<string> {
    return this.run(['password', 'sip', address, ...more], `${PASSWORD}\n`);
  }

  /** `wakeline up --config wakeline.yaml`, with calls that wait two seconds. */
  async start(yaml: string, httpPort: number): Promise<void> {
    writeFileSync(join(this.path, 'wakeline.yaml'), yaml);
    const args = ['--config', 'wakeline.yaml', '--data', join(this.path, 'data')];
    const { server } = await startWakeline(args, { cwd: this.path });
    this.keep({ end: () => server.end('SIGTERM') });
    this.#environment = {
      WAKELINE_SERVER: `http://127.0.0.1:${httpPort}`,
      WAKELINE_DATA: join(this.path, 'data'),
    };
  }

  /** A block of commands in a shell where `npx wakeline` is the command of this tree. */
  shell(script: string, onLine: (line: string) => void): Program {
    const npx = `npx() { shift; "${process.execPath}" "${wakelineBin}" "$@"; }`;
    const program = new Program(
      'bash',
      ['-c', `${npx}\n${script.replace('\nmosquitto_sub', '\nexec mosquitto_sub')}`],
      {
        cwd: this.path,
        env: this.#environment,
        onLine,
      },
    );
    program.endInput();
    return this.keep(program);
  }

  /** The last line of `wakeline calls show` of the newest call. */
  async whyMissed(): Promise<string> {
    const [newest] = (await this.run(['calls', '--missed', '--json'])).split('\n');
    const { id } = JSON.parse(newest!) as { readonly id: string };
    return (await this.run(['calls', 'show', id.slice(0, 12)])).split('\n').at(-1)!;
  }

  async close(): Promise<void> {
    for (const one of this.#ends.toReversed()) await one.end();
    this.#remove();
  }
}

async function read(body: (reader: Reader) => Promise<void>): Promise<void> {
  const reader = new Reader();
  try {
    await body(reader);
  } finally {
    await reader.close();
  }
}

const missingForPhones = whyMissing('mosquitto_sub');
test(
  'docs/guides/sip-phones.md: a user of the file is called, and another is told of the call that was missed',
  { skip: missingForPhones ?? false },
  async () => {
    await read(async (reader) => {
      const [http, mqtt, sip] = [await freePort(), await freePort(), await freePort()];
      const yaml = codeOf('sip-phones.md', 'server', {
        '127.0.0.1:8600': `127.0.0.1:${http}`,
        '127.0.0.1:1883': `127.0.0.1:${mqtt}`,
        'sips://0.0.0.0:5061': `sip+tcp://127.0.0.1:${sip}`,
        [PASSWORD_LINE]: `${await reader.passwordOf('bob@home.test')} # npx`,
      });
      await reader.start(`${yaml}\n  park: 2s\n`, http);
      const told: string[] = [];
      const block = codeOf('sip-phones.md', 'told', { mosquitto_sub: `mosquitto_sub -p ${mqtt}` });
      const shell = reader.shell(block, (line) => told.push(line));
      await until(
        async () => (await reader.run(['devices'])).includes('carol-phone'),
        60_000,
        () => `carol's device is there: ${shell.stderr}`,
      );

      const bob = reader.keep(new SmallPhone({ address: 'bob@home.test', password: PASSWORD, port: sip }));
      await bob.registered();
      const password = await reader.run(['users', 'add', 'ann@home.test']);
      const call = async (address: string): Promise<SmallPhone> => {
        const options = { address: 'ann@home.test', password, port: sip, call: { address, seconds: 1 } };
        return reader.keep(new SmallPhone(options));
      };
      await (await call('bob@home.test')).event('answered');
      assert.equal((await (await call('carol@home.test')).event('failed')).status, 480);
      const states = (): unknown[] =>
        told
          .filter((line) => line.startsWith('{'))
          .map((line) => (JSON.parse(line) as { state: unknown }).state);
      await until(
        () => states().includes('missed'),
        60_000,
        () => `carol-phone is told: ${told.join('\n')} ${shell.stderr}`,
      );
      assert.equal(states()[0], 'ringing');
      assert.match(
        await reader.whyMissed(),
        /^Missed after .* no phone is registered; carol-phone did not come/,
      );
    });
  },
);

const missingForPbx = whyMissing('sipp', 'baresip', KAMAILIO);
test(
  'docs/guides/beside-a-pbx.md: Kamailio calls a phone that is registered here',
  { skip: missingForPbx ?? false },
  async () => {
    await read(async (reader) => {
      const [http, phones, trunk, pbxPort] = [
        await freePort(),
        await freePort(),
        await freePort(),
        await freePort(),
      ];
      const yaml = codeOf('beside-a-pbx.md', 'server', {
        '127.0.0.1:8600': `127.0.0.1:${http}`,
        'sips://0.0.0.0:5061': `sip+tcp://127.0.0.1:${phones}`,
        '192.0.2.1:5080': `127.0.0.1:${trunk}`,
        '192.0.2.10:5060': `${PBX_ADDRESS}:${pbxPort}`,
        '192.0.2.10': PBX_ADDRESS,
        [PASSWORD_LINE]: `${await reader.passwordOf('101@home.test', '--md5')} # npx`,
      });
      await reader.start(yaml, http);
      const phone = reader.keep(
        await Baresip.start({
          address: '101@home.test',
          password: PASSWORD,
          port: phones,
          registrationSeconds: 3_600,
          directory: join(reader.path, 'baresip'),
        }),
      );
      await phone.registered();
      reader.keep(
        await Kamailio.start({
          role: 'pbx',
          directory: join(reader.path, 'pbx'),
          address: PBX_ADDRESS,
          port: pbxPort,
          trunk: { domain: 'home.test', port: trunk },
        }),
      );
      const call = reader.keep(
        await Sipp.start({
          scenario: 'caller',
          server: `${PBX_ADDRESS}:${pbxPort}`,
          service: '101',
          keys: { domain: 'home.test', caller: 'ann' },
          holdMs: 500,
          directory: join(reader.path, 'call'),
        }),
      );
      await call.success();
      assert.match(await reader.run(['calls']), /101@home\.test\s+answered\s+200/);
    });
  },
);
