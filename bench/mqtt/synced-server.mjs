/**
 * How soon a Node server can wake a device with what is on disk, before anybody adds a thing: MQTT 3.1.1 as the load generator speaks it, each
 * publication appended to a file through O_DSYNC and only then sent on and acknowledged; those that came meanwhile share the next write. What comes with
 * QoS 0 is sent on at once.
 * Keeps no session and checks nothing.
 *
 *     node bench/mqtt/synced-server.mjs --port PORT --directory DIR
 */
import { constants, openSync, write, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: { port: { type: 'string' }, directory: { type: 'string' } },
});

const FILE_BYTES = 64 * 1024 * 1024;
const [CONNECT, PUBLISH, SUBSCRIBE, PINGREQ] = [1, 3, 8, 12];
const connack = Buffer.from([0x20, 2, 0, 0]);
const pingresp = Buffer.from([0xd0, 0]);

const path = join(options.directory, 'log');
// Written once before: a file that grows makes the file system sync more than the data.
writeSync(openSync(path, 'w'), Buffer.alloc(FILE_BYTES));
const log = openSync(path, constants.O_RDWR | constants.O_DSYNC);
let position = 0;

const subscribers = new Map();
let waiting = [];
let isWriting = false;

function commit() {
  if (isWriting || waiting.length === 0) return;
  isWriting = true;
  const batch = waiting;
  waiting = [];
  const bytes = Buffer.concat(batch.map(({ packet }) => packet));
  if (position + bytes.length > FILE_BYTES) position = 0;
  write(log, bytes, 0, bytes.length, position, (error) => {
    if (error) throw error;
    for (const { publisher, topic, packet, packetId } of batch) {
      subscribers.get(topic)?.write(packet);
      publisher.write(Buffer.from([0x40, 2, packetId >> 8, packetId & 0xff]));
    }
    isWriting = false;
    commit();
  });
  position += bytes.length;
}

function handlePacket(socket, packet, body) {
  switch (packet[0] >> 4) {
    case CONNECT:
      socket.write(connack);
      break;
    case SUBSCRIBE: {
      subscribers.set(body.latin1Slice(4, 4 + body.readUInt16BE(2)), socket);
      socket.write(Buffer.from([0x90, 3, body[0], body[1], 1]));
      break;
    }
    case PUBLISH: {
      const end = 2 + body.readUInt16BE(0);
      const topic = body.latin1Slice(2, end);
      if ((packet[0] & 6) === 0) subscribers.get(topic)?.write(packet);
      else {
        const packetId = body.readUInt16BE(end);
        waiting.push({ publisher: socket, topic, packet: Buffer.from(packet), packetId });
      }
      break;
    }
    case PINGREQ:
      socket.write(pingresp);
      break;
    default:
  }
}

/** Where the packet's body begins and ends; undefined: it is not whole. */
function boundsOf(bytes, start) {
  let length = 0;
  for (let index = start + 1; index < Math.min(bytes.length, start + 5); index++) {
    length |= (bytes[index] & 0x7f) << (7 * (index - start - 1));
    if (bytes[index] >= 0x80) continue;
    const end = index + 1 + length;
    return end > bytes.length ? undefined : { body: index + 1, end };
  }
  return undefined;
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest;
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let start = 0;
    for (let bounds = boundsOf(bytes, 0); bounds !== undefined; bounds = boundsOf(bytes, start)) {
      handlePacket(socket, bytes.subarray(start, bounds.end), bytes.subarray(bounds.body, bounds.end));
      start = bounds.end;
    }
    rest = start < bytes.length ? Buffer.from(bytes.subarray(start)) : undefined;
    commit();
  });
});
server.listen({ port: Number(options.port), host: '127.0.0.1', backlog: 4096 }, () => console.log('ready'));
process.once('SIGTERM', () => process.exit(0));
