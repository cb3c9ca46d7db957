/**
 * Who may use the API: bearer tokens with scopes, and, when the API is open, what keeps web pages out.
 *
 * An open API on a loopback address is within reach of every web page that the user visits. A page cannot forge
 * the Host header of its own name (DNS rebinding shows there) and cannot leave out Origin where it matters, so
 * these two are checked on every open request, whatever its content type.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { ApiToken, Scope } from '@wakeline/core/domain';
import { isLoopbackHost } from '../config/index.js';
import { HttpError } from './errors.js';

/** Longer credentials are certainly not ours. */
const TOKEN_CHARACTERS_MAX = 512;

export interface AuthorizationOptions {
  findApiToken(sha256Hex: string): ApiToken | undefined | Promise<ApiToken | undefined>;
  readonly openApi: boolean;
}

export interface AuthorizationRequest {
  readonly headers: IncomingHttpHeaders;
  readonly method: string;
  /** Address of this end of the connection. */
  readonly localAddress: string | undefined;
}

export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * The token of a request that may do what one of `anyOf` allows; undefined when the API is open and none came.
 * @throws HttpError unauthorized, not-authorized, host-refused, origin-refused; or rejects with it
 */
export function authorize(
  request: AuthorizationRequest,
  anyOf: readonly Scope[],
  options: AuthorizationOptions,
): ApiToken | undefined | Promise<ApiToken> {
  const { authorization } = request.headers;
  if (authorization === undefined) {
    if (!options.openApi) throw unauthorized(undefined);
    refuseForeignPages(request);
    return undefined;
  }
  const secret = /^Bearer +([\w.~+/-]+=*) *$/i.exec(authorization)?.[1];
  if (secret === undefined || secret.length > TOKEN_CHARACTERS_MAX) throw unauthorized('invalid_request');
  const found = options.findApiToken(sha256Hex(secret));
  return found instanceof Promise ? found.then((token) => permitted(token, anyOf)) : permitted(found, anyOf);
}

/** @throws HttpError unauthorized, not-authorized */
function permitted(token: ApiToken | undefined, anyOf: readonly Scope[]): ApiToken {
  if (token === undefined) throw unauthorized('invalid_token');
  if (!token.scopes.includes('admin') && !anyOf.some((scope) => token.scopes.includes(scope))) {
    const scope = anyOf.join(' ');
    throw new HttpError('not-authorized', `the token needs the scope ${anyOf.join(' or ')}`, {
      // RFC 6750 §3.1
      'www-authenticate': `Bearer realm="wakeline", error="insufficient_scope", scope="${scope}"`,
    });
  }
  return token;
}

function unauthorized(error: 'invalid_request' | 'invalid_token' | undefined): HttpError {
  // RFC 6750 §3: no error code where no credential was presented.
  const challenge = `Bearer realm="wakeline"${error === undefined ? '' : `, error="${error}"`}`;
  const message = error === undefined ? 'a bearer token is needed' : 'the token is not known';
  return new HttpError('unauthorized', message, { 'www-authenticate': challenge });
}

/** @throws HttpError host-refused, origin-refused */
function refuseForeignPages({ headers, method, localAddress }: AuthorizationRequest): void {
  const host = headers.host ?? '';
  const name = hostName(host);
  if (name === undefined || !(isLoopbackHost(name) || isSameAddress(name, localAddress))) {
    throw new HttpError('host-refused');
  }
  if (headers.origin !== undefined && !isOriginOf(headers.origin, host))
    throw new HttpError('origin-refused');
  // Fetch Metadata: sent by browsers even where Origin is not. Following a link is harmless, anything else is not.
  const site = headers['sec-fetch-site'];
  const isLink = headers['sec-fetch-mode'] === 'navigate' && (method === 'GET' || method === 'HEAD');
  if ((site === 'cross-site' || site === 'same-site') && !isLink) throw new HttpError('origin-refused');
}

/** `[::1]:8600` is `::1`; undefined when it is no host. */
function hostName(host: string): string | undefined {
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::\d{1,5})?$/.exec(host);
  return match?.[1] ?? match?.[2];
}

/** A numeric address cannot be rebound by DNS: the one that the request came to is this server's own. */
function isSameAddress(name: string, localAddress: string | undefined): boolean {
  if (localAddress === undefined) return false;
  return name.toLowerCase() === localAddress.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
}

function isOriginOf(origin: string, host: string): boolean {
  const match = /^https?:\/\/(.+)$/i.exec(origin);
  return match !== null && match[1]!.toLowerCase() === host.toLowerCase();
}
