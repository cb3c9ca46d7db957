/** The other end of `wakeline sleepbox ctl`: finds a running box and asks it one thing. */
import { connect } from 'node:net';
import { join } from 'node:path';

import type { CtlVerb } from './command-options.js';
import { SleepboxError, type SleepboxErrorCode } from './errors.js';
import type { BoxStatus } from './events.js';
import { limits } from './limits.js';
import { nearestName } from './nearest-name.js';
import { listBoxes, runtimeDirectory } from './runtime-directory.js';

/**
 * Asks a running box; `name` undefined: the only one there is. Resolves with its state after the order is carried out
 * (`stop`: has been accepted).
 * @throws SleepboxError NOT_RUNNING, SEVERAL_RUNNING, and what the box answers
 */
export async function askRunningBox(
  verb: CtlVerb,
  name?: string,
  root: string = runtimeDirectory(),
): Promise<BoxStatus> {
  const answer = await ask(join(root, findBox(root, name), 'ctl.sock'), { cmd: verb });
  if (answer['ok'] === true) return answer['status'] as BoxStatus;
  throw new SleepboxError(answer['error'] as SleepboxErrorCode, String(answer['message']));
}

function findBox(root: string, name: string | undefined): string {
  const names = listBoxes(root).map((box) => box.name);
  if (name !== undefined) {
    if (names.includes(name)) return name;
    const near = nearestName(name, names);
    throw new SleepboxError(
      'NOT_RUNNING',
      `no box named "${name}" is running${near ? `; did you mean "${near}"?` : ''}`,
    );
  }
  if (names.length > 1) {
    throw new SleepboxError(
      'SEVERAL_RUNNING',
      `several boxes are running; name one with --name: ${names.join(', ')}`,
    );
  }
  const [only] = names;
  if (only === undefined) throw new SleepboxError('NOT_RUNNING', 'no box is running');
  return only;
}

function ask(path: string, request: Readonly<Record<string, unknown>>): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setTimeout(limits.ctlReplyMsMax, () => {
      socket.destroy(new SleepboxError('NOT_RUNNING', 'the box does not answer', { retryable: true }));
    });
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('error', (error) => {
      reject(
        error instanceof SleepboxError
          ? error
          : new SleepboxError('NOT_RUNNING', 'the box has ended', { cause: error }),
      );
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      resolve(JSON.parse(text.slice(0, end)) as Record<string, unknown>);
      socket.end();
    });
    socket.on('close', () => reject(new SleepboxError('NOT_RUNNING', 'the box has ended')));
  });
}
