/** Devices on Mozilla's push WebSocket: each registers one channel, acknowledges what comes, and tells what came. */
import { randomUUID } from 'node:crypto';
import { WebSocket } from 'ws';

/** Connections that are opened at once. */
const AT_ONCE = 100;
/** What one address may do in a minute is limited, so devices come from several. */
const DEVICES_PER_ADDRESS = 500;

/**
 * So many devices with a channel each; `keyOf(index)` is the VAPID key of the channel, or undefined. Resolves with them,
 * connected, in order.
 */
export async function connectDevices(port, count, keyOf, onPush) {
  const devices = [];
  let next = 0;
  const work = async () => {
    while (next < count) {
      const index = next++;
      const localAddress = `127.0.1.${1 + Math.floor(index / DEVICES_PER_ADDRESS)}`;
      devices[index] = await Device.connect({ port, localAddress }, keyOf(index), onPush);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return devices;
}

class Device {
  #socket;
  endpoint;

  static connect({ port, localAddress }, key, onPush) {
    return new Promise((resolve, reject) => {
      const device = new Device();
      const channelID = randomUUID();
      const options = { perMessageDeflate: false, localAddress };
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`, 'push-notification', options);
      device.#socket = socket;
      const say = (message) => socket.send(JSON.stringify(message));
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('the server closed a device')));
      socket.on('open', () => say({ messageType: 'hello', use_webpush: true }));
      socket.on('message', (bytes) => {
        const message = JSON.parse(bytes.toString());
        switch (message.messageType) {
          case 'hello':
            say({ messageType: 'register', channelID, ...(key !== undefined && { key }) });
            break;
          case 'register':
            device.endpoint = message.pushEndpoint;
            if (message.status === 200) resolve(device);
            else reject(new Error(`register was answered with ${message.status}`));
            break;
          case 'notification':
            onPush(message.data);
            say({ messageType: 'ack', updates: [{ channelID, version: message.version, code: 100 }] });
            break;
          default:
        }
      });
    });
  }

  /** Resolves when the connection is closed on both sides. */
  leave() {
    return new Promise((resolve) => {
      this.#socket.once('close', resolve);
      this.#socket.close();
    });
  }

  destroy() {
    this.#socket.terminate();
  }
}
