/** What operators and their machines ask: alive, ready, figures, and the description of the API itself. */
import type { FastifyInstance } from 'fastify';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { errorResponses, schemas } from './schemas.js';

/** A copy of a large store may take this long, ms; the request waits for it. */
const BACKUP_MS_MAX = 6 * 3_600_000;

/** `describe` gives the OpenAPI document, which is kept. */
export function addOperationRoutes(
  app: FastifyInstance,
  options: HttpApiOptions,
  describe: () => Promise<unknown>,
): void {
  const health = { tags: ['operation'], querystring: schemas.nothing };
  const state = { type: 'object', properties: { status: { type: 'string' } } };

  app.route({
    method: 'GET',
    url: '/healthz',
    schema: { ...health, operationId: 'healthz', summary: 'The process is alive', response: { 200: state } },
    handler: () => Promise.resolve({ status: 'alive' }),
  });

  app.route({
    method: 'GET',
    url: '/readyz',
    schema: {
      ...health,
      operationId: 'readyz',
      summary: 'The server takes work',
      response: { 200: state, ...errorResponses(['not-ready']) },
    },
    handler: () => {
      if (!options.isReady()) throw new HttpError('not-ready');
      return Promise.resolve({ status: 'ready' });
    },
  });

  app.route({
    method: 'GET',
    url: '/metrics',
    config: { scopes: ['read'] },
    schema: {
      ...health,
      operationId: 'metrics',
      summary: 'Figures in the Prometheus text format',
      produces: ['text/plain'],
      response: { 200: { type: 'string' }, ...errorResponses(['unauthorized', 'not-authorized']) },
    },
    handler: async (_request, reply) => {
      const text = await options.metricsText();
      return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/statistics',
    config: { scopes: ['read'] },
    schema: {
      ...health,
      operationId: 'getStatistics',
      summary: 'The figures of the hub as JSON',
      response: { 200: schemas.statistics, ...errorResponses(['unauthorized', 'not-authorized']) },
    },
    handler: async () => (await ask(options.request, { kind: 'get-statistics' }, 'statistics')).statistics,
  });

  addBackupRoute(app, options);

  let document: string | undefined;
  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: { hide: true, querystring: schemas.nothing },
    handler: async (_request, reply) => {
      document ??= JSON.stringify(await describe());
      return reply.type('application/json; charset=utf-8').send(document);
    },
  });
}

function addBackupRoute(app: FastifyInstance, options: HttpApiOptions): void {
  app.route({
    method: 'POST',
    url: '/v1/backups',
    config: { scopes: ['admin'] },
    handlerTimeout: BACKUP_MS_MAX,
    schema: {
      tags: ['operation'],
      operationId: 'createBackup',
      summary: 'Copy the store into the data directory, while messages flow; done when the copy is synced',
      querystring: schemas.nothing,
      body: schemas.nothingOrNull,
      response: {
        201: schemas.backup,
        ...errorResponses([
          'body-invalid',
          'unauthorized',
          'not-authorized',
          'backup-running',
          'backup-unsupported',
          'not-ready',
          'backup-no-room',
        ]),
      },
    },
    handler: async (request, reply) => {
      if (options.backup === undefined) throw new HttpError('backup-unsupported');
      if (!options.isReady()) throw new HttpError('not-ready');
      const createdMs = options.now();
      // Nothing moves on the connection meanwhile: the listener would take it for a dead one. Node sets the limit
      // anew when the request is answered.
      request.raw.socket.setTimeout(0);
      const outcome = await options.backup();
      if ('refused' in outcome) throw new HttpError(outcome.refused);
      const { directory, bytes } = outcome;
      void reply.code(201);
      return { directory, bytes, createdAt: new Date(createdMs).toISOString() };
    },
  });
}
