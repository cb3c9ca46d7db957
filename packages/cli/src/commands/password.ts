/** `wakeline password …`: the lines for users in the configuration file. */
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import type { CliIo } from '../io.js';
import { readAll } from './send.js';

export async function hashPasswordCommand(options: { readonly json?: boolean }, io: CliIo): Promise<number> {
  const password = await readPassword(io);
  const { hashPassword } = await import('@wakeline/server/config');
  const line = await hashPassword(password);
  io.stdout.write(`${options.json === true ? JSON.stringify({ password: line }) : line}\n`);
  return exitCodes.ok.code;
}

/** Which hashes of a password are made. MD5 alone: phones that know nothing else may refuse to be offered both. */
export function chosenAlgorithms(options: {
  readonly md5?: boolean;
  readonly both?: boolean;
}): readonly ('sha-256' | 'md5')[] {
  if (options.md5 === true && options.both === true) {
    throw new CliError('usage', 'give one of --md5 and --both');
  }
  if (options.both === true) return ['sha-256', 'md5'];
  return [options.md5 === true ? 'md5' : 'sha-256'];
}

/** For `sip.users`. */
export async function sipPasswordCommand(
  address: string,
  options: { readonly json?: boolean; readonly md5?: boolean; readonly both?: boolean },
  io: CliIo,
): Promise<number> {
  const { hashSipPassword, readSipAddress, sipPasswordLine } = await import('@wakeline/server/config');
  const read = readSipAddress(address);
  if (read === undefined) {
    throw new CliError('usage', `"${address}" is no address of a user`, {
      hint: 'write it like alice@example.org',
    });
  }
  const password = await readPassword(io);
  const line = sipPasswordLine(hashSipPassword(read, password, chosenAlgorithms(options)));
  io.stdout.write(`${options.json === true ? JSON.stringify({ address: read, password: line }) : line}\n`);
  return exitCodes.ok.code;
}

/** Asked for twice, or read from standard input. @throws CliError when it is none */
async function readPassword(io: CliIo): Promise<string> {
  const password =
    io.stdin.isTTY === true
      ? await askTwice(io)
      : (await readAll(io.stdin)).toString('utf8').replace(/\r?\n$/, '');
  if (password === '') throw new CliError('usage', 'the password is empty');
  if (/[\r\n]/.test(password)) throw new CliError('usage', 'the password has more than one line');
  return password;
}

async function askTwice(io: CliIo): Promise<string> {
  const first = await ask('Password: ', io);
  if ((await ask('Again: ', io)) !== first) throw new CliError('usage', 'the two are not the same');
  return first;
}

/** One line from the terminal without echo. */
function ask(prompt: string, io: CliIo): Promise<string> {
  const { stdin, stderr } = io;
  stderr.write(prompt);
  stdin.setRawMode?.(true);
  stdin.resume();
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (end: () => void): void => {
      stdin.off('data', handleData);
      stdin.setRawMode?.(false);
      stdin.pause();
      stderr.write('\n');
      end();
    };
    const handleData = (chunk: Buffer | string): void => {
      for (const character of chunk.toString()) {
        if (character === '\r' || character === '\n') return finish(() => resolve(typed.join('')));
        // Ctrl-C, Ctrl-D
        if (character === '\u0003' || character === '\u0004') {
          return finish(() => reject(new CliError('interrupted', 'interrupted')));
        }
        if (character === '\u007f' || character === '\b') typed = typed.slice(0, -1);
        else typed.push(character);
      }
    };
    stdin.on('data', handleData);
  });
}
