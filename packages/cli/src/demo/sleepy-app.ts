/**
 * The app of the demo: an ordinary MQTT client (MQTT.js) that shows what it receives, and knows of sleep only how to
 * say "done". Run by `wakeline demo` in a sleepbox; nothing in it is special to Wakeline's server.
 *
 * A message `crash` makes it die in the middle of its work, once (the file named by DEMO_CRASHED remembers).
 */
import { existsSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectMqtt } from 'mqtt';

const { DEMO_SERVER, DEMO_CRASHED, SLEEPBOX_SOCKET } = process.env;
if (!DEMO_SERVER || !DEMO_CRASHED) throw new Error('DEMO_SERVER and DEMO_CRASHED are set by `wakeline demo`');

/** The phone's own part: local notifications, and word that there is no more to do. */
const phone: Socket | undefined = SLEEPBOX_SOCKET === undefined ? undefined : connect(SLEEPBOX_SOCKET);
const tell = (request: object): void => void phone?.write(`${JSON.stringify(request)}\n`);

const client = connectMqtt(DEMO_SERVER, {
  clientId: 'phone',
  protocolVersion: 5,
  // The session outlives the connection, and so the crash.
  clean: false,
  properties: { sessionExpiryInterval: 3_600 },
  // A sleeping app is not to be woken by its own pings.
  keepalive: 0,
  reconnectPeriod: 200,
});

// MQTT.js acknowledges when this calls back: only after the notification is shown. Set before the connection is
// there, since what waited comes with it.
client.handleMessage = (packet, done): void => {
  const body = String(packet.payload);
  if (body === 'crash' && !existsSync(DEMO_CRASHED)) {
    writeFileSync(DEMO_CRASHED, '');
    process.kill(process.pid, 'SIGKILL');
    return;
  }
  tell({ cmd: 'notify', title: packet.topic, body });
  done();
  scheduleDone();
};

let doneTimer: NodeJS.Timeout | undefined;

/** Over when nothing more has come for a moment: the window is given back, which is what saves the battery. */
function scheduleDone(): void {
  clearTimeout(doneTimer);
  doneTimer = setTimeout(() => tell({ cmd: 'done' }), 150);
}

await client.subscribeAsync({ '$line/inbox/#': { qos: 1 }, 'news/#': { qos: 1 } });
process.stdout.write('subscribed\n');
scheduleDone();
