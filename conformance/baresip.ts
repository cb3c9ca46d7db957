/**
 * baresip as a phone: a configuration folder that works without a sound card, the program alone or in a sleepbox, and
 * its control connection (netstrings of JSON).
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Box } from './box.js';
import type { BoxOptions } from './box.js';
import { codeOf } from './guide.js';
import type { CallVoice, Phone } from './phone.js';
import { PATIENCE_MS, Program } from './program.js';
import { freePort, until } from './support.js';

/** Debian's place of them. */
const MODULES = '/usr/lib/baresip/modules';

/** Of a call that it does not take by itself, and of one that it does. */
const INCOMING = /Incoming call from|answering call on line/;

export interface BaresipOptions {
  /** Kept over restarts: the device's identity is in it. */
  readonly directory: string;
  /** `user@domain`. */
  readonly address: string;
  readonly password?: string;
  /** The registrar's TCP port on 127.0.0.1. */
  readonly port: number;
  /** `auto`: takes each call as it rings. */
  readonly answers?: 'auto' | 'manual';
  /** How long it asks a registration to last, seconds. */
  readonly registrationSeconds?: number;
  /** Without it: alone and always awake. */
  readonly box?: Pick<BoxOptions, 'name' | 'runtimeDirectory' | 'profile' | 'modes' | 'window'> | undefined;
}

export class Baresip implements Phone {
  readonly address: string;
  /** Lines of its output so far, without colours. */
  readonly lines: string[] = [];
  /** What it told at the end of calls. */
  readonly #voices: (CallVoice & { readonly line: number })[] = [];
  readonly #controlPort: number;
  #box: Box | undefined;
  #program: Program | undefined;

  private constructor(address: string, controlPort: number) {
    this.address = address;
    this.#controlPort = controlPort;
  }

  /** Resolves when it is launched; see {@link registered}. */
  static async start(options: BaresipOptions): Promise<Baresip> {
    const phone = new Baresip(options.address, await freePort());
    const command = ['baresip', '-f', options.directory];
    prepare(options, phone.#controlPort);
    const onLine = (line: string): void => phone.#handleLine(line);
    if (options.box !== undefined) {
      const box = { ...options.box, command, wakePort: options.port, onOutput: onLine };
      phone.#box = new Box(box);
      await phone.#box.until(() => phone.#box!.count('launch') > 0, 'launched');
    } else {
      phone.#program = new Program(command[0], command.slice(1), { onLine });
      phone.#program.endInput();
    }
    return phone;
  }

  /** The sleepbox that it was started in. */
  get box(): Box {
    if (this.#box === undefined) throw new Error('started without a box');
    return this.#box;
  }

  get pid(): number {
    return this.#program?.pid ?? this.box.pid;
  }

  get position(): number {
    return this.lines.length;
  }

  /** Lines that match, from line `from`. */
  count(pattern: RegExp, from = 0): number {
    return this.lines.slice(from).filter((line) => pattern.test(line)).length;
  }

  /** Resolves when a line from `from` on matches. */
  async line(pattern: RegExp, from = 0, timeoutMs = PATIENCE_MS): Promise<void> {
    await until(
      () => this.count(pattern, from) > 0,
      timeoutMs,
      () => `${this.address} says ${pattern}; ${this.tell()}`,
    );
  }

  async registered(from = 0, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.line(/\{\d+\/TCP\/v4\} 200 /, from, timeoutMs);
  }

  async incoming(from = 0, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.line(INCOMING, from, timeoutMs);
  }

  countIncoming(from = 0): number {
    // Taking a call is told in the words of one that it takes by itself.
    return Math.max(this.count(/Incoming call from/, from), this.count(/answering call on line/, from));
  }

  async answer(): Promise<void> {
    await this.#box?.ctl('wake');
    await this.command('accept');
  }

  async voice(from = 0): Promise<CallVoice> {
    const find = (): CallVoice | undefined => this.#voices.find(({ line }) => line >= from);
    await until(
      () => find() !== undefined,
      PATIENCE_MS,
      () => `${this.address} tells of a call's end; ${this.tell()}`,
    );
    return find()!;
  }

  /** One command of baresip's menu, as `accept`, `hangup`, `dial`; resolves with its answer when it is done. */
  async command(name: string, parameters = ''): Promise<string> {
    const socket = connect(this.#controlPort, '127.0.0.1');
    try {
      return await new Promise<string>((resolve, reject) => {
        const timer = setTimeout(() => {
          reject(new Error(`${this.address}: no answer to ${name}; ${this.tell()}`));
        }, PATIENCE_MS);
        socket.once('error', reject);
        socket.once('close', () => clearTimeout(timer));
        readAnswer(socket, resolve);
        const json = JSON.stringify({ command: name, params: parameters, token: 'test' });
        socket.write(`${Buffer.byteLength(json)}:${json},`);
      });
    } finally {
      socket.destroy();
    }
  }

  crash(): void {
    process.kill(this.pid, 'SIGKILL');
  }

  async end(): Promise<void> {
    await this.#program?.end();
    await this.#box?.end();
  }

  /** The last of its output, for a failure's message. */
  tell(): string {
    return this.#box?.tell() ?? this.lines.slice(-40).join('\n') + (this.#program?.stderr ?? '');
  }

  #handleLine(coloured: string): void {
    // oxlint-disable-next-line no-control-regex
    const line = coloured.replaceAll(/\u001B\[[\d;]*m/g, '');
    this.lines.push(line);
    const packets = /^packets:\s+(\d+)\s+(\d+)/.exec(line);
    if (packets === null) return;
    const [, sent, received] = packets;
    this.#voices.push({
      line: this.lines.length - 1,
      sentPackets: Number(sent),
      receivedPackets: Number(received),
    });
  }
}

/** Writes the folder. The identity in it stays: baresip makes it at its first start. */
function prepare(options: BaresipOptions, controlPort: number): void {
  const { directory, address, password = 'secret', port, answers = 'auto' } = options;
  const { registrationSeconds = 60 } = options;
  mkdirSync(directory, { recursive: true });
  const settings = [
    'sip_listen 127.0.0.1:0',
    'net_interface 127.0.0.1',
    'call_local_timeout 180',
    'call_max_calls 4',
    'audio_source ausine,440',
    `audio_player aufile,${join(directory, 'heard.wav')}`,
    `audio_alert aufile,${join(directory, 'alert.wav')}`,
    // Without these it rings and then finds no codec to answer with.
    'ausrc_srate 48000',
    'ausrc_channels 2',
    'auplay_srate 8000',
    'auplay_channels 1',
    'audio_level no',
    'rtp_ports 20000-29998',
    // Tells at the end of a call how many packets went each way.
    'rtp_stats yes',
    // Its status line is drawn with terminal codes, ten times a second.
    'statmode_default off',
    `module_path ${MODULES}`,
    'module g711.so',
    'module ausine.so',
    'module aufile.so',
    'module ctrl_tcp.so',
    // In this order: the account has the identity.
    'module_tmp uuid.so',
    'module_tmp account.so',
    'module_app menu.so',
    `ctrl_tcp_listen 127.0.0.1:${controlPort}`,
  ];
  writeFileSync(join(directory, 'config'), `${settings.join('\n')}\n`);
  const account = codeOf('sip-phones.md', 'accounts', {
    'bob@home.test': address,
    'auth_user=bob': `auth_user=${address.split('@')[0]}`,
    'auth_pass=secret': `auth_pass=${password}`,
    'regint=3600': `regint=${registrationSeconds}`,
    '127.0.0.1:5060': `127.0.0.1:${port}`,
  });
  writeFileSync(join(directory, 'accounts'), `${account};answermode=${answers};audio_codecs=pcmu\n`);
  writeFileSync(join(directory, 'contacts'), '');
}

/** The device's identity (`+sip.instance`), of a folder that baresip was started with. */
export function instanceOf(directory: string): string {
  const file = join(directory, 'uuid');
  if (!existsSync(file)) throw new Error(`${directory}: never started`);
  return readFileSync(file, 'utf8').trim();
}

/** Calls back with the first answer; events that come before it are passed over. */
function readAnswer(socket: Socket, onAnswer: (data: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    rest += text;
    for (;;) {
      const colon = rest.indexOf(':');
      if (colon < 0) return;
      const end = colon + 1 + Number(rest.slice(0, colon));
      if (rest.length <= end) return;
      const message = JSON.parse(rest.slice(colon + 1, end)) as { response?: boolean; data?: string };
      rest = rest.slice(end + 1);
      if (message.response === true) onAnswer(message.data ?? '');
    }
  });
}
