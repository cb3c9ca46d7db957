/** Talks to a server's HTTP API and turns its errors, and its absence, into exit codes. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CliError } from './errors.js';
import { printable } from './io.js';
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
  /** Of the server. */
  readonly url: URL;
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
  const given = options.token ?? (io.environment['WAKELINE_TOKEN'] || undefined);
  const found = given === undefined ? await adminToken(url, options, io) : undefined;
  const token = given ?? found?.token;
  return {
    url,
    call: (method, path, body, headers = {}) => {
      const all = {
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      };
      const init = {
        method,
        headers: all,
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(requestMsMax),
      };
      return call(new URL(path, url), init, found?.file);
    },
  };
}

/** The secret that the server left in its data directory; for a server on this machine only, never for another. */
async function adminToken(
  url: URL,
  options: ClientOptions,
  io: CliIo,
): Promise<{ readonly token: string; readonly file: string } | undefined> {
  if (!(await isThisMachine(url))) return undefined;
  const { defaultDataDirectory } = await import('@wakeline/server/config');
  const { environment } = io;
  const directory =
    options.data ??
    (environment['WAKELINE_DATA'] || defaultDataDirectory({ environment, homeDirectory: homedir() }));
  try {
    const file = join(directory, 'admin.token');
    const token = readFileSync(file, 'utf8').trim();
    return token === '' ? undefined : { token, file };
  } catch {
    // None there, or not ours to read: the server says whether one is needed.
    return undefined;
  }
}

async function isThisMachine(url: URL): Promise<boolean> {
  const { isLoopbackHost } = await import('@wakeline/server/config');
  return isLoopbackHost(url.hostname.replace(/^\[(.*)\]$/, '$1'));
}

/** `tokenFile`: where the token was found, unless it was given. */
async function call(url: URL, init: RequestInit, tokenFile: string | undefined): Promise<unknown> {
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
  throw await refusal(url, response.status, json, tokenFile);
}

async function refusal(
  url: URL,
  status: number,
  json: unknown,
  tokenFile: string | undefined,
): Promise<CliError> {
  const error = (json as { error?: { code?: string; message?: string; hint?: string } } | undefined)?.error;
  let message = printable(error?.message ?? `the server answered with status ${status}`);
  let hint = error?.hint === undefined ? undefined : printable(error.hint);
  if (error?.code?.startsWith('unknown-') === true) {
    // /v1/KIND/ID: what was asked for is not in the server's words.
    const id = printable(decodeURIComponent(url.pathname.split('/')[3] ?? ''));
    message = `${message}: ${id}`;
    hint = hint?.replace(/\bID$/, () => id);
  }
  if (status === 401) hint = await hintWithoutToken(url, tokenFile);
  const isRefused = status === 401 || status === 403;
  return new CliError(isRefused ? 'refused' : 'failure', message, { code: error?.code, hint });
}

async function hintWithoutToken(url: URL, tokenFile: string | undefined): Promise<string> {
  if (!(await isThisMachine(url)))
    return (
      'give a token with --token or WAKELINE_TOKEN; the one in admin.token of a data directory is sent by itself ' +
      'to addresses of this machine only (127.0.0.1, localhost)'
    );
  if (tokenFile === undefined)
    return 'give a token with --token or WAKELINE_TOKEN, or the data directory with --data';
  return (
    `the token came from ${tokenFile}; if this is another server's, give --token, WAKELINE_TOKEN or --data; ` +
    'if it was revoked, delete that file and restart the server, which writes a new one'
  );
}

function unreachable(url: URL, cause: unknown): CliError {
  const inner = (cause as { cause?: { code?: string; message?: string } }).cause;
  const why = inner?.code ?? inner?.message ?? (cause as Error).message;
  const isTls = /CERT|SIGNATURE|TLS|SSL/.test(why);
  const hint = /WRONG_VERSION|PACKET_LENGTH/.test(why)
    ? 'is that an HTTPS port? others are asked with http://'
    : why === 'ERR_TLS_CERT_ALTNAME_INVALID'
      ? 'its certificate is for another name: ask for the server by that, with --server https://NAME:PORT'
      : isTls
        ? 'name the authority of its certificate with NODE_EXTRA_CA_CERTS=FILE'
        : 'is it running (wakeline up), and is that its HTTP port? Another address is given with --server, one with TLS as https://';
  return new CliError('unreachable', `cannot reach ${url.origin}: ${why}`, {
    cause,
    hint,
    code: 'unreachable',
  });
}
