import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  ConfigError,
  hashSipPassword,
  loadConfig,
  readSipAddress,
  readSipPassword,
  sipPasswordLine,
} from '../../src/config/index.js';
import type { ServerConfig } from '../../src/config/index.js';

const folder = mkdtempSync(join(tmpdir(), 'wakeline-sip-config-'));
after(() => rmSync(folder, { recursive: true }));

interface Given {
  readonly yaml?: string;
  readonly environment?: Record<string, string>;
  readonly flags?: Record<string, unknown>;
}

function load({ yaml, environment = {}, flags = {} }: Given): ServerConfig {
  if (yaml !== undefined) writeFileSync(join(folder, 'wakeline.yaml'), yaml);
  return loadConfig({
    file: yaml === undefined ? undefined : 'wakeline.yaml',
    environment,
    flags,
    workingDirectory: folder,
    homeDirectory: '/nobody',
  });
}

function mistakes(given: Given): string {
  try {
    load(given);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail('no mistake was found');
}

const alice = hashSipPassword('alice@example.org', 'secret', ['sha-256', 'md5']);
const line = sipPasswordLine(alice);

const whole = `
listen:
  - http://127.0.0.1:0
  - { url: 'sip+tcp://127.0.0.1:0', advertise: 'sip.example.org:5070' }
  - sip+udp://127.0.0.1:0
  - { url: 'sip+udp://0.0.0.0:5080', trunksOnly: true, advertise: '203.0.113.7' }
sip:
  domains: [Example.ORG]
  users:
    - { address: Alice@EXAMPLE.org, password: '${line}', devices: [phone-1, phone-2] }
    - { address: bob@example.org, password: 'md5:${'a'.repeat(32)}' }
    - { address: '+49301234@example.org', password: 'sha-256:${'B'.repeat(64)}, md5:${'C'.repeat(32)}' }
  trunks:
    - name: pbx
      uri: sip:192.0.2.10:5060;transport=tcp
      from: [192.0.2.10]
      register: { address: wakeline@pbx.example, password: a b }
      numbers: ['+*', '*@pbx.example']
  park: 90s
  registrationMin: 10m
  registrationMax: 2h
  flowTimer: 840s
  pushEndpoints: ['https://push.example:8443/']
`;

describe('sip', () => {
  test('everything can stand in the file', () => {
    const { sip, listeners } = load({ yaml: whole });
    assert.deepEqual(sip, {
      domains: ['example.org'],
      users: [
        { aor: 'Alice@example.org', ha1: alice, devices: ['phone-1', 'phone-2'] },
        { aor: 'bob@example.org', ha1: { md5: 'a'.repeat(32) }, devices: ['bob@example.org'] },
        // No device can have such a name.
        {
          aor: '+49301234@example.org',
          ha1: { 'sha-256': 'b'.repeat(64), md5: 'c'.repeat(32) },
          devices: [],
        },
      ],
      challenge: ['md5'],
      trunks: [
        {
          name: 'pbx',
          uri: 'sip:192.0.2.10:5060;transport=tcp',
          from: ['192.0.2.10'],
          register: { address: 'wakeline@pbx.example', password: 'a b' },
          numbers: ['+*', '*@pbx.example'],
        },
      ],
      parkMs: 90_000,
      registrationSecondsMin: 600,
      registrationSecondsMax: 7_200,
      flowTimerSeconds: 840,
      pushEndpoints: ['https://push.example:8443'],
    });
    assert.deepEqual(
      listeners.map(({ protocol, advertised, trunksOnly }) => [protocol, advertised, trunksOnly]),
      [
        ['http', undefined, undefined],
        ['sip+tcp', { host: 'sip.example.org', port: 5070 }, undefined],
        ['sip+udp', undefined, undefined],
        ['sip+udp', { host: '203.0.113.7', port: 0 }, true],
      ],
    );
  });

  test('lists of the environment are JSON, like those of users', () => {
    const { sip } = load({
      environment: {
        WAKELINE_SIP_DOMAINS: 'example.org,example.net',
        WAKELINE_SIP_USERS: JSON.stringify([{ address: 'a@example.net', password: line }]),
        WAKELINE_SIP_TRUNKS: '[{"name":"t","uri":"sips:pbx.example"}]',
        WAKELINE_SIP_PARK: '30s',
      },
    });
    assert.deepEqual(sip.domains, ['example.org', 'example.net']);
    assert.equal(sip.users[0]!.aor, 'a@example.net');
    assert.deepEqual(sip.trunks, [
      { name: 't', uri: 'sips:pbx.example', from: [], register: undefined, numbers: [] },
    ]);
    assert.equal(sip.parkMs, 30_000);
  });

  test('there is none without domains', () => {
    const { sip } = load({});
    assert.deepEqual([sip.domains, sip.users, sip.trunks], [[], [], []]);
    assert.deepEqual(
      [sip.parkMs, sip.registrationSecondsMin, sip.registrationSecondsMax],
      [45_000, 3_600, 86_400],
    );
  });
});

describe('what is wrong is told', () => {
  const users = (...entries: readonly string[]): string =>
    `sip: { domains: [example.org], users: [${entries.join(', ')}] }`;
  const trunks = (...entries: readonly string[]): string =>
    `sip: { domains: [example.org], trunks: [${entries.join(', ')}] }`;
  const cases: readonly (readonly [string, Given, RegExp])[] = [
    [
      'a listener without domains',
      { flags: { listen: ['sip+tcp://127.0.0.1:5060'] } },
      /--listen: listen: sip\+tcp:\/\/127\.0\.0\.1:5060 needs sip\.domains/,
    ],
    [
      'lines',
      { yaml: 'lines: 2\nsip: { domains: [example.org] }' },
      /wakeline\.yaml:1: lines: calls are served by one process/,
    ],
    [
      'users without a domain',
      { yaml: `sip: { users: [{ address: a@b.c, password: '${line}' }] }` },
      /sip\.users: needs sip\.domains/,
    ],
    [
      'a user of another domain',
      { yaml: users(`{ address: a@b.c, password: '${line}' }`) },
      /a@b\.c is of no domain in sip\.domains \(example\.org\)/,
    ],
    [
      'a user twice',
      { yaml: users(...Array.from({ length: 2 }, () => `{ address: a@example.org, password: '${line}' }`)) },
      /a@example\.org stands there twice/,
    ],
    [
      'an address that is none',
      { yaml: users(`{ address: alice, password: x }`) },
      /"alice" is no address of a user; write it like alice@example\.org/,
    ],
    [
      'an unknown key',
      { yaml: users(`{ address: a@example.org, pasword: x }`) },
      /a user of sip has no "pasword"; did you mean "password"\?/,
    ],
    ['a key of sip', { yaml: 'sip: { domain: [x] }' }, /sip\.domain: no such key; did you mean "domains"\?/],
    ['a trunk without a name', { yaml: trunks('{ uri: "sip:a" }') }, /every trunk needs a name/],
    [
      'a trunk with a wrong URI',
      { yaml: trunks('{ name: t, uri: "http://a" }') },
      /trunk t: "http:\/\/a" is no URI; write it like sip:/,
    ],
    [
      'an address of a trunk',
      { yaml: trunks('{ name: t, uri: "sip:a", from: [pbx.example] }') },
      /trunk t: from "pbx\.example" is no address/,
    ],
    [
      'an address of two trunks',
      {
        yaml: trunks(
          '{ name: t, uri: "sip:a", from: [192.0.2.1] }',
          '{ name: u, uri: "sip:b", from: [192.0.2.1] }',
        ),
      },
      /192\.0\.2\.1 is the address of two trunks/,
    ],
    [
      'a park that is too long',
      { yaml: 'sip: { domains: [a.b], park: 5m }' },
      /sip\.park: must be from 1s to 3m/,
    ],
    [
      'times that contradict',
      { yaml: 'sip: { domains: [a.b], registrationMin: 2h, registrationMax: 1h }' },
      /registrationMin: must not be longer/,
    ],
    [
      'trunksOnly without a trunk',
      { yaml: "listen: [{ url: 'sip+tcp://127.0.0.1:0', trunksOnly: true }]\nsip: { domains: [a.b] }" },
      /trunksOnly needs a trunk with addresses/,
    ],
    [
      'trunksOnly of another protocol',
      { yaml: "listen: [{ url: 'mqtt://127.0.0.1:0', trunksOnly: true }]" },
      /trunksOnly is for sip\+tcp/,
    ],
    [
      'advertise of another protocol',
      { yaml: "listen: [{ url: 'mqtt://127.0.0.1:0', advertise: a.b }]" },
      /speaks no SIP; advertise is for/,
    ],
    [
      'an address that nobody can have',
      { yaml: "listen: [{ url: 'sip+tcp://127.0.0.1:0', advertise: 'a b' }]" },
      /"a b" is no address to advertise/,
    ],
    [
      'a push endpoint without TLS',
      { yaml: 'sip: { domains: [a.b], pushEndpoints: ["http://x"] }' },
      /"http:\/\/x" is no beginning of push endpoints/,
    ],
  ];
  for (const [name, given, expected] of cases) {
    test(name, () => assert.match(mistakes(given), expected));
  }

  test('a password in the wrong place is not repeated', () => {
    const text = mistakes({ yaml: users('{ address: a@example.org, password: hunter2 }') });
    assert.match(text, /must be a line made by: wakeline password sip a@example\.org/);
    assert.doesNotMatch(text, /hunter2/);
  });
});

describe('a listener that others can reach', () => {
  const sip = 'sip: { domains: [a.b], trunks: [{ name: t, uri: "sip:192.0.2.1", from: [192.0.2.1] }] }';

  test('needs TLS, or is for trunks only, or somebody accepts the risk', () => {
    for (const protocol of ['sip+tcp', 'sip+udp']) {
      const url = `${protocol}://0.0.0.0:5060`;
      assert.match(
        mistakes({ yaml: `listen: ['${url}']\n${sip}` }),
        /can be reached from other machines but has no TLS; use sips:\/\/ .*trunksOnly.*--insecure/,
      );
      assert.equal(load({ yaml: `listen: ['${url}']\ninsecure: true\n${sip}` }).listeners.length, 1);
      assert.equal(
        load({ yaml: `listen: [{ url: '${url}', trunksOnly: true }]\n${sip}` }).listeners.length,
        1,
      );
    }
  });

  test('has no proxy in front when it is UDP', () => {
    const proxied = (protocol: string): Given => ({
      yaml: `listen: ['${protocol}://0.0.0.0:5060']\nbehindProxy: [10.0.0.1]\n${sip}`,
    });
    assert.equal(load(proxied('sip+tcp')).listeners.length, 1);
    assert.match(mistakes(proxied('sip+udp')), /has no TLS; use sips:/);
    assert.doesNotMatch(mistakes(proxied('sip+udp')), /behind-proxy ADDR/);
  });

  test('may have the port of another when one of them is UDP', () => {
    const yaml = (second: string): string => `listen: ['sip+tcp://127.0.0.1:5060', '${second}']\n${sip}`;
    assert.equal(load({ yaml: yaml('sip+udp://127.0.0.1:5060') }).listeners.length, 2);
    assert.match(mistakes({ yaml: yaml('mqtt://127.0.0.1:5060') }), /stands there twice/);
  });
});

describe('[SI-60] what everybody is asked for', () => {
  const sha = `sha-256:${'a'.repeat(64)}`;
  const md5 = `md5:${'b'.repeat(32)}`;
  const yaml = (passwords: readonly string[], more = ''): string =>
    `sip:\n  domains: [example.org]\n${more}  users:\n${passwords
      .map((password, index) => `    - { address: 'u${index}@example.org', password: '${password}' }\n`)
      .join('')}`;
  const challengeOf = (...parts: Parameters<typeof yaml>): readonly string[] =>
    load({ yaml: yaml(...parts) }).sip.challenge;

  test('is what all of them can answer, the best first', () => {
    assert.deepEqual(load({ yaml: 'sip: { domains: [example.org] }' }).sip.challenge, ['sha-256']);
    assert.deepEqual(challengeOf([sha, sha]), ['sha-256']);
    assert.deepEqual(challengeOf([md5, `${md5},${sha}`]), ['md5']);
    assert.deepEqual(challengeOf([`${md5},${sha}`]), ['sha-256', 'md5']);
    assert.match(mistakes({ yaml: yaml([sha, md5]) }), /sip\.users.*no algorithm in common/);
  });

  test('may be said, and then everybody must be able to answer it', () => {
    assert.deepEqual(challengeOf([`${md5},${sha}`], '  challenge: [md5]\n'), ['md5']);
    assert.deepEqual(challengeOf([`${md5},${sha}`], '  challenge: [md5, sha-256]\n'), ['sha-256', 'md5']);
    assert.match(
      mistakes({ yaml: yaml([sha, `${md5},${sha}`], '  challenge: [sha-256, md5]\n') }),
      /u0@example\.org has no md5/,
    );
    assert.match(mistakes({ yaml: yaml([sha], '  challenge: [sha-1]\n') }), /"sha-1" is no algorithm/);
    assert.match(mistakes({ yaml: 'sip: { domains: [example.org], challenge: [] }' }), /sip\.challenge/);
  });
});

describe('passwords of SIP users', () => {
  test('are HA1 of RFC 7616', () => {
    // printf 'Mufasa:http-auth.example.org:Circle of Life' | sha256sum
    const ha1 = hashSipPassword('Mufasa@http-auth.example.org', 'Circle of Life', ['sha-256', 'md5']);
    assert.deepEqual(ha1, {
      'sha-256': '24e863a11f480cbfe66cd9d46688068565950d62abf3809212715927b8eec102',
      md5: 'c461bb829191a439a1a0a3b758ef88d2',
    });
  });

  test('are read as they are written', () => {
    assert.deepEqual(readSipPassword(line), alice);
    assert.deepEqual(
      readSipPassword(line.toUpperCase().replace('SHA-256', 'sha-256').replace('MD5', 'md5')),
      alice,
    );
    for (const wrong of [
      '',
      'secret',
      'md5:',
      `md5:${'a'.repeat(31)}`,
      `${line},${line}`,
      `sha-256:${'g'.repeat(64)}`,
    ]) {
      assert.equal(readSipPassword(wrong), undefined, wrong);
    }
  });

  test('belong to an address', () => {
    assert.equal(readSipAddress('alice@Example.ORG'), 'alice@example.org');
    for (const wrong of [
      'alice',
      '@example.org',
      'a b@example.org',
      'sip:alice@example.org',
      'alice@',
      `a@${'b'.repeat(255)}`,
      7,
    ]) {
      assert.equal(readSipAddress(wrong), undefined, String(wrong));
    }
  });
});
