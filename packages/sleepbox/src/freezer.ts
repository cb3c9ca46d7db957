/**
 * Stops a whole process tree and lets it run again: by the cgroup freezer (version 2 or 1), which nothing in
 * the tree can leave or notice, or by SIGSTOP to the program's session where no cgroup may be made. It must never leave a
 * frozen process or a cgroup behind: see also `guardian.ts` and `sweep.ts`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { SleepboxError } from './errors.js';
import { limits } from './limits.js';
import { readPidNamespace, readProcessStat, readSession, sendSignal } from './processes.js';

/** Ways of freezing. */
export type FreezerKind = 'cgroup-v2' | 'cgroup-v1' | 'signal';
/** What `--freezer` may say; `cgroup` takes version 2 if it can. */
export type FreezerChoice = 'auto' | 'cgroup' | FreezerKind;

export interface Freezer {
  readonly kind: FreezerKind;
  /** The cgroup's directory; undefined for signals. */
  readonly directory: string | undefined;
  /** How to start a command so that it and all its children are in the group from the first moment. */
  wrap(command: readonly string[]): readonly string[];
  /** The program has been started; it leads a session of its own. */
  handleLaunched(pid: number): void;
  /** Pids of the tree. */
  pids(): number[];
  /** @throws SleepboxError FREEZE_FAILED */
  freeze(): Promise<void>;
  /** At once, idempotent. */
  thaw(): void;
  /** Sends a signal to each process of the tree. */
  signal(signal: NodeJS.Signals): void;
  /** The group itself is removed; the tree must be gone. */
  remove(): Promise<void>;
}

/** Cgroup directories of ours begin like this; the rest names the owner: pid namespace, pid, start time, count. */
export const cgroupPrefix = 'wakeline-sleepbox-';

const files = {
  'cgroup-v2': { control: 'cgroup.freeze', freeze: '1', thaw: '0' },
  'cgroup-v1': { control: 'freezer.state', freeze: 'FROZEN', thaw: 'THAWED' },
} as const;

class CgroupFreezer implements Freezer {
  readonly kind: 'cgroup-v2' | 'cgroup-v1';
  readonly directory: string;

  constructor(kind: 'cgroup-v2' | 'cgroup-v1', directory: string) {
    this.kind = kind;
    this.directory = directory;
  }

  wrap(command: readonly string[]): readonly string[] {
    // The shell enters the group and becomes the command: no child can be born outside.
    return ['/bin/sh', '-c', 'echo $$ > "$0" && exec "$@"', join(this.directory, 'cgroup.procs'), ...command];
  }

  handleLaunched(): void {}

  pids(): number[] {
    try {
      const text = readFileSync(join(this.directory, 'cgroup.procs'), 'latin1');
      return text.split('\n').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  }

  async freeze(): Promise<void> {
    const { control, freeze } = files[this.kind];
    const endsAt = performance.now() + limits.freezeMsMax;
    do {
      // Version 1 may stay FREEZING until it is told again.
      this.#write(control, freeze);
      if (this.#isFrozen()) return;
      await delay(1);
    } while (performance.now() < endsAt);
    this.thaw();
    throw new SleepboxError('FREEZE_FAILED', `the ${this.kind} freezer did not report the program frozen`, {
      retryable: true,
    });
  }

  thaw(): void {
    const { control, thaw } = files[this.kind];
    this.#write(control, thaw);
  }

  signal(signal: NodeJS.Signals): void {
    for (const pid of this.pids()) sendSignal(pid, signal);
  }

  async remove(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      try {
        rmdirSync(this.directory);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
        await delay(10); // the last process is still being buried
      }
    }
  }

  #isFrozen(): boolean {
    if (this.kind === 'cgroup-v1') return this.#read('freezer.state').startsWith('FROZEN');
    return this.#read('cgroup.events').includes('frozen 1');
  }

  #read(file: string): string {
    return readFileSync(join(this.directory, file), 'latin1');
  }

  #write(file: string, text: string): void {
    try {
      writeFileSync(join(this.directory, file), text);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}

class SignalFreezer implements Freezer {
  readonly kind = 'signal';
  readonly directory = undefined;
  #session = 0;
  #pids: number[] = [];
  #pidsAt = -Infinity;

  wrap(command: readonly string[]): readonly string[] {
    return command;
  }

  handleLaunched(pid: number): void {
    this.#session = pid;
    this.#pidsAt = -Infinity;
  }

  pids(): number[] {
    // Walking /proc costs some milliseconds; the freeze itself walks it anew.
    if (performance.now() - this.#pidsAt > 500) this.#refresh();
    return this.#pids;
  }

  async freeze(): Promise<void> {
    const endsAt = performance.now() + limits.freezeMsMax;
    do {
      this.#signalGroups('SIGSTOP');
      const states = this.#refresh();
      if (states.every((state) => state === 'T' || state === 't')) return;
      await delay(1);
    } while (performance.now() < endsAt);
    this.thaw();
    throw new SleepboxError('FREEZE_FAILED', 'the program did not stop', { retryable: true });
  }

  thaw(): void {
    this.#signalGroups('SIGCONT');
  }

  signal(signal: NodeJS.Signals): void {
    this.#signalGroups(signal);
  }

  async remove(): Promise<void> {}

  #refresh(): string[] {
    if (this.#session === 0) return [];
    const stats = readSession(this.#session);
    this.#pids = stats.map((stat) => stat.pid);
    this.#pidsAt = performance.now();
    return stats.map((stat) => stat.state);
  }

  /** The leader's group, and those that a shell has made for its jobs. */
  #signalGroups(signal: NodeJS.Signals): void {
    if (this.#session === 0) return;
    const groups = new Set(readSession(this.#session).map((stat) => stat.processGroup));
    for (const group of groups) sendSignal(-group, signal);
  }
}

/** Directories in which a cgroup of ours may be made, best first. */
export function findCgroupParents(): { kind: 'cgroup-v2' | 'cgroup-v1'; directory: string }[] {
  const parents: { kind: 'cgroup-v2' | 'cgroup-v1'; directory: string }[] = [];
  let mounts = '';
  let own = '';
  try {
    mounts = readFileSync('/proc/self/mounts', 'latin1');
    own = readFileSync('/proc/self/cgroup', 'latin1');
  } catch {
    return parents;
  }
  const add = (kind: 'cgroup-v2' | 'cgroup-v1', mount: string, group: string): void => {
    // One's own group first: that is what a user may have been given. Then the root, which root may use.
    for (const directory of [join(mount, group), mount]) {
      if (!parents.some((parent) => parent.directory === directory)) parents.push({ kind, directory });
    }
  };
  for (const line of mounts.split('\n')) {
    const [, mount, type] = line.split(' ');
    if (mount !== undefined && type === 'cgroup2')
      add('cgroup-v2', mount, /^0::(.*)$/m.exec(own)?.[1] ?? '/');
  }
  for (const line of mounts.split('\n')) {
    const [, mount, type, options = ''] = line.split(' ');
    if (mount === undefined || type !== 'cgroup' || !options.split(',').includes('freezer')) continue;
    add('cgroup-v1', mount, /^\d+:(?:[^:]*,)?freezer(?:,[^:]*)?:(.*)$/m.exec(own)?.[1] ?? '/');
  }
  return parents;
}

let groupCount = 0;

/**
 * The best freezer that may be used here. Whether a cgroup works is tried, not guessed.
 * @throws SleepboxError NO_FREEZER when a cgroup was asked for and cannot be had
 */
export function openFreezer(choice: FreezerChoice): Freezer {
  if (choice === 'signal') return new SignalFreezer();
  const startTime = readProcessStat(process.pid)?.startTime ?? '0';
  const name = `${cgroupPrefix}${readPidNamespace()}-${process.pid}-${startTime}-${groupCount++}`;
  for (const { kind, directory: parent } of findCgroupParents()) {
    if (choice !== 'auto' && choice !== 'cgroup' && choice !== kind) continue;
    const directory = join(parent, name);
    try {
      mkdirSync(directory);
    } catch {
      continue;
    }
    const probe = spawnSync(
      '/bin/sh',
      ['-c', 'echo $$ > "$0/cgroup.procs" && test -w "$0/$1"', directory, files[kind].control],
      {
        stdio: 'ignore',
      },
    );
    if (probe.status === 0) return new CgroupFreezer(kind, directory);
    try {
      rmdirSync(directory);
    } catch {
      // swept by the next start
    }
  }
  if (choice === 'auto') return new SignalFreezer();
  throw new SleepboxError('NO_FREEZER', `no ${choice} freezer may be used here; try --freezer signal`);
}

/** Opens the freezer of a cgroup that another process has made. */
export function openCgroup(kind: 'cgroup-v2' | 'cgroup-v1', directory: string): Freezer {
  return new CgroupFreezer(kind, directory);
}
