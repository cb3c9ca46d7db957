/**
 * The HTTP API: routes, validation, authorization and errors around a hub that is somewhere else.
 *
 * It owns no socket: listeners hand it requests. It keeps nothing between requests, so that a restart loses
 * nothing, and it logs neither bodies nor credentials.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { limits } from '@wakeline/core/base';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { addAdminRoutes } from './admin-routes.js';
import { authorize } from './authorization.js';
import { addCallRoutes } from './call-routes.js';
import { HttpError } from './errors.js';
import { parseJsonBody } from './json-body.js';
import { lazyCompilers } from './lazy-compilers.js';
import { addMessageRoutes } from './message-routes.js';
import { addOperationRoutes } from './operation-routes.js';
import { withinTime } from './hub-requests.js';
import type { HttpApiOptions } from './options.js';
import { addPushRoutes } from './push-routes.js';
import { addUserRoutes } from './user-routes.js';

/** Goes on while a start waits for the disk. */
const loadingFastify = import('fastify');

/** JSON of one message beside its body: options and properties. */
const ENVELOPE_BYTES_MAX = 128 * 1024;

const REQUEST_TIMEOUT_MS = 30_000;

/** Node's limit of a request's head is 16 KiB, so nothing longer arrives. */
const PARAMETER_CHARACTERS_MAX = 16 * 1024;

export interface HttpApi {
  /** Answers one request. Mount it as the listener of a node server, plain or TLS. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Waits for the requests under way. Requests that come later are answered all the same. */
  close(): Promise<void>;
}

export async function createHttpApi(given: HttpApiOptions): Promise<HttpApi> {
  const timeoutMs = given.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
  const options = { ...given, request: withinTime(given.request, timeoutMs) };
  const bytesMax = bytesMaxOf(options);
  const { fastify } = await loadingFastify;
  const app = fastify({
    logger: false,
    // For JSON: base64 takes 4/3 of the message, text at most a little more than itself unless it is all escapes.
    bodyLimit: bytesMax * 2 + ENVELOPE_BYTES_MAX,
    handlerTimeout: timeoutMs,
    return503OnClosing: false,
    trustProxy: options.behindProxy.length === 0 ? false : [...options.behindProxy],
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX },
    ajv: {
      customOptions: {
        allowUnionTypes: true,
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
      },
    },
    schemaController: { compilersFactory: lazyCompilers },
    frameworkErrors: (error, request, reply) => answerError(error, request, reply, options),
  });
  app.decorateRequest('rawBody', undefined);
  app.decorateRequest('apiToken', undefined);
  addBodyParsers(app, bytesMax);
  addHooks(app, options);
  const allowedMethods = trackMethods(app);
  app.setErrorHandler((error: FastifyError, request, reply) => answerError(error, request, reply, options));
  app.setNotFoundHandler((request) => {
    const path = (request.raw.url ?? '').split('?', 1)[0]!;
    const methods = allowedMethods(path);
    if (methods.length === 0) throw new HttpError('route-unknown');
    const allow = methods.join(', ');
    throw new HttpError('method-not-allowed', `the path takes ${allow}`, { allow });
  });
  addRoutes(app, options);
  await app.ready();
  return {
    handle: (request, response) => app.routing(request, response),
    close: () => app.close(),
  };
}

function addRoutes(app: FastifyInstance, options: HttpApiOptions): void {
  addMessageRoutes(app, options, bytesMaxOf(options));
  addAdminRoutes(app, options);
  addPushRoutes(app, options);
  addCallRoutes(app, options);
  addUserRoutes(app, options);
  addOperationRoutes(app, options, () => describeRoutes(options));
}

function bytesMaxOf({ messageBytesMax }: HttpApiOptions): number {
  return messageBytesMax ?? limits.messageBytesMax;
}

/** The OpenAPI document, from the same routes on an instance that serves nobody. */
async function describeRoutes(options: HttpApiOptions): Promise<unknown> {
  const { default: swagger } = await import('@fastify/swagger');
  const { fastify } = await loadingFastify;
  const app = fastify({ schemaController: { compilersFactory: lazyCompilers } });
  await app.register(swagger, { openapi: openApiHead(options.openApi) });
  addRoutes(app, options);
  await app.ready();
  const document = app.swagger();
  await app.close();
  return document;
}

function addBodyParsers(app: FastifyInstance, bytesMax: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    request.rawBody = body;
    if (request.routeOptions.config.takesOpaqueBodies === true) return done(null, null);
    try {
      // An empty body is no body: PUT of a device needs none.
      done(null, body.length === 0 ? null : parseJsonBody(body));
    } catch (error) {
      done(error as Error);
    }
  });
  app.addContentTypeParser<Buffer>('*', { parseAs: 'buffer', bodyLimit: bytesMax }, (request, body, done) => {
    request.rawBody = body;
    const { takesRawBodies, takesOpaqueBodies } = request.routeOptions.config;
    if (takesRawBodies === true || takesOpaqueBodies === true || body.length === 0) done(null, null);
    else done(new HttpError('media-type-unsupported'));
  });
}

function addHooks(app: FastifyInstance, options: HttpApiOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store');
    const { scopes } = request.routeOptions.config;
    if (scopes === undefined) return;
    const { headers, socket } = request.raw;
    request.apiToken = await authorize(
      { headers, method: request.method, localAddress: socket.localAddress },
      scopes,
      options,
    );
  });
  app.addHook('onResponse', (request, reply, done) => {
    const fields = {
      method: request.method,
      // The pattern, not the path: ids of devices and names of topics are nobody's business in a log.
      route: request.routeOptions.url,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      address: request.ip,
      tokenId: request.apiToken?.id,
    };
    options.log.debug(fields, 'http request');
    done();
  });
}

/** Remembers which methods each path has, for 405. */
function trackMethods(app: FastifyInstance): (path: string) => readonly string[] {
  const routes: { readonly pattern: RegExp; readonly method: string }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const source = url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+').replace('*', '.+/messages');
    for (const one of [method].flat()) routes.push({ pattern: new RegExp(`^${source}$`), method: one });
  });
  return (path) => [
    ...new Set(routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)),
  ];
}

/** Whether the request has a body that has not arrived whole. */
function isBodyPending({ raw }: FastifyRequest): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = raw.headers;
  return !raw.complete && (encoding !== undefined || (length !== undefined && length !== '0'));
}

/** Fastify's codes for what a client did wrong, in ours. */
function errorOf(error: FastifyError | HttpError, request: FastifyRequest): HttpError {
  if (error instanceof HttpError) return error;
  if (error.validation !== undefined) return validationError(error);
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new HttpError('body-too-large');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new HttpError('media-type-unsupported');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new HttpError('request-malformed', 'the body is not as long as Content-Length says');
    case 'FST_ERR_BAD_URL':
      return new HttpError('request-malformed', 'the path is not percent-encoded UTF-8');
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new HttpError('request-malformed', 'a part of the path is too long');
    case 'FST_ERR_HANDLER_TIMEOUT':
      // Until the body was read whole, the client is the slow one.
      return new HttpError(isBodyPending(request) ? 'request-timeout' : 'timeout');
    default:
  }
  // The client left in the middle of its body: nobody will read this.
  if (isBodyPending(request) && request.raw.destroyed) return new HttpError('request-malformed');
  return new HttpError('internal');
}

function answerError(
  error: FastifyError | HttpError,
  request: FastifyRequest,
  reply: FastifyReply,
  options: HttpApiOptions,
): void {
  const answer = errorOf(error, request);
  if (answer.code === 'internal')
    options.log.error({ err: error, route: request.routeOptions.url }, 'request failed');
  // An unread rest of the body would be taken for the next request.
  if (isBodyPending(request)) void reply.header('connection', 'close');
  void reply
    .code(answer.status)
    .headers(answer.allHeaders)
    .type('application/json; charset=utf-8')
    // Past the route's own schema: not every status is listed at every route.
    .serializer((body: unknown) => JSON.stringify(body))
    .send(answer.body);
}

interface AjvError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly message?: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Names the place and the rule; never the value, which may be the message itself. */
function validationError(error: FastifyError): HttpError {
  const code = error.validationContext === 'querystring' ? 'query-invalid' : 'body-invalid';
  const what = code === 'query-invalid' ? 'the query' : 'the body';
  const { instancePath, keyword, message, params } = error.validation![0] as AjvError;
  const place = instancePath === '' ? what : `${what} at ${instancePath.slice(1)}`;
  if (keyword === 'additionalProperties') {
    return new HttpError(
      code,
      `${place} has an unknown key: ${JSON.stringify(params['additionalProperty'])}`,
    );
  }
  const allowed = keyword === 'enum' ? `: ${JSON.stringify(params['allowedValues'])}` : '';
  return new HttpError(code, `${place} ${message ?? 'is invalid'}${allowed}`);
}

function openApiHead(isOpen: boolean) {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Wakeline',
      version: '1',
      description: 'Reaches an application while its device is asleep. Errors are explained in docs/http.md.',
    },
    tags: ['messages', 'push', 'devices', 'tokens', 'calls', 'users', 'operation'].map((name) => ({ name })),
    components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
    // An empty requirement: the token may be left out.
    security: (isOpen ? [{ token: [] }, {}] : [{ token: [] }]) as Record<string, string[]>[],
  };
}
