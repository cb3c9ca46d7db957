/**
 * The push service that one would write oneself: enough of Mozilla's link and of RFC 8030 for the measurement.
 *
 *     node own-server.mjs --kind bare|fastify --port N --data DIR
 *
 * - `bare`: node:http, messages appended to one file and synced together, tokens checked once. It keeps no index, no
 *   inbox, no expiry: nothing in Node that answers when a push is safe can be much faster.
 * - `fastify`: fastify, a row in LevelDB for each message, written synced, each token checked: as it would be written in
 *   an afternoon.
 *
 * Neither sends again what was not acknowledged.
 */
import { randomBytes } from 'node:crypto';
import { fdatasync, openSync, writevSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import fastify from 'fastify';
import { WebSocketServer } from 'ws';
import { isAuthorized } from './vapid.mjs';

const { values } = parseArgs({
  options: { kind: { type: 'string' }, port: { type: 'string' }, data: { type: 'string' } },
});
const audience = `http://127.0.0.1:${values.port}`;

/** By the last part of the endpoint's path: its channel, VAPID key and connection. */
const endpoints = new Map();

/** The status for a push with this Authorization; 201: it may be stored. */
function refusal(endpoint, authorization, check) {
  if (endpoint === undefined) return 404;
  if (endpoint.key === undefined) return 201;
  if (authorization === undefined) return 401;
  return check(authorization) && authorization.endsWith(endpoint.key) ? 201 : 403;
}

function forward(endpoint, version, body) {
  const { socket, channelID } = endpoint;
  if (socket.readyState !== socket.OPEN) return;
  const data = body.toString('base64url');
  const headers = { encoding: 'aes128gcm' };
  socket.send(JSON.stringify({ messageType: 'notification', channelID, version, data, headers }));
}

/** Messages of all who wait are written and synced together; the next ones meanwhile gather. */
class SyncedFile {
  #file;
  #gathered = [];
  #isSyncing = false;

  constructor(path) {
    this.#file = openSync(path, 'a');
  }

  append(bytes, onSynced) {
    this.#gathered.push({ bytes, onSynced });
    if (!this.#isSyncing) this.#isSyncing = setImmediate(() => this.#sync()) !== undefined;
  }

  #sync() {
    const batch = this.#gathered;
    this.#gathered = [];
    // At most 1024 pieces a call, on Linux.
    for (let from = 0; from < batch.length; from += 1_000)
      writevSync(
        this.#file,
        batch.slice(from, from + 1_000).map(({ bytes }) => bytes),
      );
    fdatasync(this.#file, (error) => {
      if (error) throw error;
      for (const { onSynced } of batch) onSynced();
      if (this.#gathered.length > 0) this.#sync();
      else this.#isSyncing = false;
    });
  }
}

function startBare() {
  const file = new SyncedFile(join(values.data, 'messages'));
  const checked = new Map();
  const check = (authorization) => {
    let isGood = checked.get(authorization);
    if (isGood === undefined) {
      isGood = isAuthorized(authorization, audience);
      if (checked.size >= 10_000) checked.clear();
      checked.set(authorization, isGood);
    }
    return isGood;
  };
  return createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const endpoint = endpoints.get(request.url.slice('/p/'.length));
      const status = refusal(endpoint, request.headers.authorization, check);
      if (status !== 201) {
        response.writeHead(status).end();
        return;
      }
      const body = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
      const version = randomBytes(16).toString('base64url');
      file.append(body, () => {
        forward(endpoint, version, body);
        const { ttl } = request.headers;
        response.writeHead(201, { Location: `/m/${version}`, TTL: ttl, 'Content-Length': 0 }).end();
      });
    });
  }).listen(Number(values.port), '127.0.0.1');
}

async function startFastify() {
  const { Level } = await import('level');
  const database = new Level(join(values.data, 'level'), { valueEncoding: 'buffer' });
  await database.open();
  const app = fastify();
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.post('/p/:id', async (request, reply) => {
    const endpoint = endpoints.get(request.params.id);
    const check = (authorization) => isAuthorized(authorization, audience);
    const status = refusal(endpoint, request.headers.authorization, check);
    if (status !== 201) return reply.code(status).send();
    const version = randomBytes(16).toString('base64url');
    await database.put(`${request.params.id}/${version}`, request.body, { sync: true });
    forward(endpoint, version, request.body);
    return reply
      .code(201)
      .headers({ Location: `/m/${version}`, TTL: request.headers.ttl })
      .send();
  });
  await app.listen({ port: Number(values.port), host: '127.0.0.1' });
  return app.server;
}

function handleDevice(socket) {
  const say = (message) => socket.send(JSON.stringify(message));
  socket.on('error', () => socket.terminate());
  socket.on('message', (bytes) => {
    const { messageType, channelID, key } = JSON.parse(bytes.toString());
    if (messageType === 'hello') {
      const uaid = randomBytes(16).toString('hex');
      say({ messageType, uaid, status: 200, use_webpush: true, broadcasts: {} });
    } else if (messageType === 'register') {
      const id = randomBytes(16).toString('base64url');
      endpoints.set(id, { socket, channelID, key });
      say({ messageType, channelID, status: 200, pushEndpoint: `${audience}/p/${id}` });
    }
  });
}

const server = values.kind === 'bare' ? startBare() : await startFastify();
new WebSocketServer({ server, handleProtocols: () => 'push-notification' }).on('connection', handleDevice);
console.log('ready');
