import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { openAccess } from '@wakeline/core/domain';
import { hashPassword } from '../../src/config/password.js';
import { Authenticator, isDeviceOfUser } from '../../src/runtime/authenticator.js';
import type { AuthenticatorOptions } from '../../src/runtime/authenticator.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { ManualClock } from './fakes.js';

const address = '192.0.2.1';
const users = [{ name: 'ann', passwordScrypt: 'hash of ann', access: openAccess }];

function credentials(clientId: string, username?: string, password?: string) {
  return {
    clientId,
    username,
    password: password === undefined ? undefined : Buffer.from(password),
    address,
  };
}

/** An authenticator whose hashing is a comparison, with a record of the calls. */
function makeAuthenticator(options: Partial<AuthenticatorOptions> = {}) {
  const clock = new ManualClock();
  const calls: string[] = [];
  const state = { running: 0, runningMax: 0 };
  const authenticator = new Authenticator({
    users,
    anonymousDevices: false,
    limits: runtimeLimits,
    clock: clock.read,
    verify: async (password, line) => {
      calls.push(line);
      state.running += 1;
      state.runningMax = Math.max(state.runningMax, state.running);
      await new Promise((resolve) => setImmediate(resolve));
      state.running -= 1;
      return line === `hash of ${password}`;
    },
    ...options,
  });
  return { authenticator, clock, calls, state };
}

describe('authenticator', () => {
  it("a user's devices are not open to anonymous clients, others are", () => {
    const { authenticator } = makeAuthenticator({ anonymousDevices: true });
    const denied = { kind: 'denied', reason: 'bad-credentials' };
    assert.deepEqual(authenticator.authenticate(credentials('ann')), denied);
    assert.deepEqual(authenticator.authenticate(credentials('ann-phone')), denied);
    const allowed = { kind: 'authenticated', identity: { kind: 'anonymous' } };
    assert.deepEqual(authenticator.authenticate(credentials('annette')), allowed);
    assert.deepEqual(authenticator.authenticate(credentials('')), allowed);
  });

  it('a device token is hashed and left to the hub, at once and whatever the user name', () => {
    const { authenticator, calls } = makeAuthenticator();
    const sha256 = createHash('sha256').update('wl_d_secret').digest('hex');
    const expected = { kind: 'authenticated', identity: { kind: 'token', sha256 } };
    assert.deepEqual(authenticator.authenticate(credentials('d', undefined, 'wl_d_secret')), expected);
    assert.deepEqual(authenticator.authenticate(credentials('d', 'd', 'wl_d_secret')), expected);
    assert.deepEqual(calls, []);
  });

  it('[WP-19] the secret of a user agent is a token too, unless a user of that name is meant', async () => {
    const { authenticator, calls } = makeAuthenticator();
    const secret = '0123456789abcdef'.repeat(2);
    const sha256 = createHash('sha256').update(secret).digest('hex');
    const expected = { kind: 'authenticated', identity: { kind: 'token', sha256 } };
    assert.deepEqual(authenticator.authenticate(credentials('x', undefined, secret)), expected);
    assert.deepEqual(authenticator.authenticate(credentials('x', 'agent-1', secret)), expected);
    assert.deepEqual(calls, []);
    for (const password of [secret.toUpperCase(), `${secret}0`, secret.slice(1)]) {
      const decision = await authenticator.authenticate(credentials('x', undefined, password));
      assert.deepEqual(decision, { kind: 'denied', reason: 'bad-credentials' });
    }
    const asUser = await authenticator.authenticate(credentials('ann-1', 'ann', secret));
    assert.deepEqual(asUser, { kind: 'denied', reason: 'bad-credentials' });
    assert.deepEqual(calls, ['hash of ann']);
  });

  it('nothing presented is anonymous where that is allowed', () => {
    assert.deepEqual(
      makeAuthenticator({ anonymousDevices: true }).authenticator.authenticate(credentials('d')),
      {
        kind: 'authenticated',
        identity: { kind: 'anonymous' },
      },
    );
    assert.deepEqual(makeAuthenticator().authenticator.authenticate(credentials('d')), {
      kind: 'denied',
      reason: 'bad-credentials',
    });
  });

  it('something wrong presented is never anonymous', async () => {
    const { authenticator } = makeAuthenticator({ anonymousDevices: true });
    for (const given of [
      credentials('d', 'ann'),
      credentials('d', undefined, 'x'),
      credentials('d', 'ann', 'x'),
      credentials('d', 'nobody', 'x'),
      credentials('d', '', ''),
    ]) {
      assert.equal((await authenticator.authenticate(given)).kind, 'denied');
    }
  });

  it("a user's password is verified, for device ids of that user only", async () => {
    const { authenticator } = makeAuthenticator();
    assert.deepEqual(await authenticator.authenticate(credentials('ann-phone', 'ann', 'ann')), {
      kind: 'authenticated',
      identity: { kind: 'user', name: 'ann', access: openAccess },
    });
    assert.deepEqual(await authenticator.authenticate(credentials('bob', 'ann', 'ann')), {
      kind: 'denied',
      reason: 'bad-device-id',
    });
    assert.equal(isDeviceOfUser('ann', 'ann'), true);
    assert.equal(isDeviceOfUser('', 'ann'), true);
    assert.equal(isDeviceOfUser('anna', 'ann'), false);
  });

  it('an unknown user costs the same check as a wrong password', async () => {
    const { authenticator, calls } = makeAuthenticator();
    const unknown = await authenticator.authenticate(credentials('d', 'nobody', 'ann'));
    const wrong = await authenticator.authenticate(credentials('d', 'ann', 'wrong'));
    assert.deepEqual(unknown, wrong);
    assert.deepEqual(calls, ['hash of ann', 'hash of ann']);
  });

  it('one password is hashed at a time, and the queue is bounded', async () => {
    const { authenticator, state } = makeAuthenticator({
      limits: { ...runtimeLimits, passwordQueueMax: 3, failedLoginsMax: 100 },
    });
    const decisions = await Promise.all(
      [1, 2, 3, 4].map(() => authenticator.authenticate(credentials('ann', 'ann', 'ann'))),
    );
    assert.deepEqual(
      decisions.map((decision) => (decision.kind === 'denied' ? decision.reason : decision.kind)),
      ['authenticated', 'authenticated', 'authenticated', 'quota-exceeded'],
    );
    assert.equal(state.runningMax, 1);
    assert.equal((await authenticator.authenticate(credentials('ann', 'ann', 'ann'))).kind, 'authenticated');
  });

  it('an address that failed too often is refused without hashing until its window is over', async () => {
    const { authenticator, calls, clock } = makeAuthenticator({
      limits: { ...runtimeLimits, failedLoginsMax: 2, loginWindowMs: 1_000 },
    });
    const attempts = [1, 2, 3].map(() => authenticator.authenticate(credentials('ann', 'ann', 'wrong')));
    const reasons = (await Promise.all(attempts)).map(
      (decision) => decision.kind === 'denied' && decision.reason,
    );
    assert.deepEqual(reasons, ['bad-credentials', 'bad-credentials', 'quota-exceeded']);
    assert.equal(calls.length, 2);
    clock.nowMs += 1_000;
    assert.equal((await authenticator.authenticate(credentials('ann', 'ann', 'ann'))).kind, 'authenticated');
  });

  it('a check that fails for another reason does not block those behind it', async () => {
    let isBroken = true;
    const { authenticator } = makeAuthenticator({
      verify: async () => {
        if (isBroken) throw new Error('no memory');
        return true;
      },
    });
    const first = Promise.resolve(authenticator.authenticate(credentials('ann', 'ann', 'ann')));
    await assert.rejects(first, /no memory/);
    isBroken = false;
    assert.equal((await authenticator.authenticate(credentials('ann', 'ann', 'ann'))).kind, 'authenticated');
  });

  it('verifies what `wakeline password hash` makes', async () => {
    const line = await hashPassword('correct horse');
    const authenticator = new Authenticator({
      users: [{ name: 'ann', passwordScrypt: line, access: openAccess }],
      anonymousDevices: false,
      limits: runtimeLimits,
      clock: new ManualClock().read,
    });
    assert.equal(
      (await authenticator.authenticate(credentials('ann', 'ann', 'correct horse'))).kind,
      'authenticated',
    );
    assert.equal((await authenticator.authenticate(credentials('ann', 'ann', 'wrong'))).kind, 'denied');
  });
});
