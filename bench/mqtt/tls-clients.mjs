/**
 * Idle MQTT devices over TLS, as `wakeline-load idle` has them over TCP: prints a line of JSON when all are
 * subscribed, then obeys lines on stdin: `more N`, `quit`.
 *
 *     node bench/mqtt/tls-clients.mjs --port PORT --connections N --cert FILE [--prefix load]
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string' },
    connections: { type: 'string' },
    cert: { type: 'string' },
    prefix: { type: 'string', default: 'load' },
  },
});

/** Handshakes at once: each costs both sides a millisecond. */
const IN_FLIGHT = 50;
/** Addresses on loopback that connections come from, as in the generator. */
const SOURCES = 16;
const CONNACK = 0x20;
const SUBACK = 0x90;
const ca = readFileSync(options.cert);
const sockets = [];
let isLeaving = false;

function text(value) {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

/** A packet of less than 128 bytes. */
function packet(first, ...parts) {
  const rest = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first, rest.length]), rest]);
}

function connectOne(index) {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port: Number(options.port),
      host: '127.0.0.1',
      servername: 'localhost',
      localAddress: `127.0.0.${2 + (index % SOURCES)}`,
      ca,
    });
    const id = `${options.prefix}-d${index}`;
    socket.on('secureConnect', () =>
      socket.write(packet(0x10, text('MQTT'), Buffer.from([4, 0, 0, 0]), text(id))),
    );
    socket.on('data', (bytes) => {
      if (bytes[0] === CONNACK && bytes[3] === 0) {
        const filter = text(`${options.prefix}/d/${index}`);
        socket.write(packet(0x82, Buffer.from([0xff, 0xff]), filter, Buffer.from([1])));
      } else if (bytes[0] === SUBACK && bytes[4] === 1) {
        resolve(socket);
      } else {
        reject(new Error(`an unexpected answer: ${bytes.toString('hex')}`));
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      if (!isLeaving) fail(new Error('the server closed an idle connection'));
    });
  });
}

async function connectMore(count) {
  const goal = sockets.length + count;
  let next = sockets.length;
  const lane = async () => {
    while (next < goal) sockets.push(await connectOne(next++));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  console.log(JSON.stringify({ mode: 'idle', connections: sockets.length }));
}

function fail(error) {
  console.error(`tls-clients: ${error.message}`);
  process.exit(1);
}

try {
  await connectMore(Number(options.connections));
  for await (const line of createInterface({ input: process.stdin })) {
    const more = /^more (\d+)$/.exec(line);
    if (more === null) break;
    await connectMore(Number(more[1]));
  }
  isLeaving = true;
  process.exit(0);
} catch (error) {
  fail(error);
}
