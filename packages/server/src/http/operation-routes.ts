/** What operators and their machines ask: alive, ready, figures, and the description of the API itself. */
import type { FastifyInstance } from 'fastify';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { errorResponses, schemas } from './schemas.js';

export function addOperationRoutes(app: FastifyInstance, options: HttpApiOptions): void {
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

  let document: string | undefined;
  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: { hide: true, querystring: schemas.nothing },
    handler: (_request, reply) => {
      document ??= JSON.stringify(app.swagger());
      return reply.type('application/json; charset=utf-8').send(document);
    },
  });
}
