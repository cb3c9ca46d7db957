import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { limits } from '@wakeline/core/base';
import {
  ConfigError,
  configurableLimits,
  environmentName,
  hashPassword,
  isPasswordHash,
  loadConfig,
  parseDurationMs,
  parseListenerUrl,
  parseSizeBytes,
  settings,
  verifyPassword,
} from '../../src/config/index.js';
import type { ConfigSources, ServerConfig } from '../../src/config/index.js';
import { configSchema } from '../../src/config/schema.js';

const folder = mkdtempSync(join(tmpdir(), 'wakeline-config-'));
after(() => rmSync(folder, { recursive: true }));

interface Given {
  readonly yaml?: string;
  readonly environment?: Record<string, string>;
  readonly flags?: Record<string, unknown>;
}

/** Some password's, made once: hashing is slow on purpose. */
const hash = `scrypt$16384$8$1$${'A'.repeat(22)}$${'A'.repeat(43)}`;

const yamlFile = join(folder, 'wakeline.yaml');

function load({ yaml, environment = {}, flags = {} }: Given = {}): ServerConfig {
  if (yaml !== undefined) writeFileSync(yamlFile, yaml);
  const sources: ConfigSources = {
    file: yaml === undefined ? undefined : 'wakeline.yaml',
    environment,
    flags,
    workingDirectory: folder,
    homeDirectory: '/nobody',
  };
  return loadConfig(sources);
}

/** The mistakes, one line each. */
function mistakes(given: Given): string {
  try {
    load(given);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    assert.equal(error.code, 'CONFIG_INVALID');
    return error.message.replaceAll(folder, '');
  }
  return assert.fail('no mistake was found');
}

describe('defaults', () => {
  test('are loopback and open', () => {
    const config = load();
    assert.deepEqual(
      config.listeners.map(({ protocol, host, port, isLoopback }) => [protocol, host, port, isLoopback]),
      [
        ['http', '127.0.0.1', 8600, true],
        ['mqtt', '127.0.0.1', 1883, true],
      ],
    );
    assert.deepEqual([config.openApi, config.anonymousDevices, config.insecure], [true, true, false]);
    assert.equal(config.dataDirectory, '/nobody/.local/share/wakeline');
    assert.equal(config.mqtt.packetBytesMax, limits.mqttPacketBytesMax);
    assert.deepEqual(config.limits, {});
  });

  test('follow XDG_DATA_HOME when it is absolute', () => {
    assert.equal(load({ environment: { XDG_DATA_HOME: '/d' } }).dataDirectory, '/d/wakeline');
    assert.equal(
      load({ environment: { XDG_DATA_HOME: 'd' } }).dataDirectory,
      '/nobody/.local/share/wakeline',
    );
  });

  test('are closed as soon as others can reach the server', () => {
    const config = load({ flags: { insecure: true, listen: ['http://0.0.0.0:0'] } });
    assert.deepEqual([config.openApi, config.anonymousDevices], [false, false]);
    const behind = load({ flags: { behindProxy: ['127.0.0.1'] } });
    assert.deepEqual([behind.openApi, behind.anonymousDevices], [false, false]);
  });
});

describe('sources', () => {
  test('everything can stand in the file', async () => {
    writeFileSync(join(folder, 'cert.pem'), '');
    writeFileSync(join(folder, 'key.pem'), '');
    const password = await hashPassword('x');
    const config = load({
      yaml: `
data: ./data
listen: ['https://[::1]:1', { url: 'mqtts://127.0.0.1:2', cert: cert.pem, key: key.pem }, 'mqtt://localhost:0']
tls: { cert: cert.pem, key: key.pem }
behindProxy: [10.0.0.0/8]
anonymousDevices: false
users:
  - name: alice
    password: ${password}
    access: { publish: ['a/#'] }
logLevel: debug
mqtt: { packetBytesMax: 64KiB, sessionExpiryMax: 30d, connectTimeout: 500ms, serverKeepAlive: 4m,
        keepAliveMax: 10m, keepAliveRequired: true, silenceMax: off, tcpKeepAlive: off }
connectionsPerAddressMax: 5
limits: { inboxMessagesMax: 7, inboxBytesMax: 1MiB, receiptMsMax: 24h }
`,
    });
    assert.equal(config.dataDirectory, join(folder, 'data'));
    const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    assert.deepEqual(
      config.listeners.map((one) => one.tls),
      [tls, tls, undefined],
    );
    assert.deepEqual(config.users[0]!.access, { publish: ['a/#'], subscribe: [] });
    assert.deepEqual(config.mqtt, {
      packetBytesMax: 65_536,
      sessionExpirySecondsMax: 30 * 86_400,
      connectTimeoutMs: 500,
      serverKeepAliveSeconds: 240,
      keepAliveSecondsMax: 600,
      keepAliveRequired: true,
      silenceMsMax: undefined,
      tcpKeepAliveMs: undefined,
    });
    assert.deepEqual(config.limits, {
      inboxMessagesMax: 7,
      inboxBytesMax: 1_048_576,
      receiptMsMax: 86_400_000,
    });
  });

  test('[WP-15] [WP-16] broadcasts come from a file beside the configuration, and pings may be turned off', () => {
    const budgets = { newAgentsPerAddressMax: 1_000, newAgentsMax: 60_000 };
    assert.deepEqual(load({}).webpush, { broadcastsFile: undefined, pingAfterMs: 2_100_000, ...budgets });
    writeFileSync(join(folder, 'broadcasts.yaml'), '');
    assert.deepEqual(load({ yaml: 'webpush: { broadcasts: broadcasts.yaml, pingAfter: off }\n' }).webpush, {
      broadcastsFile: join(folder, 'broadcasts.yaml'),
      pingAfterMs: undefined,
      ...budgets,
    });
    const few = load({ environment: { WAKELINE_WEBPUSH_NEW_AGENTS_PER_ADDRESS_MAX: '5' } });
    assert.equal(few.webpush.newAgentsPerAddressMax, 5);
    for (const [yaml, what] of [
      ['webpush: { broadcasts: nowhere.yaml }', /webpush.broadcasts: cannot read .*nowhere.yaml \(ENOENT\)/],
      ['webpush: { pingAfter: 1ms }', /must be from 1s to 1d/],
      ['webpush: { ping: 1s }', /did you mean "pingAfter"|known here: broadcasts, pingAfter/],
    ] as const) {
      assert.throws(() => load({ yaml: `${yaml}\n` }), what);
    }
  });

  test('TCP keepalives are on unless turned off, and what would have no effect is refused', () => {
    assert.equal(load({}).mqtt.tcpKeepAliveMs, 240_000);
    assert.equal(
      load({ environment: { WAKELINE_MQTT_TCP_KEEP_ALIVE: 'off' } }).mqtt.tcpKeepAliveMs,
      undefined,
    );
    assert.equal(load({ yaml: 'mqtt: { tcpKeepAlive: 2m }\n' }).mqtt.tcpKeepAliveMs, 120_000);
    assert.equal(load({ yaml: 'mqtt: { silenceMax: 30m }\n' }).mqtt.silenceMsMax, 1_800_000);
    for (const [yaml, what] of [
      ['mqtt: { tcpKeepAlive: 5s }', /must be from 30s to 2h, not "5s"/],
      ['mqtt: { silenceMax: 30m, tcpKeepAlive: off }', /mqtt.silenceMax: needs TCP keepalives/],
      ['mqtt: { silenceMax: 30m }\nbehindProxy: [10.0.0.1]', /mqtt.silenceMax: needs TCP keepalives/],
      ['mqtt: { keepAliveRequired: true }', /needs mqtt.keepAliveMax/],
    ] as const) {
      assert.throws(() => load({ yaml: `${yaml}\n` }), what);
    }
  });

  test('flags win over the environment, which wins over the file', () => {
    const yaml = 'logLevel: error\nmqtt: { packetBytesMax: 2KiB, connectTimeout: 1s }\n';
    const environment = { WAKELINE_LOG_LEVEL: 'warn', WAKELINE_MQTT_PACKET_BYTES_MAX: '4KiB' };
    const config = load({ yaml, environment, flags: { logLevel: 'debug' } });
    assert.equal(config.logLevel, 'debug');
    assert.deepEqual([config.mqtt.packetBytesMax, config.mqtt.connectTimeoutMs], [4_096, 1_000]);
    assert.equal(load({ yaml, environment }).logLevel, 'warn');
    assert.equal(load({ yaml }).logLevel, 'error');
  });

  test('lists and truths stand in the environment as text', () => {
    const environment = {
      WAKELINE_LISTEN: 'mqtt://127.0.0.1:1, http://127.0.0.1:2',
      WAKELINE_OPEN_API: 'false',
      WAKELINE_LIMITS_INBOX_MESSAGES_MAX: '9',
      WAKELINE_USERS: '[]',
      WAKELINE_LOG_LEVEL: '',
    };
    const config = load({ environment });
    assert.deepEqual(
      config.listeners.map(({ port }) => port),
      [1, 2],
    );
    assert.equal(config.openApi, false);
    assert.equal(config.limits.inboxMessagesMax, 9);
  });

  test('variables of others are left alone', () => {
    const others = [
      'WAKELINE_TOKEN',
      'WAKELINE_SERVER',
      'WAKELINE_SERVICE_HOST',
      'WAKELINE_PORT_8600_TCP_ADDR',
      'WAKELINE_PORT',
    ];
    load({ environment: Object.fromEntries(others.map((name) => [name, 'x'])) });
  });

  test('an empty file is no configuration', () => {
    assert.equal(load({ yaml: '# nothing\n' }).logLevel, 'info');
  });
});

describe('mistakes', () => {
  const cases: readonly (readonly [title: string, given: Given, message: RegExp])[] = [
    [
      'an unknown key',
      { yaml: 'logLevel: info\nlisten_: []\n' },
      /^\/wakeline\.yaml:2: listen_: no such key; did you mean "listen"\?$/,
    ],
    [
      'an unknown key below',
      { yaml: 'mqtt:\n  packetSizeMax: 1\n' },
      /^\/wakeline\.yaml:2: mqtt\.packetSizeMax: no such key; did you mean "packetBytesMax"\?$/,
    ],
    ['an unknown limit', { yaml: 'limits:\n  inboxMesagesMax: 1\n' }, /did you mean "inboxMessagesMax"/],
    [
      'an unknown variable',
      { environment: { WAKELINE_LISTENS: 'x' } },
      /^WAKELINE_LISTENS: no such setting; did you mean WAKELINE_LISTEN\?$/,
    ],
    [
      "SIP's scheme as a protocol",
      { yaml: 'listen: [sip://127.0.0.1:5060]\n' },
      /the protocol "sip" is not known; did you mean sip\+tcp, sip\+udp, or sips for TLS\?$/,
    ],
    ['no YAML', { yaml: 'a: [\n' }, /^\/wakeline\.yaml:\d: /],
    ['a key given twice', { yaml: 'logLevel: info\nlogLevel: warn\n' }, /^\/wakeline\.yaml:2: .*unique/],
    ['a list for a file', { yaml: '- a\n' }, /must be a mapping/],
    ['a word for a group', { yaml: 'mqtt: x\n' }, /^\/wakeline\.yaml:1: mqtt: must be a mapping/],
    ['an empty key', { yaml: 'data:\n' }, /data: has no value/],
    [
      'a bare number for a duration',
      { environment: { WAKELINE_MQTT_CONNECT_TIMEOUT: '10' } },
      /^WAKELINE_MQTT_CONNECT_TIMEOUT: mqtt\.connectTimeout: "10" is no duration; write it with a unit/,
    ],
    ['no size', { yaml: 'limits: { inboxBytesMax: much }\n' }, /is no size; write it like 64MiB/],
    ['too large a number', { yaml: 'handshakesMax: 0\n' }, /must be from 1 to/],
    [
      'an unknown level',
      { flags: { logLevel: 'inof' } },
      /^--log-level: logLevel: must be one of .*did you mean info\?$/,
    ],
    [
      'an unknown protocol',
      { flags: { listen: ['mqt://127.0.0.1:1'] } },
      /^--listen: listen: .*did you mean mqtt\?$/,
    ],
    ['a listener without port', { flags: { listen: ['http://127.0.0.1'] } }, /the port is missing/],
    [
      'one address twice',
      { flags: { listen: ['http://127.0.0.1:5', 'mqtt://127.0.0.1:5'] } },
      /127\.0\.0\.1:5 stands there twice/,
    ],
    ['no listener', { yaml: 'listen: []\n' }, /names no listener/],
    [
      'TLS without certificate',
      { flags: { listen: ['mqtts://127.0.0.1:5'] } },
      /needs a certificate; give tls\.cert and tls\.key/,
    ],
    [
      'a certificate that is not there',
      { flags: { listen: ['https://127.0.0.1:5'], 'tls.cert': 'no.pem', 'tls.key': 'no.pem' } },
      /^--tls-cert: tls\.cert: cannot read \/no\.pem \(ENOENT\)/,
    ],
    [
      'a proxy that is no address',
      { flags: { behindProxy: ['lb.example'] } },
      /^--behind-proxy: behindProxy: "lb\.example" is no address/,
    ],
    [
      'a user without hash',
      { yaml: 'users: [{ name: a, password: geheim }]\n' },
      /must be a line made by: wakeline password hash$/,
    ],
    [
      'a user named like a device of another',
      {
        yaml: `users:\n  - { name: bob, password: '${hash}' }\n  - { name: bob-smith, password: '${hash}' }\n`,
      },
      /the user "bob-smith" is named like a device of the user "bob"; rename one$/,
    ],
    [
      'a public listener',
      { flags: { listen: ['mqtt://0.0.0.0:5'] } },
      /no TLS; use mqtts:\/\/ .*--behind-proxy ADDR.*--insecure$/,
    ],
    [
      'a public open API',
      { flags: { behindProxy: ['10.0.0.1'] }, environment: { WAKELINE_OPEN_API: 'true' } },
      /^WAKELINE_OPEN_API: openApi: true lets anyone .*--insecure$/,
    ],
    [
      'public anonymous devices',
      {
        flags: { behindProxy: ['10.0.0.1'], listen: ['mqtt://0.0.0.0:1'] },
        yaml: 'anonymousDevices: true\n',
      },
      /anonymousDevices: true lets any MQTT client/,
    ],
  ];
  for (const [title, given, message] of cases) test(title, () => assert.match(mistakes(given), message));

  test('all are told at once, without repeating a password', () => {
    const text = mistakes({
      yaml: 'logLevel: x\nhandshakesMax: y\nusers: [{ name: a, password: geheim }]\n',
    });
    assert.equal(text.split('\n').length, 3);
    assert.doesNotMatch(text, /geheim/);
  });

  test('a file that cannot be read has a code of its own', () => {
    const sources = {
      environment: { WAKELINE_CONFIG: 'no.yaml' },
      workingDirectory: folder,
      homeDirectory: '/',
    };
    assert.throws(() => loadConfig(sources), { code: 'CONFIG_UNREADABLE' });
  });

  test('a small file cannot unfold into a large one', () => {
    const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(`*${of}`).join(', ')}]\n`;
    const yaml = `a: &a [x, x]\n${level('b', 'a')}${level('c', 'b')}${level('d', 'c')}${level('e', 'd')}`;
    assert.match(mistakes({ yaml }), /alias/i);
  });
});

describe('what may be public', () => {
  test('with --insecure, or plain behind a named proxy', () => {
    load({
      flags: { insecure: true, listen: ['mqtt://0.0.0.0:5'] },
      environment: { WAKELINE_OPEN_API: 'true' },
    });
    load({ flags: { behindProxy: ['10.0.0.1'], listen: ['mqtt://0.0.0.0:5'] } });
  });

  test('addresses are told apart', () => {
    for (const [url, isLoopback] of [
      ['http://127.255.0.1:1', true],
      ['http://[::1]:1', true],
      ['http://[0:0:0:0:0:0:0:1]:1', true],
      ['http://[::ffff:127.0.0.1]:1', true],
      ['http://localhost:1', true],
      ['http://0.0.0.0:1', false],
      ['http://[::]:1', false],
      ['http://[::2]:1', false],
      ['http://[1::1]:1', false],
      ['http://localhost.example:1', false],
      ['http://128.0.0.1:1', false],
    ] as const) {
      const address = parseListenerUrl(url);
      assert.ok(typeof address !== 'string', `${url}: ${String(address)}`);
      assert.equal(address.isLoopback, isLoopback, url);
    }
    for (const url of [
      'http://',
      'http://300.0.0.1:1',
      'http://[x]:1',
      'http://a:70000',
      'http://a:1/x',
      'http://u@a:1',
      'a:1',
      '',
    ]) {
      assert.equal(typeof parseListenerUrl(url), 'string', url);
    }
  });
});

test('units', () => {
  assert.deepEqual(
    ['500ms', '10s', '1.5m', '24h', '2d'].map(parseDurationMs),
    [500, 10_000, 90_000, 86_400_000, 172_800_000],
  );
  assert.deepEqual(
    ['64MiB', '1kB', '10', '1.5 KiB', '0B'].map(parseSizeBytes),
    [67_108_864, 1_000, 10, 1_536, 0],
  );
  for (const text of ['', '10', 's', '-1s', '1e3s', '1 s', '1w'])
    assert.equal(parseDurationMs(text), undefined, text);
  for (const text of ['', '-1', '1mib', '1TiB', '1e3', 'MiB'])
    assert.equal(parseSizeBytes(text), undefined, text);
});

test('passwords', async () => {
  const line = await hashPassword('gehëim');
  assert.ok(isPasswordHash(line));
  assert.notEqual(await hashPassword('gehëim'), line);
  assert.equal(await verifyPassword('gehëim', line), true);
  assert.equal(await verifyPassword('geheim', line), false);
  const [, , , , salt, hash] = line.split('$');
  for (const wrong of [
    '',
    'geheim',
    `scrypt$3$8$1$${salt}$${hash}`,
    `scrypt$1048576$32$1$${salt}$${hash}`,
    `${line}$`,
  ]) {
    assert.equal(isPasswordHash(wrong), false, wrong);
    assert.equal(await verifyPassword('gehëim', wrong), false);
  }
});

describe('one table of settings', () => {
  test('has exactly the keys of the schema', () => {
    const { mqtt, sip, webpush } = configSchema.shape;
    const groups = {
      tls: ['cert', 'key'],
      mqtt: Object.keys(mqtt.unwrap().shape),
      webpush: Object.keys(webpush.unwrap().shape),
      sip: Object.keys(sip.unwrap().shape),
      limits: configurableLimits,
    };
    const keys = Object.keys(configSchema.shape).flatMap((key) => {
      return key in groups ? groups[key as keyof typeof groups].map((inner) => `${key}.${inner}`) : [key];
    });
    assert.deepEqual(settings.map(({ path }) => path).sort(), keys.sort());
  });

  test('is the table of docs/configuration.md', () => {
    const document = readFileSync(new URL('../../../../../docs/configuration.md', import.meta.url), 'utf8');
    const rows = [
      ...document.matchAll(/^\| `([\w.]+)` +\| `(WAKELINE_\w+)` +\| (.*?) +\| (.*?) +\| (.*?) +\|$/gm),
    ];
    const expected = settings.map(({ path, flag, defaultText, meaning }) => {
      return [path, environmentName(path), flag === undefined ? '–' : `\`${flag}\``, defaultText, meaning];
    });
    assert.deepEqual(
      rows.map((row) => row.slice(1, 6)),
      expected,
    );
  });
});
