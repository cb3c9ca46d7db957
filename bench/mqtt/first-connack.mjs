/** Whether a server that was started again lets its devices in. */
import { connect } from 'node:net';

const SECONDS_MAX = 60;

/** Resolves when the device with a lasting session got its CONNACK; it leaves without a DISCONNECT. */
export function firstConnack(port, clientId) {
  const id = Buffer.from(clientId);
  const rest = Buffer.concat([
    Buffer.from([0, 4]),
    Buffer.from('MQTT'),
    Buffer.from([4, 0, 0, 0, 0, id.length]),
    id,
  ]);
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.setTimeout(SECONDS_MAX * 1000, () => socket.destroy(new Error('no CONNACK after the restart')));
    socket.once('error', reject);
    socket.once('connect', () => socket.write(Buffer.concat([Buffer.from([0x10, rest.length]), rest])));
    socket.once('data', (bytes) => {
      socket.destroy();
      if (bytes[0] === 0x20 && bytes[3] === 0) resolve();
      else reject(new Error(`refused after the restart: ${bytes.subarray(0, 4).toString('hex')}`));
    });
  });
}
