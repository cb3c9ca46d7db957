/** `wakeline restart hub|lines`: has the supervisor of a server on this machine replace its processes. */
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import type { CliIo } from '../io.js';

export interface RestartOptions {
  readonly data?: string;
  readonly json?: boolean;
}

export async function runRestart(what: 'hub' | 'lines', options: RestartOptions, io: CliIo): Promise<number> {
  const { defaultDataDirectory } = await import('@wakeline/server/config');
  const { askSupervisor } = await import('@wakeline/server/lines');
  const { environment } = io;
  const given = options.data ?? environment['WAKELINE_DATA'];
  const directory =
    given === undefined || given === ''
      ? defaultDataDirectory({ environment, homeDirectory: homedir() })
      : resolve(given);
  let done: string;
  try {
    done = await askSupervisor(directory, `restart-${what}`);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw new CliError('failure', message, { cause });
    throw new CliError('unreachable', `no server with lines runs on ${directory}`, {
      cause,
      hint: 'start it with: wakeline up --lines 2; another directory is named with --data DIR',
    });
  }
  const text = options.json === true ? JSON.stringify({ event: 'restarted', what }) : done;
  io.stdout.write(`${text}\n`);
  return exitCodes.ok.code;
}
