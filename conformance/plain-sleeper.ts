/**
 * An ordinary MQTT client (mqtt.js) for a sleepbox, as a process of its own, that knows nothing of sleep.
 *
 *     node dist/plain-sleeper.js URL DEVICE-ID KEEP-ALIVE-SECONDS RECONNECT-MS
 *
 * Standard output: `online`, and `got TEXT` for each message of the device's inbox.
 */
import { connect } from 'mqtt';

const [url, clientId, keepalive, reconnectPeriod] = process.argv.slice(2) as [string, string, string, string];

const client = connect(url, {
  clientId,
  protocolVersion: 5,
  clean: false,
  properties: { sessionExpiryInterval: 86_400 },
  keepalive: Number(keepalive),
  reconnectPeriod: Number(reconnectPeriod),
});
client.on('connect', () => {
  client.subscribe('$line/inbox/#', { qos: 1 }, () => console.log('online'));
});
client.on('message', (_topic, body) => console.log(`got ${body.toString()}`));
client.on('error', (error) => console.error(error.message));
