import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { ApiToken, ControlReply } from '@wakeline/core/domain';
import type { HubRequest } from '../../src/http/options.js';
import { ensureAdminToken } from '../../src/runtime/admin-token.js';
import { FakeLog } from './fakes.js';

/** A hub that keeps tokens, as long as it lives. */
async function makeTokens(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'wakeline-test-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const tokens: ApiToken[] = [];
  const state = { isFull: false };
  const request = (asked: HubRequest): Promise<ControlReply> => {
    if (asked.kind === 'list-tokens')
      return Promise.resolve({ kind: 'tokens', ticket: 1, tokens: [...tokens] });
    if (state.isFull) return Promise.resolve({ kind: 'refused', ticket: 1, reason: 'storage-full' });
    if (asked.kind === 'put-token') tokens.push(asked.token);
    return Promise.resolve({ kind: 'done', ticket: 1 });
  };
  const ensure = (): Promise<void> => ensureAdminToken(directory, 5, request, new FakeLog());
  return { directory, tokens, state, ensure };
}

describe('admin token', () => {
  it('its hash is in the hub and its secret in the file, once', async (t) => {
    const { directory, tokens, ensure } = await makeTokens(t);
    await ensure();
    await ensure();
    assert.deepEqual(await readdir(directory), ['admin.token']);
    const secret = (await readFile(join(directory, 'admin.token'), 'utf8')).trim();
    const sha256 = createHash('sha256').update(secret).digest('hex');
    assert.deepEqual(tokens, [{ id: 'admin', name: 'admin', sha256, scopes: ['admin'], createdMs: 5 }]);
  });

  it('a start that was cut off before the file had its name is finished', async (t) => {
    const { directory, ensure } = await makeTokens(t);
    await ensure();
    const file = join(directory, 'admin.token');
    const secret = await readFile(file, 'utf8');
    await rm(file);
    await writeFile(`${file}.new`, secret);
    await ensure();
    assert.equal(await readFile(file, 'utf8'), secret);
  });

  it('a start that was cut off before the hub knew begins anew', async (t) => {
    const { directory, tokens, state, ensure } = await makeTokens(t);
    state.isFull = true;
    await ensure();
    assert.deepEqual(await readdir(directory), ['admin.token.new']);
    state.isFull = false;
    await ensure();
    assert.deepEqual(await readdir(directory), ['admin.token']);
    assert.equal(tokens.length, 1);
  });

  it('one that was deleted on purpose stays deleted', async (t) => {
    const { tokens, ensure } = await makeTokens(t);
    await ensure();
    tokens.length = 0;
    await ensure();
    assert.equal(tokens.length, 0);
  });
});
