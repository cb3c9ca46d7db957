/** Devices and API tokens: listing, making, ending. A secret is in the answer that makes it and nowhere after. */
import { limits } from '@wakeline/core/base';
import { isPropertyText, openAccess } from '@wakeline/core/domain';
import type { AccessRules, DeviceDetail, DeviceSummary, Scope } from '@wakeline/core/domain';
import type { FastifyInstance } from 'fastify';
import { sha256Hex } from './authorization.js';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { errorResponses, PAGE_DEVICES_MAX, schemas } from './schemas.js';

/** 256 random bits: beyond guessing, and beyond any need of salt for their hash. */
const SECRET_BYTES = 32;
const TOKEN_ID_BYTES = 9;
const PAGE_DEVICES_DEFAULT = 100;

/** Beginnings that tell a secret's kind to people and to scanners of leaked secrets. */
export const deviceTokenPrefix = 'wl_d_';
export const apiTokenPrefix = 'wl_a_';

const authErrors = ['unauthorized', 'not-authorized'] as const;

export function addAdminRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const { request: hub } = options;
  addDeviceRoutes(app, options);
  addEndpointRoutes(app, options);

  app.route<{ Body: { name: string; scopes: readonly Scope[] } }>({
    method: 'POST',
    url: '/v1/tokens',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['tokens'],
      operationId: 'createToken',
      summary: 'Make an API token; the answer shows it this once',
      querystring: schemas.nothing,
      body: schemas.putToken,
      response: {
        201: schemas.newToken,
        ...errorResponses(['body-invalid', ...authErrors, 'storage-failed']),
      },
    },
    handler: async (request, reply) => {
      const secret = apiTokenPrefix + base64url(options.random(SECRET_BYTES));
      const { name, scopes } = request.body;
      const id = base64url(options.random(TOKEN_ID_BYTES));
      const createdMs = options.now();
      const token = { id, name, sha256: sha256Hex(secret), scopes, createdMs };
      await ask(hub, { kind: 'put-token', token }, 'done');
      void reply.code(201);
      return { id, name, scopes, createdAt: new Date(createdMs).toISOString(), token: secret };
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/tokens',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['tokens'],
      operationId: 'listTokens',
      summary: 'List the API tokens, without their secrets',
      querystring: schemas.nothing,
      response: { 200: schemas.tokens, ...errorResponses(authErrors) },
    },
    handler: async () => {
      const reply = await ask(hub, { kind: 'list-tokens' }, 'tokens');
      const tokens = reply.tokens.map(({ id, name, scopes, createdMs }) => {
        return { id, name, scopes, createdAt: new Date(createdMs).toISOString() };
      });
      return { tokens };
    },
  });

  app.route<{ Params: { id: string } }>({
    method: 'DELETE',
    url: '/v1/tokens/:id',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['tokens'],
      operationId: 'deleteToken',
      summary: 'End an API token at once',
      params: schemas.tokenId,
      querystring: schemas.nothing,
      response: {
        204: { type: 'null', description: 'ended' },
        ...errorResponses([...authErrors, 'unknown-token', 'storage-failed']),
      },
    },
    handler: async (request, reply) => {
      await ask(hub, { kind: 'delete-token', tokenId: request.params.id }, 'done');
      return reply.code(204).send();
    },
  });
}

function addDeviceRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const { request: hub } = options;

  app.route<{ Querystring: { after?: string; count?: string } }>({
    method: 'GET',
    url: '/v1/devices',
    config: { scopes: ['read'] },
    schema: {
      tags: ['devices'],
      operationId: 'listDevices',
      summary: 'List devices in the order of their ids',
      querystring: schemas.devicesQuery,
      response: { 200: schemas.devices, ...errorResponses(['query-invalid', ...authErrors]) },
    },
    handler: async (request) => {
      const { after, count } = request.query;
      const wanted = count === undefined ? PAGE_DEVICES_DEFAULT : Number(count);
      if (wanted > PAGE_DEVICES_MAX) {
        throw new HttpError('query-invalid', `count must be from 1 to ${PAGE_DEVICES_MAX}`);
      }
      const reply = await ask(hub, { kind: 'list-devices', after, count: wanted }, 'devices');
      return { devices: reply.devices.map(summaryJson), next: reply.next ?? null };
    },
  });

  app.route<{ Params: { id: string } }>({
    method: 'GET',
    url: '/v1/devices/:id',
    config: { scopes: ['read'] },
    schema: {
      tags: ['devices'],
      operationId: 'getDevice',
      summary: 'All about one device',
      params: schemas.deviceId,
      querystring: schemas.nothing,
      response: { 200: schemas.device, ...errorResponses([...authErrors, 'unknown-device']) },
    },
    handler: async (request) => {
      const reply = await ask(hub, { kind: 'get-device', deviceId: request.params.id }, 'device');
      return detailJson(reply.device);
    },
  });

  app.route<{ Params: { id: string }; Body: { access?: Partial<AccessRules> } | null }>({
    method: 'PUT',
    url: '/v1/devices/:id',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['devices'],
      operationId: 'putDevice',
      summary: 'Make a device, or give it a new token; the answer shows the token this once',
      description: 'Access rules that are left out allow everything. An older token ends at once.',
      params: schemas.deviceId,
      querystring: schemas.nothing,
      body: schemas.putDevice,
      response: {
        200: schemas.newDevice,
        ...errorResponses([
          'body-invalid',
          'access-invalid',
          'bad-device-id',
          ...authErrors,
          'quota-exceeded',
        ]),
      },
    },
    handler: async (request) => {
      const { id } = request.params;
      const access = accessOf(request.body?.access);
      const secret = deviceTokenPrefix + base64url(options.random(SECRET_BYTES));
      const tokenSha256 = sha256Hex(secret);
      await ask(hub, { kind: 'put-device', deviceId: id, tokenSha256, access }, 'device');
      return { id, token: secret, access };
    },
  });

  app.route<{ Params: { id: string } }>({
    method: 'DELETE',
    url: '/v1/devices/:id',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['devices'],
      operationId: 'deleteDevice',
      summary: 'End a device: its connection, session, credential and waiting messages',
      params: schemas.deviceId,
      querystring: schemas.nothing,
      response: {
        204: { type: 'null', description: 'ended' },
        ...errorResponses([...authErrors, 'unknown-device', 'storage-failed']),
      },
    },
    handler: async (request, reply) => {
      await ask(hub, { kind: 'delete-device', deviceId: request.params.id }, 'done');
      return reply.code(204).send();
    },
  });
}

function addEndpointRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const { request: hub } = options;

  app.route<{ Params: { id: string } }>({
    method: 'GET',
    url: '/v1/devices/:id/endpoints',
    config: { scopes: ['read'] },
    schema: {
      tags: ['devices'],
      operationId: 'listEndpoints',
      summary: 'List the Web Push endpoints of a device, without their secrets',
      params: schemas.deviceId,
      querystring: schemas.nothing,
      response: { 200: schemas.endpoints, ...errorResponses([...authErrors, 'unknown-device']) },
    },
    handler: async (request) => {
      const reply = await ask(hub, { kind: 'list-endpoints', deviceId: request.params.id }, 'endpoints');
      const endpoints = reply.endpoints.map(({ endpointId, channel, vapidKey, createdMs }) => {
        const createdAt = new Date(createdMs).toISOString();
        return { id: endpointId, channel, vapidKey: vapidKey ?? null, createdAt };
      });
      return { endpoints };
    },
  });

  app.route<{ Params: { id: string; endpoint: string } }>({
    method: 'DELETE',
    url: '/v1/devices/:id/endpoints/:endpoint',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['devices'],
      operationId: 'endEndpoint',
      summary: 'End a Web Push endpoint at once; its senders are answered with 410',
      params: schemas.endpointId,
      querystring: schemas.nothing,
      response: {
        204: { type: 'null', description: 'ended' },
        ...errorResponses([...authErrors, 'unknown-device', 'unknown-endpoint', 'storage-failed']),
      },
    },
    handler: async (request, reply) => {
      const { id: deviceId, endpoint: endpointId } = request.params;
      await ask(hub, { kind: 'end-endpoint', deviceId, endpointId }, 'done');
      return reply.code(204).send();
    },
  });
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

/** One side left out is allowed nothing, once the other is given; no rules at all allow everything. */
function accessOf(access: Partial<AccessRules> | undefined): AccessRules {
  if (access === undefined) return openAccess;
  const rules = { publish: access.publish ?? [], subscribe: access.subscribe ?? [] };
  for (const filter of [...rules.publish, ...rules.subscribe]) {
    if (!isTopicFilter(filter))
      throw new HttpError('access-invalid', `${JSON.stringify(filter.slice(0, 80))} is no topic filter`);
  }
  return rules;
}

/** MQTT 5.0 §4.7: `#` only as the last level, wildcards only as whole levels. */
function isTopicFilter(filter: string): boolean {
  const bytes = Buffer.byteLength(filter);
  if (bytes === 0 || bytes > limits.topicBytesMax || !isPropertyText(filter)) return false;
  const levels = filter.split('/');
  if (levels.length > limits.topicDepthMax) return false;
  return levels.every((level, index) => {
    if (level === '#') return index === levels.length - 1;
    return level === '+' || !/[+#]/.test(level);
  });
}

function summaryJson({ deviceId, ...summary }: DeviceSummary): object {
  return { id: deviceId, ...summary };
}

function detailJson({ deviceId, connectedMs, ...device }: DeviceDetail): object {
  return {
    id: deviceId,
    ...device,
    link: device.link ?? null,
    peer: device.peer ?? null,
    connectedAt: connectedMs === undefined ? null : new Date(connectedMs).toISOString(),
    activity: device.activity ?? null,
    windowMs: device.windowMs ?? null,
    network: device.network ?? null,
    sessionExpirySeconds: device.sessionExpirySeconds ?? null,
    access: device.access ?? null,
  };
}
