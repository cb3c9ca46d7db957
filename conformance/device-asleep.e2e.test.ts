/** An app with the SDK in a sleepbox with the profile of an iPhone: a message wakes it, it is handled, and the app says itself that it is done. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Box } from './box.js';
import { ServerProcess, temporaryDirectory } from './support.js';

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
      assert.equal(lines.at(-1), `got ${text}`);
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
    // Four windows of ten seconds are what it could have taken.
    assert(awakeMs < 20_000, `awake for ${awakeMs} ms`);
  } finally {
    await box?.end();
    await server.kill();
    directory.remove();
  }
});
