/**
 * The first bearer token: made at the first start, so that nobody has to think of a secret before there is a server.
 *
 * The secret goes to `admin.token.new`, its hash to the hub, and then the file gets its name. Whatever is
 * interrupted, the next start finishes or begins anew, and never gives back a token that was deleted on purpose:
 * `admin.token` without a token in the hub means just that.
 */
import { createHash, randomBytes } from 'node:crypto';
import { access, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlReply } from '@wakeline/core/domain';
import type { HubRequest } from '../http/options.js';
import type { Log } from './log.js';

export const adminTokenFile = 'admin.token';
const adminTokenId = 'admin';
/** Every API token begins so, which lets secret scanners find one that leaked. */
const apiTokenPrefix = 'wl_a_';
const secretBytes = 32;

/** Sees to it that there is an admin token, unless there was one. Rejects when the file cannot be written. */
export async function ensureAdminToken(
  directory: string,
  nowMs: number,
  request: (request: HubRequest) => Promise<ControlReply>,
  log: Log,
): Promise<void> {
  const file = join(directory, adminTokenFile);
  const unfinished = `${file}.new`;
  const reply = await request({ kind: 'list-tokens' });
  if (reply.kind !== 'tokens') throw new Error(`the hub answered list-tokens with ${reply.kind}`);
  if (reply.tokens.some((token) => token.id === adminTokenId)) {
    if (await exists(unfinished)) await rename(unfinished, file);
    return;
  }
  if (await exists(file)) return;
  const secret = apiTokenPrefix + randomBytes(secretBytes).toString('base64url');
  await writeSecret(unfinished, `${secret}\n`);
  const put = await request({
    kind: 'put-token',
    token: {
      id: adminTokenId,
      name: adminTokenId,
      sha256: createHash('sha256').update(secret).digest('hex'),
      scopes: ['admin'],
      createdMs: nowMs,
    },
  });
  if (put.kind === 'refused') {
    // A full disk, say. The next start tries again; until then an open API needs no token.
    log.error({ reason: put.reason }, 'admin token not made');
    return;
  }
  await rename(unfinished, file);
  log.info({ file }, 'admin token written');
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}

/** Readable by the owner alone from its first byte on, and on the disk when this resolves. */
async function writeSecret(path: string, text: string): Promise<void> {
  const handle = await open(path, 'w', 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
