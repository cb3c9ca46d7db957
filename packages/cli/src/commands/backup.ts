/** `wakeline backup` and `wakeline restore`: a copy of the store, and a data directory made from one. */
import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createApiClient } from '../api-client.js';
import type { ClientOptions } from '../api-client.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { printable } from '../io.js';
import type { CliIo } from '../io.js';

/** A large store takes a while. Node's `fetch` gives up after 300 s by itself. */
const BACKUP_MS_MAX = 290_000;

const MIB = 1024 ** 2;

export interface BackupOptions extends ClientOptions {
  readonly json?: boolean;
}

interface Backup {
  readonly directory: string;
  readonly bytes: number;
  readonly createdAt: string;
}

/** The directory goes to standard output alone, so that `$(wakeline backup)` is the directory. */
export async function runBackup(options: BackupOptions, io: CliIo): Promise<number> {
  const client = await createApiClient(options, io, BACKUP_MS_MAX);
  const made = (await client.call('POST', '/v1/backups').catch(explainLate)) as Backup;
  io.stdout.write(`${options.json === true ? JSON.stringify(made) : printable(made.directory)}\n`);
  if (options.json === true) return exitCodes.ok.code;
  io.stderr.write(
    `${(made.bytes / MIB).toFixed(1)} MiB, on the server's machine. Copy it to another disk; ` +
      'wakeline restore makes a data directory of it.\n',
  );
  return exitCodes.ok.code;
}

/** The server does not stop because nobody waits any more. */
function explainLate(error: unknown): never {
  const { cause } = error as { readonly cause?: { readonly name?: string } };
  if (cause?.name !== 'TimeoutError') throw error;
  throw new CliError('failure', `no answer within ${BACKUP_MS_MAX / 1_000} s; the server goes on copying`, {
    cause: error,
    hint: 'the backup is finished when its directory in backups/ of the data directory has no .unfinished in its name',
  });
}

export interface RestoreOptions {
  readonly data: string;
  readonly json?: boolean;
}

/** Needs no server, and none may run on the new directory. */
export async function runRestore(source: string, options: RestoreOptions, io: CliIo): Promise<number> {
  const from = resolve(source);
  const directory = resolve(options.data);
  await refuseUsedTarget(directory);
  const { restoreBackup } = await import('@wakeline/server/stores');
  try {
    await restoreBackup(from, directory);
  } catch (error) {
    throw explainRestore(error, from, directory);
  }
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify({ source: from, directory })}\n`);
    return exitCodes.ok.code;
  }
  io.stdout.write(
    `restored ${printable(directory)}\n` +
      `Next: wakeline up --data ${printable(directory)}\n` +
      'At its first start every inbox gets a new epoch. What was accepted after the backup is not in it; what a\n' +
      'device received after it may come again. Tokens are those of the backup; admin.token is not in it.\n',
  );
  return exitCodes.ok.code;
}

async function refuseUsedTarget(directory: string): Promise<void> {
  let names: readonly string[];
  try {
    names = await readdir(directory);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    const what = code === 'ENOTDIR' ? `${directory} is not a directory` : message;
    throw new CliError('failure', what, { cause, code, hint: 'give another directory with --data DIR' });
  }
  if (names.length === 0) return;
  throw new CliError('failure', `${directory} is not empty`, {
    hint: 'a restore writes to a new or empty directory only: give another one with --data DIR',
  });
}

function explainRestore(error: unknown, from: string, directory: string): CliError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'STORE_LOCKED') {
    const hint = 'make a backup of the running server with: wakeline backup';
    return new CliError('locked', message, { cause: error, code, hint });
  }
  if (code === 'ENOTDIR')
    return new CliError('failure', `${from} is not a directory`, { cause: error, code });
  const hint =
    code === 'STORE_FORMAT'
      ? 'give a directory that wakeline backup of this version has made'
      : `what ${directory} has now is unfinished: delete it before another try`;
  return new CliError('failure', message, { cause: error, code, hint });
}
