/**
 * A NAT of the Linux kernel in front of the program, in namespaces of its own: starts `native/sleepbox-nat.sh`, which
 * builds and holds it, and says how a command is run behind it. Root only. It must not touch a setting of the whole machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { SleepboxError } from './errors.js';
import { limits } from './limits.js';

/** What kind of NAT. */
export interface NatOptions {
  /** How long a flow (established TCP, or UDP) may be idle before it is forgotten, ms: whole seconds. */
  readonly idleMs: number;
  /**
   * What happens to a TCP flow that was forgotten. False (default): nothing of it passes any more. True: what the program
   * sends begins it anew (`nf_conntrack_tcp_loose=1`); until then nothing passes inward.
   */
  readonly loose?: boolean;
}

/** By this address the program reaches the machine's 127.0.0.1; the same in every box. */
export const natHost = '198.18.0.1';

const script = fileURLToPath(new URL('../../native/sleepbox-nat.sh', import.meta.url));

/** Programs that are needed, with the Debian packages that have them. */
const programs = { ip: 'iproute2', nft: 'nftables', nsenter: 'util-linux', unshare: 'util-linux' } as const;

/** What the kernel lacks when a step of the script fails. */
const needs: Readonly<Record<string, string>> = {
  namespace: 'network namespaces (CONFIG_NET_NS)',
  veth: 'virtual Ethernet pairs (kernel module veth)',
  addresses: 'the addresses 198.18.0.0/30 and 198.19.0.0/16 free',
  forwarding: 'a /proc/sys/net that may be written',
  rules: 'NAT in nftables (kernel modules nf_tables, nft_nat, nft_masq, nft_ct)',
  conntrack: 'connection tracking (kernel module nf_conntrack) and a /proc/sys/net that may be written',
  outside: 'NAT in nftables on the machine itself',
};

/** Runs a command with the file that follows in the place of /etc/resolv.conf, for it alone. */
const withResolvConf: readonly string[] = [
  'unshare',
  '--mount',
  '--propagation',
  'slave',
  '--',
  '/bin/sh',
  '-c',
  'mount --bind "$0" /etc/resolv.conf && exec "$@"',
];

/** Exit code of the script when the number is in use. */
const takenCode = 3;

/** A NAT that stands. */
export class Nat {
  readonly #child: ChildProcess;
  readonly #resolvConf: string | undefined;
  #isClosed = false;
  /** Address as which the machine sees the program. */
  readonly address: string;
  /** Whether the program also gets beyond the machine: where the machine forwards (`net.ipv4.ip_forward`). */
  readonly isOutsideReached: boolean;

  private constructor(
    { child, hostAddress, isOutsideReached }: Started,
    resolvConf: string | undefined,
    onLost: (error: SleepboxError) => void,
  ) {
    this.#child = child;
    this.#resolvConf = resolvConf;
    this.address = hostAddress.replace(/\d+$/, (last) => String(Number(last) + 1));
    this.isOutsideReached = isOutsideReached;
    child.on('exit', () => {
      if (!this.#isClosed)
        onLost(new SleepboxError('NO_NAT', 'the NAT has ended; the program has no network'));
    });
  }

  /**
   * Builds a NAT. `directory` is for a file that lasts as long as the NAT; `onLost` is called if it ends by itself.
   * @throws SleepboxError NO_NAT, with what is missing by name; then nothing is left behind
   */
  static async open(
    options: NatOptions,
    directory: string,
    onLost: (error: SleepboxError) => void,
  ): Promise<Nat> {
    const missing = missingForNat(process.getuid?.(), process.env['PATH']);
    if (missing.length > 0) throw new SleepboxError('NO_NAT', `--nat needs ${missing.join(', ')}`);
    const tried = new Set<number>();
    for (let attempt = 0; attempt < limits.natAttemptsMax; attempt++) {
      const number = findFreeNumber(tried);
      tried.add(number);
      const started = await start(number, options);
      // Undefined: another box was faster.
      if (started !== undefined) return new Nat(started, writeResolvConf(directory), onLost);
    }
    throw new SleepboxError('NO_NAT', 'all numbers of NATs are taken', { retryable: true });
  }

  /** Pid of the process that holds it. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How to start a command behind it; the process id stays that of what is started. */
  wrap(command: readonly string[]): readonly string[] {
    const inside =
      this.#resolvConf === undefined ? command : [...withResolvConf, this.#resolvConf, ...command];
    return ['nsenter', `--net=/proc/${this.#child.pid}/fd/3`, '--', ...inside];
  }

  /** Takes everything away; resolves when it is gone. Idempotent. */
  async close(): Promise<void> {
    const { exitCode, signalCode, stdin } = this.#child;
    if (this.#isClosed || exitCode !== null || signalCode !== null) return;
    this.#isClosed = true;
    const ended = once(this.#child, 'exit');
    stdin?.end('bye\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), limits.natStepsMsMax);
    await ended;
    clearTimeout(timer);
  }
}

/** What a user with this id lacks: root, programs that are neither in `path` nor where root's programs are. */
export function missingForNat(userId: number | undefined, path = ''): string[] {
  const directories = [...path.split(':').filter(Boolean), '/usr/sbin', '/sbin'];
  const missing = Object.entries(programs)
    .filter(([program]) => !directories.some((directory) => isExecutable(join(directory, program))))
    .map(([program, debianPackage]) => `${program} (Debian: ${debianPackage})`);
  return userId === 0 ? missing : ['root', ...missing];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A number whose link the machine does not have; whether it is free is decided by the kernel. From a random one on: what servers
 * still send to a box that has just ended must not reach the next one.
 */
function findFreeNumber(tried: ReadonlySet<number>): number {
  const names = new Set(Object.keys(networkInterfaces()));
  const first = randomInt(limits.natsMax);
  for (let i = 0; i < limits.natsMax; i++) {
    const number = (first + i) % limits.natsMax;
    if (!tried.has(number) && !names.has(`sleepbox${number}`)) return number;
  }
  throw new SleepboxError('NO_NAT', `there are ${limits.natsMax} NATs already`, { retryable: true });
}

interface Started {
  readonly child: ChildProcess;
  readonly hostAddress: string;
  readonly isOutsideReached: boolean;
}

/** Undefined: the number is taken. */
async function start(number: number, options: NatOptions): Promise<Started | undefined> {
  const idleSeconds = options.idleMs / 1_000;
  const child = spawn(
    '/bin/sh',
    [script, String(number), String(idleSeconds), options.loose === true ? '1' : '0'],
    // A session of its own: Ctrl-C is for sleepbox.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  child.stdin.on('error', () => {}); // 'exit' tells
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    errors = (errors + chunk).slice(-limits.natErrorCharactersMax);
  });
  let step = 'namespace';
  let output = '';
  const timer = setTimeout(() => child.kill('SIGKILL'), limits.natStepsMsMax);
  try {
    return await new Promise<Started | undefined>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new SleepboxError('NO_NAT', `--nat needs ${needs[step] ?? step}: ${why}`));
      };
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
        for (let end = output.indexOf('\n'); end >= 0; end = output.indexOf('\n')) {
          const [word, value = '', reach] = output.slice(0, end).split(' ');
          output = output.slice(end + 1);
          if (word === 'step') step = value;
          if (word === 'ready') resolve({ child, hostAddress: value, isOutsideReached: reach === 'outside' });
        }
      });
      child.on('error', (error) => fail(error.message));
      child.on('close', (code, signal) => {
        if (code === takenCode) resolve(undefined);
        else fail(errors.trim().split('\n')[0] || `the script ended with ${signal ?? code}`);
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Name servers for the program when all of the machine's are at loopback addresses, which are the program's own behind
 * the NAT: those behind systemd-resolved, else the machine's 127.0.0.1. Undefined: the machine's file does as it is.
 */
function writeResolvConf(directory: string): string | undefined {
  const isReached = (text: string): boolean => /^nameserver\s+(?!127\.|::1\b)\S/m.test(text);
  if (isReached(readText('/etc/resolv.conf'))) return undefined;
  const behind = readText('/run/systemd/resolve/resolv.conf');
  const file = join(directory, 'resolv.conf');
  writeFileSync(file, isReached(behind) ? behind : `nameserver ${natHost}\n`, { mode: 0o644 });
  return file;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
