import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/base/index.js';
import { World, publication } from './world.js';

describe('sessions', () => {
  test('[SE-1] a clean start ends subscriptions and what waits by topic; what is addressed stays', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    device.subscribe('$line/inbox/#');
    await world.sync();
    device.close();
    await world.request(world.sendTo('d', 'mine'));
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'by topic');
    await world.sync();
    const again = await world.connect('d', { clean: true });
    assert.equal(again.all('opened')[0].sessionPresent, false);
    assert.deepEqual(again.bodies, []);
    again.subscribe('$line/inbox/+');
    await world.sync();
    assert.deepEqual(again.bodies, ['mine']);
    await world.crash(false);
    const last = await world.connect('d');
    assert.deepEqual(last.bodies, ['mine']);
  });

  test('[SE-2] a session that expires is gone, with its device when nothing else is kept', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { expirySeconds: 10 });
    device.close();
    world.advance(9_000);
    await world.sync();
    assert.equal((await world.request({ kind: 'get-device', deviceId: 'd' })).kind, 'device');
    world.advance(1_500);
    await world.sync();
    assert.deepEqual(await world.request({ kind: 'get-device', deviceId: 'd' }), {
      kind: 'refused',
      ticket: 2,
      reason: 'unknown-device',
    });
    assert.equal(
      world.store.size('device') + world.store.size('cursor') + world.store.size('subscription'),
      0,
    );
  });

  test('[SE-2] the time away before a crash counts', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#', 1, { expirySeconds: 10 });
    device.close();
    await world.settle();
    await world.crash(false);
    world.advance(7_000);
    await world.sync();
    assert.equal((await world.connect('d', { expirySeconds: 10 })).all('opened')[0].sessionPresent, false);
  });

  test('[SE-2] coming and going moves the deadline and does not pile deadlines up', async () => {
    const world = new World();
    (await world.subscriber('d', '#', 1, { expirySeconds: 100 })).close();
    for (let round = 0; round < 50; round++) {
      world.advance(90_000);
      (await world.connect('d', { expirySeconds: 100, clean: round % 5 === 0 })).close();
      await world.sync();
    }
    assert(world.hub.deadlineCount <= 2, `${world.hub.deadlineCount} deadlines for one device`);
    const back = await world.connect('d', { expirySeconds: 100 });
    assert.equal(back.all('opened')[0].sessionPresent, true);
    back.close(false, 5);
    world.advance(6_000);
    await world.sync();
    assert.equal((await world.connect('d')).all('opened')[0].sessionPresent, false);
  });

  test('[SE-3] a second connection takes the session over', async () => {
    const world = new World();
    const first = await world.subscriber('d', '#');
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('t', 'one');
    await world.sync();
    const second = await world.connect('d');
    assert.deepEqual(first.all('end'), [{ kind: 'end', reason: 'session-taken-over' }]);
    assert.deepEqual(second.bodies, ['one']);
    assert.equal(second.deliveries[0].duplicate, true);
    first.acknowledge(1);
    assert.equal((await world.statistics()).waitingMessages, 1);
  });

  test('[SE-4] an empty client id is assigned one', async () => {
    const world = new World();
    const [opened] = (await world.connect('', { expirySeconds: 0, clean: true })).all('opened');
    assert.equal(opened.assigned, true);
    assert.match(opened.deviceId, /^auto-[0-9a-f]{24}$/);
  });

  test('[SE-5] ids that would break topics and rules are refused', async () => {
    const world = new World();
    for (const id of ['a/b', 'a+', '#', 'a\u0001', 'x'.repeat(300)]) {
      assert.deepEqual((await world.connect(id)).all('refused'), [
        { kind: 'refused', reason: 'bad-device-id' },
      ]);
    }
  });

  test('[SE-6] a will is published when the flow goes without a farewell, after its delay, unless back in time', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will/#');
    const will = (body: string, delaySeconds: number) => ({
      publication: publication('will/d', body),
      delaySeconds,
    });
    (await world.connect('d', { will: will('at once', 0) })).close(true);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once']);
    (await world.connect('d', { will: will('discarded', 0) })).close(false);
    (await world.connect('d', { will: will('taken back', 10) })).close(true);
    world.advance(5_000);
    const back = await world.connect('d', { will: will('late', 10) });
    world.advance(20_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once']);
    back.close(true);
    world.advance(11_000);
    await world.sync();
    assert.deepEqual(watcher.bodies, ['at once', 'late']);
  });

  test('[SE-6] the will of a durable session outlives the server', async () => {
    const world = new World();
    const watcher = await world.subscriber('w', 'will/#');
    watcher.close();
    await world.connect('d', { will: { publication: publication('will/d', 'gone'), delaySeconds: 3 } });
    await world.crash(false);
    world.advance(limits.willGraceMs - 1_000);
    await world.sync();
    assert.equal((await world.statistics()).publicationsAccepted, 0);
    world.advance(2_000);
    await world.sync();
    assert.deepEqual((await world.connect('w')).bodies, ['gone']);
  });

  test('[SE-7] a device with a token is reached with it only', async () => {
    const world = new World();
    const access = { publish: ['up/%d/#'], subscribe: ['down/%d/#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    assert.equal((await world.connect('d')).all('refused')[0].reason, 'bad-credentials');
    const wrong = await world.connect('d', { identity: { kind: 'token', sha256: 'bb' } });
    assert.equal(wrong.all('refused')[0].reason, 'bad-credentials');
    const other = await world.connect('e', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(other.all('refused')[0].reason, 'device-id-taken');
    await world.crash(false);
    const device = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(device.all('opened').length, 1);
    device.subscribe('down/#');
    device.subscribe('down/d/x');
    device.publish('up/d/x', 'allowed', {}, 1);
    device.publish('up/e/x', 'not allowed', {}, 2);
    await world.sync();
    assert.deepEqual(
      device.all('subscribed').map(({ results }) => results),
      [['not-authorized'], [1]],
    );
    assert.deepEqual(
      device.all('accepted').map(({ reason }) => reason),
      [undefined, 'not-authorized'],
    );
  });

  test('[SE-7] an id with replacement patterns in it means nothing in a rule', async () => {
    const world = new World(1, { defaultAccess: { publish: ['up/%d/#'], subscribe: ['in/%d/#'] } });
    const results = async (id: string, ...filters: string[]) => {
      const device = await world.connect(id);
      for (const filter of filters) device.subscribe(filter);
      await world.sync();
      return device.all('subscribed').map(({ results: [result] }) => result);
    };
    assert.deepEqual(await results("victim$'", 'in/victim/#', "in/victim$'/#"), ['not-authorized', 1]);
    assert.deepEqual(await results('a$$b', 'in/a$b/#', 'in/a$$b/x'), ['not-authorized', 1]);
    assert.deepEqual(await results('a$&b', 'in/a%db/#', 'in/a$&b/x'), ['not-authorized', 1]);
  });

  test('[SE-7] narrower rules end the subscriptions they do not allow', async () => {
    const world = new World();
    const identity = { kind: 'token', sha256: 'aa' } as const;
    const access = { publish: ['#'], subscribe: ['#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    const device = await world.subscriber('d', 'secret/#', 1, { identity });
    device.subscribe('open/#');
    await world.sync();
    const narrow = { publish: [], subscribe: ['open/#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access: narrow });
    const sender = await world.connect('s', { expirySeconds: 0, clean: true });
    sender.publish('secret/a', 'secret', {}, 1);
    sender.publish('open/a', 'open', {}, 2);
    await world.sync();
    assert.deepEqual((await world.connect('d', { identity })).bodies, ['open']);
    await world.crash(false);
    assert.deepEqual(
      [...world.store.scan('subscription')].map(({ key }) => new TextDecoder().decode(key.slice(4))),
      ['open/#'],
    );
  });

  test('[SE-8] a new token ends the flow of the old one', async () => {
    const world = new World();
    const access = { publish: ['#'], subscribe: ['#'] };
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'aa', access });
    const device = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    await world.request({ kind: 'put-device', deviceId: 'd', tokenSha256: 'bb', access });
    assert.deepEqual(device.all('end'), [{ kind: 'end', reason: 'bad-credentials' }]);
    const old = await world.connect('d', { identity: { kind: 'token', sha256: 'aa' } });
    assert.equal(old.all('refused')[0].reason, 'bad-credentials');
  });

  test('[SE-9] a removed device leaves nothing behind', async () => {
    const world = new World();
    const device = await world.subscriber('d', '#');
    await world.request(world.sendTo('d', 'lost'));
    assert.equal((await world.request({ kind: 'delete-device', deviceId: 'd' })).kind, 'done');
    assert.equal(device.all('end').length, 1);
    await world.settle();
    for (const table of ['device', 'cursor', 'subscription', 'log'] as const) {
      assert.equal(world.store.size(table), 0, table);
    }
    const anew = await world.connect('d');
    assert.equal(anew.all('opened')[0].sessionPresent, false);
  });
});
