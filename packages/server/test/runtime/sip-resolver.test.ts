import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NaptrRecord, SrvRecord } from 'node:dns';
import type { SipTransport } from '@wakeline/core/session/sip';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { SipResolver, sortSrv } from '../../src/runtime/sip-resolver.js';
import type { DnsClient } from '../../src/runtime/sip-resolver.js';
import { FakeLog } from './fakes.js';

interface Zone {
  readonly naptr?: Readonly<Record<string, readonly NaptrRecord[]>>;
  readonly srv?: Readonly<Record<string, readonly SrvRecord[]>>;
  readonly addresses?: Readonly<Record<string, readonly string[]>>;
  readonly ttl?: number;
}

const srv = (name: string, port: number, priority = 10, weight = 0): SrvRecord => {
  return { name, port, priority, weight };
};
const naptr = (service: string, replacement: string, order = 10, preference = 10): NaptrRecord => {
  return { flags: 's', service, regexp: '', replacement, order, preference };
};

class FakeDns implements DnsClient {
  readonly asked: string[] = [];
  zone: Zone;
  constructor(zone: Zone) {
    this.zone = zone;
  }
  naptr(name: string): Promise<NaptrRecord[]> {
    return this.#answer('NAPTR', name, this.zone.naptr?.[name]);
  }
  srv(name: string): Promise<SrvRecord[]> {
    return this.#answer('SRV', name, this.zone.srv?.[name]);
  }
  async addresses(name: string): Promise<{ address: string; ttl: number }[]> {
    const found = await this.#answer('A', name, this.zone.addresses?.[name]);
    return found.map((address) => ({ address, ttl: this.zone.ttl ?? 60 }));
  }
  async #answer<Item>(type: string, name: string, items: readonly Item[] | undefined): Promise<Item[]> {
    this.asked.push(`${type} ${name}`);
    await Promise.resolve();
    if (items === undefined) throw Object.assign(new Error(name), { code: 'ENOTFOUND' });
    return [...items];
  }
}

function make(zone: Zone, limits: Partial<typeof runtimeLimits> = {}) {
  const dns = new FakeDns(zone);
  const time = { nowMs: 0 };
  const resolver = new SipResolver({
    dns,
    limits: { ...runtimeLimits, ...limits },
    nowMs: () => time.nowMs,
    random: () => 0,
    log: new FakeLog(),
  });
  const find = async (
    host: string,
    options: { port?: number; transport?: SipTransport; isSecure?: boolean } = {},
  ): Promise<string[]> => {
    const { port, transport, isSecure = false } = options;
    const targets = await resolver.resolve({ kind: 'resolve', ticket: 1, host, port, transport, isSecure });
    return targets.map(({ transport: by, remote }) => `${by} ${remote.address}:${remote.port}`);
  };
  return { dns, find, time };
}

const addresses = {
  'pbx.example': ['192.0.2.1'],
  'one.example': ['192.0.2.2', '2001:db8::2'],
  'two.example': ['192.0.2.3'],
};

describe('SIP resolver (RFC 3263)', () => {
  it('a port leaves only addresses to be asked for', async () => {
    const { dns, find } = make({ addresses });
    assert.deepEqual(await find('one.example', { port: 5080 }), [
      'udp 192.0.2.2:5080',
      'udp 2001:db8::2:5080',
    ]);
    assert.deepEqual(await find('pbx.example', { port: 5080, transport: 'tcp' }), ['tcp 192.0.2.1:5080']);
    assert.deepEqual(await find('pbx.example', { port: 5080, isSecure: true }), ['tls 192.0.2.1:5080']);
    assert.deepEqual(dns.asked, ['A one.example', 'A pbx.example', 'A pbx.example']);
  });

  it('a transport leaves its SRV, and without that the usual port', async () => {
    const { find } = make({ addresses, srv: { '_sip._tcp.pbx.example': [srv('two.example', 5070)] } });
    assert.deepEqual(await find('pbx.example', { transport: 'tcp' }), ['tcp 192.0.2.3:5070']);
    assert.deepEqual(await find('pbx.example', { transport: 'udp' }), ['udp 192.0.2.1:5060']);
    assert.deepEqual(await find('pbx.example', { transport: 'tls' }), ['tls 192.0.2.1:5061']);
  });

  it('NAPTR says which transport comes first, and sips takes TLS only', async () => {
    const zone: Zone = {
      addresses,
      naptr: {
        'pbx.example': [
          naptr('SIP+D2U', 'udp.pbx.example', 90),
          naptr('SIP+D2T', 'tcp.pbx.example', 50),
          naptr('SIPS+D2T', 'tls.pbx.example', 50, 20),
          naptr('E2U+sip', 'other.example', 1),
        ],
      },
      srv: {
        'tcp.pbx.example': [srv('one.example', 5062)],
        'tls.pbx.example': [srv('two.example', 5063)],
      },
    };
    const { find, dns } = make(zone);
    assert.deepEqual(await find('pbx.example'), ['tcp 192.0.2.2:5062', 'tcp 2001:db8::2:5062']);
    assert.deepEqual(dns.asked.slice(0, 2), ['NAPTR pbx.example', 'SRV tcp.pbx.example']);
    assert.deepEqual(await find('pbx.example', { isSecure: true }), ['tls 192.0.2.3:5063']);
  });

  it('without NAPTR every transport is asked for by SRV; without SRV it is UDP', async () => {
    const { find, dns } = make({ addresses, srv: { '_sip._udp.pbx.example': [srv('one.example', 5064)] } });
    assert.deepEqual(await find('pbx.example'), ['udp 192.0.2.2:5064', 'udp 2001:db8::2:5064']);
    assert.deepEqual(dns.asked.slice(0, 4), [
      'NAPTR pbx.example',
      'SRV _sips._tcp.pbx.example',
      'SRV _sip._tcp.pbx.example',
      'SRV _sip._udp.pbx.example',
    ]);
    assert.deepEqual(await find('two.example'), ['udp 192.0.2.3:5060']);
    assert.deepEqual(await find('two.example', { isSecure: true }), ['tls 192.0.2.3:5061']);
    assert.deepEqual(await find('nobody.example'), []);
  });

  it('answers are remembered as long as the addresses say', async () => {
    const { find, dns, time } = make({ addresses, ttl: 30 });
    const port = 5060;
    await Promise.all([find('pbx.example', { port }), find('pbx.example', { port })]);
    await find('pbx.example', { port });
    assert.equal(dns.asked.length, 1);
    time.nowMs = 30_000;
    await find('pbx.example', { port });
    assert.equal(dns.asked.length, 2);
    await find('nobody.example', { port });
    await find('nobody.example', { port });
    assert.equal(dns.asked.length, 3);
    time.nowMs += runtimeLimits.sipUnresolvedMs;
    await find('nobody.example', { port });
    assert.equal(dns.asked.length, 4);
  });

  it('is bounded in places, in names that are looked for, and in time', async () => {
    const many = Array.from({ length: 40 }, (_, index) => `192.0.2.${index}`);
    const { find } = make({ addresses: { 'many.example': many } });
    assert.equal((await find('many.example', { port: 1 })).length, runtimeLimits.sipResolvedTargetsMax);
    const slow = make({ addresses }, { sipResolveMs: 10, sipResolvesMax: 1 } as never);
    slow.dns.addresses = () => new Promise(() => {});
    const first = slow.find('pbx.example', { port: 1 });
    assert.deepEqual(await slow.find('one.example', { port: 1 }), []);
    assert.deepEqual(await first, []);
  });

  it('SRV is sorted by priority, and drawn by weight', () => {
    const records = [srv('c', 1, 20), srv('a', 1, 10, 90), srv('b', 1, 10, 10)];
    const names = (random: number): string =>
      sortSrv(records, () => random)
        .map(({ name }) => name)
        .join('');
    assert.equal(names(0), 'bac');
    assert.equal(names(0.5), 'abc');
  });
});
