import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openAccess } from '../../src/domain/index.js';
import type { Answer, CanaryView, Identity, LinkCommand } from '../../src/domain/index.js';
import { World, type TestFlow } from './world.js';

type Canary = LinkCommand & { readonly kind: 'canary' };

function command(clientId: string, silenceMs: number, fields: Partial<Canary> = {}): Canary {
  const identity: Identity = { kind: 'anonymous' };
  return { kind: 'canary', link: 'mqtt', peer: '127.0.0.1:2', identity, clientId, silenceMs, ...fields };
}

function canary(world: World, clientId: string, silenceMs: number, fields: Partial<Canary> = {}): TestFlow {
  const flow = world.connection();
  flow.send(command(clientId, silenceMs, fields));
  return flow;
}

const kinds = (flow: TestFlow): string[] => flow.events.map(({ kind }) => kind);

function ended(flow: TestFlow): string | undefined {
  const last = flow.events.at(-1);
  return last?.kind === 'end' || last?.kind === 'refused' ? last.reason : undefined;
}

let lastTicket = 0;

/** What `$line/alive` is answered. */
function alive(main: TestFlow): CanaryView | undefined {
  const ticket = ++lastTicket;
  main.send({ kind: 'ask', ticket, question: { about: 'alive' }, qos: 0, packetId: 0 });
  const answer: Answer | undefined = main.all('answered').find((event) => event.ticket === ticket)?.answer;
  assert(answer?.about === 'alive');
  return answer.canary;
}

describe('canaries', () => {
  test('[KA-20] [KA-21] one push after the silence, an end later, and the main connection is told all along', async () => {
    const world = new World();
    const main = await world.connect('phone');
    assert.equal(alive(main), undefined);
    const probe = canary(world, 'phone', 340_000);
    const [opened] = probe.all('opened');
    assert(opened?.deviceId === 'phone' && !opened.sessionPresent && !opened.assigned);
    assert.deepEqual(alive(main), { silenceMs: 340_000, isSent: false, isOpen: true });
    world.advance(339_999);
    assert.deepEqual(kinds(probe), ['opened']);
    world.advance(1);
    assert.deepEqual(probe.events.slice(1), [{ kind: 'canary-due', silenceMs: 340_000 }]);
    assert.deepEqual(alive(main), { silenceMs: 340_000, isSent: true, isOpen: true });
    world.advance(599_999);
    assert.equal(probe.events.length, 2);
    world.advance(1);
    assert.equal(ended(probe), 'canary-over');
    assert.deepEqual(alive(main), { silenceMs: 340_000, isSent: true, isOpen: false });
    assert(!kinds(main).includes('end'), 'the main connection is left alone');
    const { canaries, canaryPushes, flows } = await world.statistics();
    assert.deepEqual([canaries, canaryPushes, flows], [0, 1, 1]);
  });

  test('[KA-20] takes over nothing: session, inbox, presence and will are as before', async () => {
    const world = new World();
    const main = await world.subscriber('phone', 'news');
    main.send({
      kind: 'state',
      state: { activity: 'asleep', windowMs: undefined, network: undefined },
      qos: 0,
      packetId: 0,
    });
    const shown = async (): Promise<object> => {
      const reply = await world.request({ kind: 'get-device', deviceId: 'phone' });
      assert(reply.kind === 'device');
      return reply.device;
    };
    const before = await shown();
    const probe = canary(world, 'phone', 5_000);
    await world.sync();
    assert.deepEqual(await shown(), before);
    // It is no connection for messages, whatever it sends.
    probe.publish('news', 'from the canary');
    probe.subscribe('news');
    await world.sync();
    (await world.connect('sender')).publish('news', 'for the phone');
    await world.sync();
    assert.deepEqual(main.bodies, ['for the phone']);
    assert.deepEqual(kinds(probe), ['opened']);
    probe.close(true);
    assert.deepEqual(alive(main), { silenceMs: 5_000, isSent: false, isOpen: false });
    world.advance(5_000);
    assert.deepEqual(kinds(probe), ['opened'], 'nothing is sent to one that is gone');
  });

  test('[KA-20] [KA-21] the device of a canary must be there, and be its own', async () => {
    const world = new World();
    const main = await world.connect('phone');
    assert.equal(ended(canary(world, 'nobody', 5_000)), 'session-lost');
    assert.equal(ended(canary(world, '', 5_000)), 'bad-device-id');
    assert.equal(ended(canary(world, 'a/b', 5_000)), 'bad-device-id');
    await world.request({
      kind: 'put-device',
      deviceId: 'owned',
      tokenSha256: 'aa'.repeat(32),
      access: openAccess,
    });
    const identity: Identity = { kind: 'token', sha256: 'aa'.repeat(32) };
    assert.equal(ended(canary(world, 'owned', 5_000)), 'bad-credentials');
    assert.equal(ended(canary(world, 'phone', 5_000, { identity })), 'device-id-taken');
    const unknown: Identity = { kind: 'token', sha256: 'bb'.repeat(32) };
    assert.equal(ended(canary(world, 'owned', 5_000, { identity: unknown })), 'bad-credentials');
    assert.equal(alive(main), undefined, 'nobody hears of the canary of another');
    const owned = await world.connect('owned', { identity });
    const probe = canary(world, '', 5_000, { identity });
    assert.deepEqual(kinds(probe), ['opened']);
    assert.equal(alive(owned)?.silenceMs, 5_000);
    assert.equal(alive(main), undefined);
    // A new credential ends it, as it does the main connection.
    await world.request({
      kind: 'put-device',
      deviceId: 'owned',
      tokenSha256: 'cc'.repeat(32),
      access: openAccess,
    });
    assert.equal(ended(probe), 'session-lost');
  });

  test('[KA-20] a new one ends the old one; a flood of them leaves nothing behind', async () => {
    const world = new World();
    const main = await world.connect('phone');
    let old = canary(world, 'phone', 7_200_000);
    for (let count = 0; count < 5_000; count += 1) {
      const probe = canary(world, 'phone', 3_600_000 + count);
      assert.equal(ended(old), 'session-taken-over');
      old = probe;
    }
    assert.equal((await world.statistics()).canaries, 1);
    assert.equal(alive(main)?.silenceMs, 3_604_999);
    world.advance(3_604_999);
    assert.deepEqual(kinds(old), ['opened', 'canary-due']);
    assert.equal((await world.statistics()).canaryPushes, 1);
  });

  test('[KA-20] no more than canariesMax are open; those that have ended make room', async () => {
    const world = new World(1, { limits: { canariesMax: 2 } });
    const mains = [await world.connect('d1'), await world.connect('d2'), await world.connect('d3')];
    const first = canary(world, 'd1', 5_000);
    canary(world, 'd2', 5_000);
    assert.equal(ended(canary(world, 'd3', 5_000)), 'quota-exceeded');
    assert.deepEqual(kinds(canary(world, 'd2', 6_000)), ['opened'], 'in the place of its own');
    first.close();
    assert.equal(alive(mains[0]!)?.isOpen, false);
    assert.deepEqual(kinds(canary(world, 'd3', 5_000)), ['opened']);
    assert.equal(alive(mains[0]!), undefined, 'it was forgotten for the newcomer');
    assert.equal(alive(mains[1]!)?.silenceMs, 6_000);
  });

  for (const silenceMs of [999, 7_200_001, 1.5, Number.NaN]) {
    test(`[KA-20] a silence of ${silenceMs} ms is refused by the hub, too`, async () => {
      const world = new World();
      await world.connect('phone');
      assert.equal(ended(canary(world, 'phone', silenceMs)), 'canary-invalid');
    });
  }

  test('[KA-21] what was probed beside an older main connection is not told', async () => {
    const world = new World();
    const early = canary(world, 'phone', 5_000);
    assert.equal(ended(early), 'session-lost');
    let main = await world.connect('phone');
    const probe = canary(world, 'phone', 60_000);
    main = await world.connect('phone');
    assert.equal(alive(main), undefined);
    assert.deepEqual(kinds(probe), ['opened'], 'it goes on by itself');
    main.close();
    const between = canary(world, 'phone', 70_000);
    main = await world.connect('phone');
    assert.equal(alive(main), undefined, 'it came before the main connection');
    assert.deepEqual(kinds(between), ['opened']);
    canary(world, 'phone', 80_000).close();
    assert.equal(alive(main)?.silenceMs, 80_000);
    main.close();
    main = await world.connect('phone');
    assert.equal(alive(main), undefined);
  });

  test('[KA-20] a canary ends with its device', async () => {
    const world = new World();
    await world.connect('phone');
    const probe = canary(world, 'phone', 5_000);
    await world.request({ kind: 'delete-device', deviceId: 'phone' });
    assert.equal(ended(probe), 'session-lost');
    const guest = await world.connect('guest', { expirySeconds: 0 });
    const beside = canary(world, 'guest', 5_000);
    guest.close();
    assert.equal(ended(beside), 'session-lost');
  });

  test('[KA-20] none is let in while the hub leaves', async () => {
    const world = new World();
    await world.connect('phone');
    world.input({ kind: 'drain' });
    assert.equal(ended(canary(world, 'phone', 5_000)), 'draining');
  });

  test('[KA-21] one that outlived the hub goes on where it was, unless its push was due meanwhile', async () => {
    const world = new World();
    const main = await world.connect('phone');
    await world.settle();
    await world.crash(true);
    const resumed = (elapsedMs: number, isSent: boolean): Partial<Canary> => ({
      resumed: { elapsedMs, isSent },
    });
    const probe = canary(world, 'phone', 340_000, resumed(300_000, false));
    assert.deepEqual(kinds(probe), [], 'it is not told');
    const { epoch } = main.all('opened')[0]!;
    world.resume(main, { deviceId: 'phone', epoch });
    assert.deepEqual(alive(main), { silenceMs: 340_000, isSent: false, isOpen: true });
    world.advance(40_000);
    assert.deepEqual(kinds(probe), ['canary-due']);
    await world.crash(true);
    const late = canary(world, 'phone', 340_000, resumed(340_001, false));
    assert.equal(ended(late), 'hub-away', 'a push after a longer silence would say something else');
    const sent = canary(world, 'phone', 340_000, resumed(400_000, true));
    world.resume(main, { deviceId: 'phone', epoch });
    assert.deepEqual(alive(main), { silenceMs: 340_000, isSent: true, isOpen: true });
    world.advance(540_000);
    assert.deepEqual(kinds(sent), ['end']);
    assert.equal(ended(sent), 'canary-over');
  });
});
