/**
 * The SIP programs of the demo: the phone that is called, which is baresip where it is installed and a small phone of
 * this package elsewhere, and the phone of the caller. Both are told about by what they print.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The one domain of the demo. */
export const DOMAIN = 'home.test';
export const PASSWORD = 'demo';

/** Where Debian and others put baresip's modules. */
const MODULE_FOLDERS = ['/usr/lib/baresip/modules', '/usr/local/lib/baresip/modules'];

export interface PhoneProgram {
  /** What it is, for people. */
  readonly title: string;
  readonly command: readonly string[];
  /** What a line of its output means to the demo; undefined: nothing. */
  read(line: string): PhoneTold | undefined;
}

export type PhoneTold =
  | { readonly what: 'registered' | 'ringing' | 'answered' }
  | { readonly what: 'progress'; readonly status: number; readonly reason: string }
  | { readonly what: 'voice'; readonly sentPackets: number; readonly receivedPackets: number };

/** The phone that sleeps: registers as `user` with the server's port, and takes calls by itself. */
export async function phoneProgram(user: string, port: number, directory: string): Promise<PhoneProgram> {
  const modules = MODULE_FOLDERS.find((folder) => existsSync(join(folder, 'ctrl_tcp.so')));
  const isThere = spawnSync('sh', ['-c', 'command -v baresip']).status === 0;
  if (modules !== undefined && isThere) return baresip(user, port, join(directory, 'baresip'), modules);
  return smallPhone(user, port, ['--answer-after', '1']);
}

/** The caller's phone: registers, calls, hangs up after the seconds, and leaves. */
export function callerProgram(user: string, port: number, callee: string, seconds: number): PhoneProgram {
  return smallPhone(user, port, ['--call', `${callee}@${DOMAIN}`, '--for', String(seconds)]);
}

interface SmallPhoneLine {
  readonly what: string;
  readonly status: number;
  readonly reason: string;
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

function smallPhone(user: string, port: number, more: readonly string[]): PhoneProgram {
  // From dist/src/demo of this package.
  const file = fileURLToPath(new URL('../../../examples/sip-phone/phone.mjs', import.meta.url));
  const args = ['--json', '--address', `${user}@${DOMAIN}`, '--password', PASSWORD];
  return {
    title: 'the small phone in examples/sip-phone',
    command: [process.execPath, file, ...args, '--server', `127.0.0.1:${port}`, ...more],
    read: (text) => {
      if (!text.startsWith('{')) return undefined;
      const line = JSON.parse(text) as SmallPhoneLine;
      switch (line.what) {
        case 'registered':
        case 'ringing':
        case 'answered':
          return { what: line.what };
        case 'progress':
        case 'failed':
        case 'refused':
          return { what: 'progress', status: line.status, reason: line.reason };
        case 'over':
          return { what: 'voice', sentPackets: line.sentPackets, receivedPackets: line.receivedPackets };
        default:
          return undefined;
      }
    },
  };
}

async function baresip(
  user: string,
  port: number,
  directory: string,
  modules: string,
): Promise<PhoneProgram> {
  mkdirSync(directory, { recursive: true });
  const settings = [
    'sip_listen 127.0.0.1:0',
    'net_interface 127.0.0.1',
    'audio_source ausine,440',
    `audio_player aufile,${join(directory, 'heard.wav')}`,
    // Without these it rings and then finds no codec to answer with.
    'ausrc_srate 48000',
    'ausrc_channels 2',
    'auplay_srate 8000',
    'auplay_channels 1',
    'rtp_stats yes',
    'statmode_default off',
    `module_path ${modules}`,
    'module g711.so',
    'module ausine.so',
    'module aufile.so',
    // Nobody steers it, but without a way to be steered it reads the terminal.
    'module ctrl_tcp.so',
    `ctrl_tcp_listen 127.0.0.1:${await freePort()}`,
    // In this order: the account has the identity.
    'module_tmp uuid.so',
    'module_tmp account.so',
    'module_app menu.so',
  ];
  writeFileSync(join(directory, 'config'), `${settings.join('\n')}\n`);
  const account = [
    `<sip:${user}@${DOMAIN}>`,
    `auth_user=${user}`,
    `auth_pass=${PASSWORD}`,
    'regint=3600',
    'sipnat=outbound',
    `outbound="sip:127.0.0.1:${port};transport=tcp"`,
    'answermode=auto',
    'audio_codecs=pcmu',
  ];
  writeFileSync(join(directory, 'accounts'), `${account.join(';')}\n`);
  writeFileSync(join(directory, 'contacts'), '');
  return {
    title: 'baresip, as it is',
    command: ['baresip', '-f', directory],
    read: (line) => {
      if (/\{\d+\/TCP\/v4\} 200 /.test(line)) return { what: 'registered' };
      if (/answering call on line/.test(line)) return { what: 'ringing' };
      if (/Call established/.test(line)) return { what: 'answered' };
      const packets = /^packets:\s+(\d+)\s+(\d+)/.exec(line);
      if (packets === null) return undefined;
      return { what: 'voice', sentPackets: Number(packets[1]), receivedPackets: Number(packets[2]) };
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
