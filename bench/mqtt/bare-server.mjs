/**
 * What a connection costs in Node before anybody adds a thing: `net` or `tls`, the same bytes as an MQTT server
 * exchanges with an idle device, from canned answers, and nothing kept.
 *
 *     node bench/mqtt/bare-server.mjs --port PORT [--cert FILE --key FILE]
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: { port: { type: 'string' }, cert: { type: 'string' }, key: { type: 'string' } },
});

const CONNECT = 0x10;
const SUBSCRIBE = 0x82;
const connack = Buffer.from([0x20, 2, 0, 0]);

/** A client waits for the answer before it goes on, so a read is a packet. */
function onData(bytes) {
  if (bytes[0] === CONNECT) this.write(connack);
  else if (bytes[0] === SUBSCRIBE) this.write(Buffer.from([0x90, 3, bytes[2], bytes[3], 1]));
}

function onNothing() {}

function onConnection(socket) {
  socket.setNoDelay(true);
  socket.on('data', onData);
  socket.on('close', onNothing);
  socket.on('error', onNothing);
}

const server =
  options.cert === undefined
    ? createServer(onConnection)
    : createTlsServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) }, onConnection);
server.listen({ port: Number(options.port), host: '127.0.0.1', backlog: 4096 }, () => console.log('ready'));
process.once('SIGTERM', () => process.exit(0));
