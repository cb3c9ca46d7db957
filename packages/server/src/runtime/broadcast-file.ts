/**
 * Broadcasts from a file of the operator: a YAML or JSON map from ids to versions, read at the start, when it has changed,
 * and when the process is told to reload. What cannot be read changes nothing and is logged.
 */
import { readFileSync, statSync } from 'node:fs';
import type { BroadcastTable } from '@wakeline/core/session/webpush';
import { webPushFrameLimits } from '@wakeline/core/wire/webpush';
import { lazyModule } from '../lazy-module.js';
import type { Log } from './log.js';

const yaml = lazyModule<typeof import('yaml')>('yaml');

export class BroadcastFile {
  readonly #path: string;
  readonly #table: BroadcastTable;
  readonly #pollMs: number;
  readonly #log: Log;
  /** Of the file when it was last looked at. */
  #stamp = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, table: BroadcastTable, pollMs: number, log: Log) {
    this.#path = path;
    this.#table = table;
    this.#pollMs = pollMs;
    this.#log = log;
  }

  /** Reads it, and looks for changes from now on. Call once. */
  start(): void {
    this.#poll();
    this.#timer = setInterval(() => this.#poll(), this.#pollMs);
  }

  /** Idempotent. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Reads it now, changed or not. */
  read(): void {
    try {
      this.#table.set(parseBroadcasts(readFileSync(this.#path, 'utf8')));
    } catch (error) {
      this.#log.error({ err: error, file: this.#path }, 'broadcasts not read: the old ones stay');
    }
  }

  #poll(): void {
    const stamp = this.#stampNow();
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.read();
  }

  #stampNow(): string {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch {
      return 'none';
    }
  }
}

/** Throws an Error that says what is wrong. Versions that look like numbers are texts all the same. */
export function parseBroadcasts(text: string): ReadonlyMap<string, string> {
  const value: unknown = yaml().parse(text, { schema: 'failsafe' });
  if (value === null || value === '') return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) throw new Error('not a map from ids to versions');
  const versions = new Map<string, string>();
  const { broadcastTextMax } = webPushFrameLimits;
  for (const [id, version] of Object.entries(value)) {
    if (typeof version !== 'string') throw new Error(`the version of "${id}" is not a text`);
    if (id.length > broadcastTextMax || version.length > broadcastTextMax) {
      throw new Error(`"${id.slice(0, 40)}" or its version has more than ${broadcastTextMax} characters`);
    }
    versions.set(id, version);
  }
  return versions;
}
