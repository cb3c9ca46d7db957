/**
 * An MQTT client for a sleepbox: `node gap-client.js HOST PORT ID GAP`. Subscribes to `news`, says that it is asleep and, if
 * GAP is not 0, what silence its network allows, ms; then prints what comes. It never pings and never connects again.
 */
import mqtt from 'mqtt';

const [host, port, clientId, gap] = process.argv.slice(2);
const client = await mqtt.connectAsync(`mqtt://${host}:${port}`, {
  clientId: clientId!,
  protocolVersion: 5,
  clean: false,
  keepalive: 0,
  reconnectPeriod: 0,
  properties: { sessionExpiryInterval: 3_600 },
});
client.on('message', (_topic, body) => process.stdout.write(`message ${body.toString()}\n`));
client.on('close', () => process.stdout.write('closed\n'));
client.on('error', (error) => process.stdout.write(`${error.message}\n`));
await client.subscribeAsync('news', { qos: 1 });
const state = { state: 'asleep', ...(gap !== '0' && { gap: Number(gap) }) };
await client.publishAsync('$line/state', JSON.stringify(state), { qos: 1 });
process.stdout.write('ready\n');
