/** Talks to a server's HTTP API and turns its errors, and its absence, into exit codes. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CliError } from './errors.js';
import type { CliIo } from './io.js';

export const defaultServer = 'http://127.0.0.1:8600';

/** A server answers each request within this, or not at all. */
const REQUEST_MS_MAX = 40_000;

/** What every command that asks a server takes. */
export interface ClientOptions {
  readonly server?: string;
  readonly token?: string;
  /** Data directory, for its admin.token. */
  readonly data?: string;
}

export interface ApiClient {
  /** The JSON of a successful answer; undefined when it has none. @throws CliError */
  call(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<unknown>;
}

/** `requestMsMax`: how long one answer may take. */
export async function createApiClient(
  options: ClientOptions,
  io: CliIo,
  requestMsMax = REQUEST_MS_MAX,
): Promise<ApiClient> {
  const written = options.server ?? (io.environment['WAKELINE_SERVER'] || defaultServer);
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new CliError('usage', `"${written}" is no server address`, {
      hint: `write it like ${defaultServer}`,
    });
  }
  const token = options.token ?? (io.environment['WAKELINE_TOKEN'] || (await adminToken(url, options, io)));
  return {
    call: (method, path, body, headers = {}) => {
      const all = {
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      };
      return call(new URL(path, url), {
        method,
        headers: all,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(requestMsMax),
      });
    },
  };
}

/** The secret that the server left in its data directory; for a server on this machine only, never for another. */
async function adminToken(url: URL, options: ClientOptions, io: CliIo): Promise<string | undefined> {
  const { defaultDataDirectory, isLoopbackHost } = await import('@wakeline/server/config');
  if (!isLoopbackHost(url.hostname.replace(/^\[(.*)\]$/, '$1'))) return undefined;
  const { environment } = io;
  const directory =
    options.data ??
    (environment['WAKELINE_DATA'] || defaultDataDirectory({ environment, homeDirectory: homedir() }));
  try {
    return readFileSync(join(directory, 'admin.token'), 'utf8').trim() || undefined;
  } catch {
    // None there, or not ours to read: the server says whether one is needed.
    return undefined;
  }
}

async function call(url: URL, init: RequestInit): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, redirect: 'manual' });
    text = await response.text();
  } catch (cause) {
    throw unreachable(url, cause);
  }
  let json: unknown;
  try {
    json = text === '' ? undefined : JSON.parse(text);
  } catch {
    throw new CliError('failure', `${url.origin} does not answer like Wakeline (status ${response.status})`, {
      hint: 'check --server',
    });
  }
  if (response.ok) return json;
  const error = (json as { error?: { code?: string; message?: string; hint?: string } } | undefined)?.error;
  const message = error?.message ?? `the server answered with status ${response.status}`;
  const isRefused = response.status === 401 || response.status === 403;
  throw new CliError(isRefused ? 'refused' : 'failure', message, {
    code: error?.code,
    hint:
      response.status === 401
        ? 'give a token with --token or WAKELINE_TOKEN, or the data directory with --data'
        : error?.hint,
  });
}

function unreachable(url: URL, cause: unknown): CliError {
  const inner = (cause as { cause?: { code?: string; message?: string } }).cause;
  const why = inner?.code ?? inner?.message ?? (cause as Error).message;
  const isTls = /CERT|SIGNATURE|TLS|SSL/.test(why);
  const hint = isTls
    ? 'name the authority of its certificate with NODE_EXTRA_CA_CERTS=FILE'
    : 'is it running (wakeline up)? another address is given with --server';
  return new CliError('unreachable', `cannot reach ${url.origin}: ${why}`, { cause, hint, code: why });
}
