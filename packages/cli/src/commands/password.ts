/** `wakeline password hash`: the line for a user in the configuration file. */
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import type { CliIo } from '../io.js';
import { readAll } from './send.js';

export async function hashPasswordCommand(options: { readonly json?: boolean }, io: CliIo): Promise<number> {
  const password =
    io.stdin.isTTY === true
      ? await askTwice(io)
      : (await readAll(io.stdin)).toString('utf8').replace(/\r?\n$/, '');
  if (password === '') throw new CliError('usage', 'the password is empty');
  if (/[\r\n]/.test(password)) throw new CliError('usage', 'the password has more than one line');
  const { hashPassword } = await import('@wakeline/server/config');
  const line = await hashPassword(password);
  io.stdout.write(`${options.json === true ? JSON.stringify({ password: line }) : line}\n`);
  return exitCodes.ok.code;
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
