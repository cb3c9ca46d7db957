/**
 * Kamailio beside us as the PBX: SIPp calls a user of ours through it, the phone sleeps, voice goes end to end, either
 * side hangs up; meanwhile the PBX asks OPTIONS of every user once a second, which wakes nobody.
 *
 * WAKELINE_LONG=1 makes it 50 calls.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Kamailio, KAMAILIO } from './kamailio.js';
import { whyMissing } from './program.js';
import { DOMAIN } from './sip-server.js';
import { onStage } from './sip-stage.js';
import { freePort, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const skip = whyMissing('sipp', 'baresip', KAMAILIO) ?? false;
const CALLS = isLong ? 10 : 2;
const PHONES = isLong ? 5 : 2;
const PBX_ADDRESS = '127.0.0.21';
/** Pings of one user, while all phones sleep. */
const PINGS = 4;

test(`${CALLS * PHONES} calls by a PBX reach sleeping phones; its pings wake nobody`, { skip }, async () => {
  const users = Array.from({ length: PHONES }, (_, index) => `phone${index + 1}`);
  const pbxPort = await freePort();
  const trunk = {
    name: 'pbx',
    uri: `sip:${PBX_ADDRESS}:${pbxPort};transport=tcp`,
    from: [PBX_ADDRESS],
    numbers: ['*'],
  };
  await onStage({ users, trunks: [trunk] }, async (stage) => {
    const phones = await Promise.all(
      users.map((user) => stage.baresip(user, { registrationSeconds: 3_600, box: { window: '3s' } })),
    );
    await Promise.all(phones.map(({ box }) => box.asleep()));
    // One that was slow to register has been woken for that.
    const wakesBefore = phones.map(({ box }) => box.wakes().length);
    const pbx = stage.keep(
      await Kamailio.start({
        role: 'pbx',
        directory: join(stage.path, 'pbx'),
        address: PBX_ADDRESS,
        port: pbxPort,
        trunk: { domain: DOMAIN, port: stage.server.tcpPort },
        pings: users.map((user) => `${user}@${DOMAIN}`),
      }),
    );

    const answered = (): number => pbx.log.match(/ping answered 200/g)?.length ?? 0;
    await until(
      () => answered() >= PINGS * PHONES,
      60_000,
      () => `pings are answered: ${pbx.log.slice(-2_000)}`,
    );
    for (const [index, { box, address }] of phones.entries()) {
      assert(box.isAsleep, `${address} sleeps on`);
      assert.equal(box.wakes().length, wakesBefore[index], `${address} was woken: ${box.tell()}`);
    }

    const each = phones.map(async (phone, index) => {
      for (let number = 0; number < CALLS; number++) {
        await phone.box.asleep();
        const wakes = phone.box.wakes('data').length;
        const from = phone.position;
        const hangsUp = number % 2 === 0 ? 'caller' : 'phone';
        const call = await stage.call(users[index]!, {
          scenario: hangsUp === 'caller' ? 'caller' : 'caller-waits-for-bye',
          server: `${PBX_ADDRESS}:${pbxPort}`,
          localAddress: '127.0.0.1',
          holdMs: 2_000,
        });
        if (hangsUp === 'phone') {
          const { atMs } = await call.mark('acknowledged');
          await until(
            () => Date.now() - atMs > 2_000,
            10_000,
            () => 'the talk is over',
          );
          await phone.command('hangup');
        }
        await call.success();
        const { sentPackets, receivedPackets } = await phone.voice(from);
        assert(sentPackets > 50 && receivedPackets > 50, `${sentPackets} sent, ${receivedPackets} received`);
        assert(phone.box.wakes('data').length > wakes, 'the call woke it');
      }
    });
    await Promise.all(each);
    // A ping that had been answered late or by nobody would be seen here.
    assert.doesNotMatch(pbx.log, /ping answered (?!200)/);
  });
});
