/** SIPp as caller and callee, over UDP and TCP: its stock scenarios and ours, through the proxy, between users and trunks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { whyMissing } from './program.js';
import { DOMAIN, PASSWORD } from './sip-server.js';
import { callersTrunk, onStage, OTHER_TRUNK_ADDRESS, TRUNK_ADDRESS } from './sip-stage.js';
import type { SipStage } from './sip-stage.js';
import { runPair, sippPairs } from './sipp-pairs.js';
import { Sipp } from './sipp.js';
import { freePort } from './support.js';
import { join } from 'node:path';

const skip = whyMissing('sipp') ?? false;

/** `trunk to user`: nobody is challenged; the callee is where it registered from, by UDP. `user to trunk`: the caller is. */
interface Way {
  readonly from: 'trunk' | 'user';
  readonly callerTransport: 'udp' | 'tcp';
  readonly calleeTransport: 'udp' | 'tcp';
}

const ways: readonly Way[] = [
  { from: 'trunk', callerTransport: 'udp', calleeTransport: 'udp' },
  { from: 'trunk', callerTransport: 'tcp', calleeTransport: 'udp' },
  { from: 'user', callerTransport: 'tcp', calleeTransport: 'tcp' },
  { from: 'user', callerTransport: 'udp', calleeTransport: 'udp' },
];

for (const { from, callerTransport, calleeTransport } of ways) {
  const isFromTrunk = from === 'trunk';
  const to = isFromTrunk ? 'a user' : 'a trunk';
  const title = `SIPp as a ${from} over ${callerTransport} calls SIPp as ${to} over ${calleeTransport}`;
  test(title, { skip }, async (t) => {
    const calleePort = await freePort();
    const calleeAddress = isFromTrunk ? '127.0.0.1' : OTHER_TRUNK_ADDRESS;
    const trunk = {
      name: 'callees',
      uri: `sip:${OTHER_TRUNK_ADDRESS}:${calleePort};transport=${calleeTransport}`,
      from: [OTHER_TRUNK_ADDRESS],
      numbers: ['+*'],
    };
    await onStage({ users: ['ann', 'bob'], trunks: [callersTrunk, trunk] }, async (stage) => {
      const { server } = stage;
      if (isFromTrunk) await register(stage, 'bob', calleePort, 1);
      const udpPort = isFromTrunk ? server.trunkPort : server.udpPort;
      const places = {
        directory: stage.path,
        callerTransport,
        calleeTransport,
        server: `127.0.0.1:${callerTransport === 'udp' ? udpPort : server.tcpPort}`,
        domain: DOMAIN,
        service: isFromTrunk ? 'bob' : '+4930123',
        ...(!isFromTrunk && { credentials: ['ann', PASSWORD] as const }),
        callerAddress: isFromTrunk ? TRUNK_ADDRESS : '127.0.0.1',
        calleeAddress,
        calleePort,
      };
      for (const pair of sippPairs) {
        if (!isFromTrunk && pair.isForTrunksOnly === true) continue;
        if (pair.only === (isFromTrunk ? 'to-trunk' : 'to-user')) continue;
        await t.test(pair.title, async () => {
          await runPair(pair, places);
        });
      }
    });
  });
}

describe('SIPp as users of ours, over UDP', { skip }, () => {
  test('a caller is challenged, and calls a user that registered', async () => {
    await onStage({ users: ['ann', 'bob'] }, async (stage) => {
      const callee = await registeredCallee(stage, 'bob', 'callee', 1);
      const call = await stage.call('bob', {
        scenario: 'caller-authenticates',
        server: `127.0.0.1:${stage.server.udpPort}`,
        localAddress: '127.0.0.1',
        replacements: { STATUS: '407' },
        credentials: ['ann', PASSWORD],
        credentialsUri: `sip:bob@${DOMAIN}`,
        holdMs: 500,
      });
      await call.success();
      await callee.success();
    });
  });

  test('a fork: the first that answers wins, the other is cancelled with the reason', async () => {
    await onStage({ users: ['bob'] }, async (stage) => {
      const winner = await registeredCallee(stage, 'bob', 'callee', 1, 500);
      const other = await registeredCallee(stage, 'bob', 'callee-cancelled', 2);
      const call = await stage.call('bob', { holdMs: 500 });
      await call.success();
      await winner.success();
      const { marks } = await other.success();
      assert.match(marks.find(({ name }) => name === 'reason')!.detail, /SIP\s*;\s*cause=200/);
    });
  });

  test('a fork: both answer, and the caller gets both', async () => {
    await onStage({ users: ['bob'] }, async (stage) => {
      const first = await registeredCallee(stage, 'bob', 'callee', 1, 500);
      const late = await registeredCallee(stage, 'bob', 'callee-answers-cancelled', 2);
      const call = await stage.call('bob', { scenario: 'caller-late-2xx', holdMs: 500 });
      await call.success();
      await first.success();
      await late.success();
    });
  });
});

/** SIPp registers from a port, and waits there to be called. */
async function registeredCallee(
  stage: SipStage,
  user: string,
  scenario: string,
  number: number,
  holdMs = 200,
): Promise<Sipp> {
  const localPort = await freePort();
  await register(stage, user, localPort, number);
  const directory = join(stage.path, `${user}-${number}`);
  const callee = stage.keep(await Sipp.start({ directory, scenario, localPort, holdMs }));
  await callee.listens();
  return callee;
}

/** SIPp registers a user at one of its UDP ports. */
async function register(stage: SipStage, user: string, localPort: number, number: number): Promise<void> {
  const instance = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  const registration = await Sipp.start({
    directory: join(stage.path, `${user}-${number}-register`),
    scenario: 'register',
    server: `127.0.0.1:${stage.server.udpPort}`,
    localPort,
    keys: { domain: DOMAIN, caller: user, instance },
    credentials: [user, PASSWORD],
    credentialsUri: `sip:${DOMAIN}`,
  });
  stage.keep(registration);
  await registration.success();
}
