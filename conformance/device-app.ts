/**
 * An app with the SDK, as a process of its own, that notes what happens to it. Each note is one line of JSON in the file that it is given, written
 * before the next step: what was noted before a SIGKILL is there after it.
 *
 *     node dist/device-app.js URL DEVICE-ID DIRECTORY NOTES [FILTER]
 *
 * Notes: `start`; `online`; `message` when the handler has it, `stored` when its acknowledgement is. Standard output says `online`, and `handling` at the
 * first message. SIGTERM closes the line.
 */
import { appendFileSync } from 'node:fs';
import { openLine } from '@wakeline/device';

const [url, deviceId, storage, notes, filter] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
];

function note(kind: string, fields: Readonly<Record<string, unknown>> = {}): void {
  appendFileSync(notes, `${JSON.stringify({ kind, pid: process.pid, ...fields })}\n`);
}

note('start');
let handled = 0;
const line = openLine({ url, deviceId, storage, keepalive: 'none' });
process.once('SIGTERM', () => void line.close());
// Several at once, so that they are acknowledged in another order than they came in.
line.onMessage(
  async (message) => {
    const { sequence } = message.place!;
    note('message', { sequence, text: message.text() });
    if ((handled += 1) === 1) console.log('handling');
    await new Promise((resolve) => setTimeout(resolve, sequence % 7));
    await message.ack();
    note('stored', { sequence });
  },
  { concurrency: 10 },
);
if (filter !== undefined) await line.subscribe(filter);
await line.online();
note('online');
console.log('online');
const end = await line.closed;
if (end !== undefined) throw end;
