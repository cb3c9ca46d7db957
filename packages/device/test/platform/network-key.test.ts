import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { networkKeyOf } from '../../src/platform/node/network-key.js';
import { processPlatform } from '../../src/platform/node/process-platform.js';

const route = (...lines: readonly string[]): string =>
  ['Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT', ...lines, ''].join(
    '\n',
  );
const neighbours = (...lines: readonly string[]): string =>
  ['IP address       HW type     Flags       HW address            Mask     Device', ...lines, ''].join('\n');

const home = 'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0';
const homeLink = 'wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0';
const wire = 'eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0';
const mobile = 'wwan0\t00000000\t00000000\t0001\t0\t0\t700\t00000000\t0\t0\t0';
const homeGateway = '192.168.1.1      0x1         0x2         aa:bb:cc:dd:ee:01     *        wlan0';
const cafeGateway = '192.168.1.1      0x1         0x2         aa:bb:cc:dd:ee:02     *        wlan0';
const wireGateway = '10.0.0.1         0x1         0x2         aa:bb:cc:dd:ee:03     *        eth0';
const lostGateway = '192.168.1.1      0x1         0x0         00:00:00:00:00:00     *        wlan0';

test('a network is known by the hardware address of its gateway, and its key does not tell it', () => {
  const key = networkKeyOf(route(homeLink, home), neighbours(wireGateway, homeGateway));
  assert.match(key!, /^[0-9a-f]{16}$/);
  assert.equal(networkKeyOf(route(home), neighbours(homeGateway)), key);
  assert.notEqual(networkKeyOf(route(home), neighbours(cafeGateway)), key);
  const wired = networkKeyOf(route(wire), neighbours(wireGateway));
  assert.equal(networkKeyOf(route(home, wire), neighbours(homeGateway, wireGateway)), wired);
});

test('a path without a gateway is known by its interface', () => {
  assert.match(networkKeyOf(route(mobile), neighbours())!, /^[0-9a-f]{16}$/);
});

test('without a default route, or while the gateway is not known, nothing is said', () => {
  assert.equal(networkKeyOf(route(homeLink), neighbours(homeGateway)), undefined);
  assert.equal(networkKeyOf(route(home), neighbours()), undefined);
  assert.equal(networkKeyOf(route(home), neighbours(lostGateway)), undefined);
  assert.equal(networkKeyOf('', ''), undefined);
});

test('a platform tells of a network when it is another one, and keeps the last one while nothing is known', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const keys = ['home', 'home', undefined, 'cafe'];
    const platform = processPlatform({ readNetworkKey: () => Promise.resolve(keys.shift()) });
    const told: (string | undefined)[] = [];
    await platform.start({
      handleNetwork: (key) => told.push(key),
      handleActivity: () => undefined,
      handleWake: () => undefined,
    });
    // Before anything is connected.
    assert.deepEqual(told, ['home']);
    for (let look = 0; look < 6; look += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      mock.timers.tick(5_000);
    }
    assert.deepEqual(told, ['home', 'cafe']);
    await platform.stop();
  } finally {
    mock.timers.reset();
  }
});
