/** `wakeline token …`: bearer tokens of the HTTP API. */
import { createApiClient } from '../api-client.js';
import type { ClientOptions } from '../api-client.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable } from '../io.js';
import type { CliIo } from '../io.js';

export interface TokenOptions extends ClientOptions {
  readonly json?: boolean;
}

interface Token {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly createdAt: string;
}

/** The token goes to standard output alone, so that `$(wakeline token create …)` is the token. */
export async function createToken(
  options: TokenOptions & { readonly name: string; readonly scope: readonly string[] },
  io: CliIo,
): Promise<number> {
  const client = await createApiClient(options, io);
  const { name, scope: scopes } = options;
  const made = (await client.call('POST', '/v1/tokens', { name, scopes })) as Token & {
    readonly token: string;
  };
  io.stdout.write(`${options.json === true ? JSON.stringify(made) : made.token}\n`);
  if (options.json !== true) io.stderr.write(`Keep it: it is not shown again. Its id is ${made.id}.\n`);
  return exitCodes.ok.code;
}

export async function listTokens(options: TokenOptions, io: CliIo): Promise<number> {
  const client = await createApiClient(options, io);
  const { tokens } = (await client.call('GET', '/v1/tokens')) as { readonly tokens: readonly Token[] };
  if (options.json === true) for (const token of tokens) io.stdout.write(`${JSON.stringify(token)}\n`);
  else {
    const rows = tokens.map(({ id, name, scopes, createdAt }) => [id, name, scopes.join(' '), createdAt]);
    io.stdout.write(formatTable(['ID', 'NAME', 'SCOPES', 'CREATED'], rows));
  }
  return exitCodes.ok.code;
}

/** The server's name for the token in admin.token. */
const adminTokenId = 'admin';
const wayBack = 'delete admin.token in the data directory and restart the server, which writes a new one';

export async function revokeToken(
  id: string,
  options: TokenOptions & { readonly yes?: boolean },
  io: CliIo,
): Promise<number> {
  if (id === adminTokenId && options.yes !== true) {
    const what = 'this ends the token in admin.token: every command and program that uses it is refused then';
    throw new CliError('usage', what, { hint: `add --yes to do it; the way back: ${wayBack}` });
  }
  const client = await createApiClient(options, io);
  await client.call('DELETE', `/v1/tokens/${encodeURIComponent(id)}`);
  io.stdout.write(options.json === true ? `${JSON.stringify({ id, revoked: true })}\n` : `${id} revoked\n`);
  if (id === adminTokenId && options.json !== true) io.stderr.write(`The way back: ${wayBack}.\n`);
  return exitCodes.ok.code;
}
