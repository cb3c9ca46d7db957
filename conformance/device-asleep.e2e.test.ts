/** An app with the SDK in a sleepbox with the profile of an iPhone: a message wakes it, it is handled, and the app says itself that it is done. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Box } from './box.js';
import { ServerProcess, temporaryDirectory } from './support.js';

/** Longer than an iPhone's, so that a machine that does much else is done before it ends, too. */
const WINDOW_MS = 30_000;

const sleeper = fileURLToPath(new URL('device-sleeper.js', import.meta.url));

test('a message wakes the sleeping app, which handles it, says that it is done, and sleeps long before its window ends', async () => {
  const directory = temporaryDirectory('wakeline-device-asleep');
  const server = await ServerProcess.create(join(directory.path, 'server'));
  let box: Box | undefined;
  try {
    await server.start();
    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    const lines: string[] = [];
    box = new Box({
      name: 'sleeper',
      runtimeDirectory: directory.path,
      command: [process.execPath, sleeper, url, 'phone', join(directory.path, 'device')],
      modes: 'voip',
      window: `${WINDOW_MS / 1_000}s`,
      wakePort: server.mqttPort,
      onOutput: (line) => lines.push(line),
    });
    const asleep = (count: number): Promise<void> =>
      box!.until(() => box!.count('asleep') >= count && box!.isAsleep, `asleep for the ${count}. time`);
    // The launch is a window, too, and the app does not wait for its end.
    await asleep(1);
    for (const [index, text] of ['one', 'two', 'three'].entries()) {
      await server.send('phone', text);
      await asleep(index + 2);
      // Its output comes by another pipe than its sleep.
      await box.until(() => lines.at(-1) === `got ${text}`, `it has handled ${text}`);
    }
    assert.deepEqual(
      box.wakes().map(({ cause }) => cause),
      ['data', 'data', 'data'],
    );
    for (const event of box.events.filter(({ type }) => type === 'asleep')) assert.equal(event.by, 'done');
    assert.equal(box.count('notification'), 3);
    const keepalives = box.events.filter(({ type }) => type === 'keepalive');
    assert.deepEqual(
      keepalives.map(({ action, timeoutMs }) => ({ action, timeoutMs })),
      [{ action: 'set', timeoutMs: 600_000 }],
    );
    await box.end();
    const { awakeMs } = box.events.findLast(({ type }) => type === 'summary')!.summary;
    // Four windows are what it could have taken.
    assert(awakeMs < 2 * WINDOW_MS, `awake for ${awakeMs} ms`);
  } finally {
    await box?.end();
    await server.kill();
    directory.remove();
  }
});
