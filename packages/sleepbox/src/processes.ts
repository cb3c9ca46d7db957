/** What /proc says of processes. Reads only. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** From /proc/<pid>/stat. */
export interface ProcessStat {
  readonly pid: number;
  /** R, S, D, T (stopped), Z … */
  readonly state: string;
  readonly processGroup: number;
  readonly session: number;
  /** Clock ticks since boot; with the pid it names one process for ever. */
  readonly startTime: string;
}

/** Undefined: there is no such process. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in brackets may contain anything, brackets too.
    const words = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      pid,
      state: words[0] ?? '?',
      processGroup: Number(words[2]),
      session: Number(words[3]),
      startTime: words[19] ?? '0',
    };
  } catch {
    return undefined;
  }
}

/** All processes of a session; zombies are left out. */
export function readSession(session: number): ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => name >= '1' && name <= '9999999999' && /^\d+$/.test(name))
    .map((name) => readProcessStat(Number(name)))
    .filter((stat) => stat !== undefined)
    .filter((stat) => stat.session === session && stat.state !== 'Z');
}

/** Whether the process that once had this pid and start time still lives. */
export function isSameProcess(pid: number, startTime: string): boolean {
  const stat = readProcessStat(pid);
  return stat !== undefined && stat.startTime === startTime && stat.state !== 'Z';
}

/** The pid namespace, as a number: pids of another one mean nothing here. */
export function readPidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
}

/** Sends a signal; a process that is gone is no error. Negative: a process group. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
