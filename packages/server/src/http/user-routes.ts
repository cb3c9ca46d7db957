/** Users of SIP, and where their phones are. A password that was made is in the answer that makes it and nowhere after. */
import type { BindingSummary, PasswordAlgorithm, UserSummary } from '@wakeline/core/domain';
import type { FastifyInstance } from 'fastify';
import { defaultDevices, hashSipPassword } from '../config/index.js';
import { addressOf, pageCount } from './call-routes.js';
import { callSchemas } from './call-schemas.js';
import { HttpError } from './errors.js';
import { ask } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { errorResponses, schemas } from './schemas.js';

/** 120 random bits, in characters that can be typed into a phone: 24 of them. */
const PASSWORD_BYTES = 15;
/** RFC 4648 §6, in small letters. */
const passwordAlphabet = 'abcdefghijklmnopqrstuvwxyz234567';

const authErrors = ['unauthorized', 'not-authorized'] as const;

interface PutUser {
  readonly password?: string;
  readonly algorithms?: readonly PasswordAlgorithm[];
  readonly devices?: readonly string[];
}

export function addUserRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  const { request: hub } = options;

  app.route<{ Querystring: { after?: string; count?: string } }>({
    method: 'GET',
    url: '/v1/users',
    config: { scopes: ['read'] },
    schema: {
      tags: ['users'],
      operationId: 'listUsers',
      summary: 'List the users of SIP in the order of their addresses',
      querystring: callSchemas.usersQuery,
      response: { 200: callSchemas.users, ...errorResponses(['query-invalid', ...authErrors, 'calls-off']) },
    },
    handler: async (request) => {
      const { after, count } = request.query;
      const reply = await ask(hub, { kind: 'list-users', after, count: pageCount(count) }, 'users');
      return { users: reply.users.map(userJson), next: reply.next ?? null };
    },
  });

  app.route<{ Params: { address: string } }>({
    method: 'GET',
    url: '/v1/users/:address',
    config: { scopes: ['read'] },
    schema: {
      tags: ['users'],
      operationId: 'getUser',
      summary: 'One user of SIP, without the password',
      params: callSchemas.address,
      querystring: schemas.nothing,
      response: {
        200: callSchemas.user,
        ...errorResponses(['query-invalid', 'address-invalid', ...authErrors, 'unknown-user', 'calls-off']),
      },
    },
    handler: async (request) => {
      const aor = addressOf(request.params.address);
      return userJson((await ask(hub, { kind: 'get-user', aor }, 'user')).user);
    },
  });

  app.route<{ Params: { address: string }; Body: PutUser | null }>({
    method: 'PUT',
    url: '/v1/users/:address',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['users'],
      operationId: 'putUser',
      summary:
        'Make a user of SIP, or give one another password and devices; a password that is made is shown this once',
      params: callSchemas.address,
      querystring: schemas.nothing,
      body: callSchemas.putUser,
      response: {
        200: callSchemas.newUser,
        ...errorResponses([
          'body-invalid',
          'address-invalid',
          ...authErrors,
          'user-configured',
          'quota-exceeded',
          'storage-failed',
          'calls-off',
        ]),
      },
    },
    handler: async (request) => {
      const aor = servedAddress(request.params.address, options);
      const { password, algorithms = options.sipChallenge, devices } = request.body ?? {};
      const missing = options.sipChallenge.find((algorithm) => !algorithms.includes(algorithm));
      if (missing !== undefined) {
        throw new HttpError('body-invalid', `algorithms must have ${missing}, by which all users are asked`);
      }
      const chosen = password ?? makePassword(options.random(PASSWORD_BYTES));
      const user = {
        aor,
        ha1: hashSipPassword(aor, chosen, algorithms),
        devices: devices ?? defaultDevices(aor),
      };
      const reply = await ask(hub, { kind: 'put-user', user }, 'user');
      return { ...userJson(reply.user), ...(password === undefined && { password: chosen }) };
    },
  });

  app.route<{ Params: { address: string } }>({
    method: 'DELETE',
    url: '/v1/users/:address',
    config: { scopes: ['admin'] },
    schema: {
      tags: ['users'],
      operationId: 'deleteUser',
      summary: 'End a user of SIP with its bindings; its calls go on to their end',
      params: callSchemas.address,
      querystring: schemas.nothing,
      response: {
        204: { type: 'null', description: 'ended' },
        ...errorResponses([
          'address-invalid',
          ...authErrors,
          'unknown-user',
          'user-configured',
          'storage-failed',
          'calls-off',
        ]),
      },
    },
    handler: async (request, reply) => {
      await ask(hub, { kind: 'delete-user', aor: addressOf(request.params.address) }, 'done');
      return reply.code(204).send();
    },
  });

  app.route<{ Params: { address: string } }>({
    method: 'GET',
    url: '/v1/users/:address/bindings',
    config: { scopes: ['read'] },
    schema: {
      tags: ['users'],
      operationId: 'listBindings',
      summary: 'Where the phones of a user are',
      params: callSchemas.address,
      querystring: schemas.nothing,
      response: {
        200: callSchemas.bindings,
        ...errorResponses(['address-invalid', ...authErrors, 'unknown-user', 'calls-off']),
      },
    },
    handler: async (request) => {
      const aor = addressOf(request.params.address);
      const { bindings } = await ask(hub, { kind: 'list-bindings', aor }, 'bindings');
      return { bindings: bindings.map(bindingJson) };
    },
  });
}

/** @throws HttpError address-invalid, calls-off */
function servedAddress(text: string, { sipDomains }: HttpApiOptions): string {
  const address = addressOf(text);
  if (sipDomains.length === 0) throw new HttpError('calls-off');
  if (sipDomains.includes(address.slice(address.lastIndexOf('@') + 1))) return address;
  throw new HttpError('address-invalid', `the domain is none of those served: ${sipDomains.join(', ')}`);
}

function makePassword(random: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of random) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += passwordAlphabet[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return text;
}

function userJson({ aor, isConfigured, ...user }: UserSummary): object {
  return { address: aor, configured: isConfigured, ...user };
}

/** Of a push resource only the provider is shown: who has it may push. */
function bindingJson(binding: BindingSummary): object {
  const { instance, regId, contact, flow, expiresMs, push, userAgent } = binding;
  return {
    instance,
    regId,
    contact,
    connected: flow !== 0,
    expiresAt: new Date(expiresMs).toISOString(),
    push: push?.provider ?? null,
    userAgent: userAgent ?? null,
  };
}
