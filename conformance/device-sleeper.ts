/**
 * An app with the SDK for a sleepbox, as a process of its own: takes what comes, posts a notification of it, and leaves the rest to the line.
 *
 *     node dist/device-sleeper.js URL DEVICE-ID DIRECTORY [FACTOR]
 *
 * FACTOR divides all times of the keepalive policy; a box with scaled times tells its own. Standard output: `online`, and `got TEXT` for each message.
 */
import { PairedCanary, scaledConstants } from '@wakeline/core/device';
import { openLine, sleepboxPlatform } from '@wakeline/device/node';

const [url, deviceId, storage, factor = '1'] = process.argv.slice(2) as [string, string, string, string?];

const platform = sleepboxPlatform();
const keepalive = new PairedCanary(scaledConstants(Number(factor)));
const line = openLine({ url, deviceId, storage, platform, keepalive });
line.onMessage(async (message) => {
  await platform.notify('Message', message.text());
  console.log(`got ${message.text()}`);
});
await line.online();
console.log('online');
const end = await line.closed;
if (end !== undefined) throw end;
