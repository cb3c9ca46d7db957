import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { exitCodes } from '../src/main.js';
import { FakeServer, wakeline } from './cli-runner.js';

const server = new FakeServer();
const folder = mkdtempSync(join(tmpdir(), 'wakeline-cli-'));
before(() => server.start());
after(() => {
  server.stop();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  server.requests.length = 0;
});
const ask = (argv: readonly string[], environment = {}, input = '') => {
  return wakeline([...argv, '--server', server.url], environment, input);
};

describe('help', () => {
  const commands = [
    [],
    ['up'],
    ['send'],
    ['message'],
    ['devices'],
    ['devices', 'list'],
    ['devices', 'show'],
    ['devices', 'add'],
    ['devices', 'remove'],
    ['devices', 'endpoints'],
    ['token'],
    ['token', 'create'],
    ['token', 'list'],
    ['token', 'revoke'],
    ['backup'],
    ['restore'],
    ['calls'],
    ['calls', 'list'],
    ['calls', 'show'],
    ['users'],
    ['users', 'list'],
    ['users', 'add'],
    ['users', 'remove'],
    ['users', 'bindings'],
    ['password', 'hash'],
    ['password', 'sip'],
    ['demo'],
  ];
  for (const command of commands) {
    test(`wakeline ${command.join(' ')} --help has examples and no colours`, async () => {
      const { code, out, err } = await wakeline([...command, '--help']);
      assert.deepEqual([code, err], [0, '']);
      assert.match(out, /^Usage: wakeline/);
      assert.match(out, /Examples:\n {2}\$ wakeline/);
      assert.ok(!out.includes('\u001b'));
    });
  }

  test('of sleepbox is its own', async () => {
    const { code, out } = await wakeline(['sleepbox', '--help']);
    assert.equal(code, 0);
    assert.match(out, /sleepbox/);
    assert.doesNotMatch(out, /WAKELINE_SERVER/);
  });

  test('is shown when nothing was asked', async () => {
    const { code, out, err } = await wakeline([]);
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^Usage: wakeline/);
  });

  test('is also a command', async () => {
    for (const names of [[], ['send'], ['devices', 'add'], ['sleepbox']]) {
      const { code, out } = await wakeline(['help', ...names]);
      assert.equal(code, 0);
      assert.equal(out, (await wakeline([...names, '--help'])).out);
    }
  });

  test('the version is the package’s', async () => {
    const { code, out } = await wakeline(['--version']);
    assert.equal(code, 0);
    assert.match(out, /^\d+\.\d+\.\d+/);
  });
});

describe('wrong arguments end with 2 and say what to do', () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['sned'], /unknown command 'sned'[\s\S]*send/],
    [['send', '--devise', 'd', 'x'], /unknown option '--devise'[\s\S]*--device/],
    [['send', 'x'], /--device ID or --topic T/],
    [['send', '--device', 'd', '--topic', 't', 'x'], /give one, not both/],
    [['send', '--device', 'd'], /no message: give TEXT, --file FILE or - for standard input/],
    [['send', '--device', 'a/b', 'x'], /"a\/b" is no device id/],
    [['send', '--device', 'd', '--ttl', 'banana', 'x'], /--ttl: "banana" is no duration[\s\S]*10s/],
    [['send', '--device', 'd', '--retain', 'x'], /--retain is for topics/],
    [['send', '--topic', 't', '--channel', 'c', 'x'], /--channel is for devices/],
    [['send', '--device', 'd', '--file', '/nonexistent/x'], /--file: cannot read \/nonexistent\/x/],
    [['send', '--device', 'd', 'x', 'y'], /too many arguments: 'y'[\s\S]*Try: wakeline send --help/],
    [['devices', 'add', 'a+b'], /"a\+b" is no device id/],
    [['devices', 'foo'], /unknown command 'foo' of wakeline devices\n {2}Try: wakeline devices --help/],
    [['up', '--nonsense'], /unknown option '--nonsense'\n {2}Try: wakeline up --help/],
    [['--server', 'http://x', 'devices'], /after the command: wakeline devices --server/],
    [['help', 'foo'], /unknown command 'foo'\n {2}Try: wakeline --help/],
    [['token', 'create', '--name', 'n', '--scope', 'foo'], /send, read, admin/],
    [['token', 'revoke', 'admin'], /ends the token in admin.token[\s\S]*--yes[\s\S]*restart/],
    [['send', '--device', 'd', '--urgency', 'asap', 'x'], /very-low, low, normal, high/],
    [['send', '--device', 'd', '--timeout', '30', 'x'], /no duration[\s\S]*30s/],
    [['send', '--device', 'd', '--property', 'x', 'x'], /name=value/],
    [['send', '--device', 'd', '--file', 'f', 'x'], /not both/],
    [
      ['send', '--device', 'd', '--wait', 'delivered', 'x'],
      /"delivered" is not told by any[\s\S]*acknowledged/,
    ],
    [['send', '--device', 'd', '--wait', 'shown', 'x'], /"shown" is not told by any device yet/],
    [['send', '--device', 'd', '--wait', 'expired', 'x'], /"expired" is how a message ends/],
    [['send', '--device', 'd', '--wait', 'stored', 'x'], /"stored" needs no waiting/],
    [['send', '--device', 'd', '--wait', 'soon', 'x'], /"soon" is no stage/],
    [['restore', 'somewhere'], /--data <dir>/],
    [['restore', '--data', 'd'], /missing required argument 'source'/],
    [['devices', '--server', 'nowhere'], /no server address[\s\S]*http:\/\//],
    [['devices', 'show'], /missing required argument 'id'/],
    [['token', 'create', '--name', 'n'], /--scope/],
    [['up', '--listen', 'http://0.0.0.0:0'], /--listen: listen: [\s\S]*--insecure/],
    [
      ['up', '--listen', 'mqt://127.0.0.1:0', '--log-level', 'loud'],
      /did you mean mqtt[\s\S]*--log-level: logLevel: must be one of/,
    ],
    [['up', '--config', '/nonexistent/x.yaml'], /cannot read the configuration file/],
    [['password', 'hash'], /the password is empty/],
  ];
  for (const [argv, message] of cases) {
    test(`wakeline ${argv.join(' ')}`, async () => {
      const { code, out, err } = await wakeline(argv);
      assert.equal(code, 2, err);
      assert.equal(out, '');
      assert.match(err, message);
    });
  }
});

test('wrong arguments are JSON where JSON is asked for', async () => {
  for (const argv of [
    ['send', '--json'],
    ['devices', '--json', 'foo'],
    ['up', '--json', '--x'],
    ['token', '--json'],
  ]) {
    const { code, out, err } = await wakeline(argv);
    assert.deepEqual([code, out], [2, '']);
    assert.equal(JSON.parse(err).error.code, 'usage', err);
  }
});

describe('send', () => {
  const sent = { status: 201, json: { id: 'm1', recipients: 1 } };

  test('a text with everything', async () => {
    server.answer = () => sent;
    const argv = [
      'send',
      '--device',
      'a b',
      'hi',
      '--ttl',
      '10s',
      '--urgency',
      'high',
      '--replace',
      'k',
      '--channel',
      'c',
    ];
    const { code, out } = await ask([
      ...argv,
      '--qos',
      '2',
      '--property',
      'a=1=2',
      '--property',
      'a=3',
      '--idempotency-key',
      'i "x"',
    ]);
    assert.deepEqual([code, out], [0, 'm1 accepted, 1 recipient\n']);
    const { method, url, json, headers } = server.requests[0]!;
    assert.equal(`${method} ${url}`, 'POST /v1/devices/a%20b/messages');
    const { body, ttl, urgency, replace, channel, qos, properties } = json;
    assert.deepEqual([body, ttl, urgency, replace, channel, qos], ['hi', '10s', 'high', 'k', 'c', 2]);
    assert.deepEqual(properties, { a: ['1=2', '3'] });
    assert.equal(headers['idempotency-key'], '"i \\"x\\""');
  });

  test('bytes from a file, standard input, and as JSON', async () => {
    server.answer = () => sent;
    const file = join(folder, 'body');
    writeFileSync(file, Uint8Array.of(0, 255));
    await ask(['send', '--topic', 't', '--retain', '--file', file]);
    assert.deepEqual([server.requests[0]!.json.bodyBase64, server.requests[0]!.json.retain], ['AP8=', true]);
    for (const dash of [['-'], ['--file', '-']]) {
      server.requests.length = 0;
      const { out } = await ask(['send', '--topic', 't', '--json', ...dash], {}, 'in');
      assert.equal(server.requests[0]!.json.bodyBase64, 'aW4=');
      assert.deepEqual(JSON.parse(out), sent.json);
    }
  });

  test('to a topic that nobody is subscribed to says so, and does not wait', async () => {
    server.answer = () => ({ status: 201, json: { id: 'm1', recipients: 0 } });
    const { code, out } = await ask(['send', '--topic', 't', 'x']);
    assert.deepEqual([code, out], [0, 'm1 accepted; nobody is subscribed to it\n']);
    const waiting = await ask(['send', '--topic', 't', 'x', '--wait', 'acknowledged']);
    assert.deepEqual([waiting.code, waiting.out], [exitCodes.unfinished.code, out]);
    assert.match(waiting.err, /nobody to wait for/);
  });

  test('waits until it is acknowledged', async () => {
    let asked = 0;
    server.answer = ({ method }) => {
      if (method === 'POST') return sent;
      asked += 1;
      const stage = asked < 3 ? 'stored' : 'acknowledged';
      return {
        status: 200,
        json: { ...message, recipients: [{ device: 'd', sequence: 1, stage, reason: null }] },
      };
    };
    const { code, out } = await ask(['send', '--device', 'd', 'x', '--wait', 'acknowledged']);
    assert.equal(code, 0);
    assert.equal(asked, 3);
    assert.match(out, /^DEVICE +NUMBER +STAGE +REASON\nd +1 +acknowledged$/m);
  });

  test('waits until it was handed to the connection, under both spellings', async () => {
    for (const [stage, wait] of [
      ['wake sent', 'wake-sent'],
      ['acknowledged', 'wake sent'],
    ] as const) {
      const recipients = [{ device: 'd', sequence: 1, stage, reason: null }];
      server.answer = ({ method }) =>
        method === 'POST' ? sent : { status: 200, json: { ...message, recipients } };
      assert.equal((await ask(['send', '--device', 'd', 'x', '--wait', wait])).code, 0);
    }
  });

  test('ends with 6 when the message ended or time is up', async () => {
    for (const [stage, wanted] of [
      ['expired', /will not be acknowledged/],
      ['stored', /not acknowledged by every device in time/],
    ] as const) {
      const recipients = [{ device: 'd', sequence: 1, stage, reason: 'why' }];
      server.answer = ({ method }) =>
        method === 'POST' ? sent : { status: 200, json: { ...message, recipients } };
      const { code, err } = await ask([
        'send',
        '--device',
        'd',
        'x',
        '--wait',
        'acknowledged',
        '--timeout',
        '10ms',
      ]);
      assert.equal(code, exitCodes.unfinished.code);
      assert.match(err, wanted);
    }
  });

  const message = { id: 'm1', topic: 't', acceptedAt: 'A', expiresAt: null, recipientCount: 1 };
  test('message shows the stages', async () => {
    const recipients = [{ device: 'd\u001b[2J', sequence: 4, stage: 'dropped', reason: 'session ended' }];
    server.answer = () => ({ status: 200, json: { ...message, recipientCount: 3, recipients } });
    const { out } = await ask(['message', 'm/1']);
    assert.equal(server.requests[0]!.url, '/v1/messages/m%2F1');
    assert.match(out, /^m1 accepted A, expires never\n[\s\S]*session ended\nand 2 more\n$/);
    assert.ok(!out.includes('\u001b'));
  });
});

describe('devices and tokens', () => {
  const device = {
    id: 'd',
    connected: true,
    hasCredential: false,
    waitingMessages: 1,
    waitingBytes: 2,
    inflightMessages: 0,
  };

  test('all pages are listed', async () => {
    server.answer = ({ url }) => {
      const isLast = url.includes('after=d');
      return {
        status: 200,
        json: { devices: [isLast ? { ...device, id: 'e' } : device], next: isLast ? null : 'd' },
      };
    };
    const { out } = await ask(['devices']);
    assert.match(out, /^d +connected +1 +2 +0 +-$/m);
    assert.match(out, /^e +connected/m);
    const lines = (await ask(['devices', '--json'])).out.trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).id),
      ['d', 'e'],
    );
  });

  test('secrets are printed alone', async () => {
    server.answer = () => ({ status: 200, json: { id: 'd', token: 'wl_d_x' } });
    const added = await ask(['devices', 'add', 'd', '--publish', 'a', '--publish', 'b']);
    assert.deepEqual([added.code, added.out], [0, 'wl_d_x\n']);
    assert.match(added.err, /not shown again/);
    assert.match(added.err, /mosquitto_sub -h 127.0.0.1 -i d -u d -P TOKEN -c -q 1 -k 3600/);
    assert.doesNotMatch(added.err, /older token/);
    assert.deepEqual(server.requests[1]!.json, { access: { publish: ['a', 'b'] } });
    const made = await ask(['token', 'create', '--name', 'ci', '--scope', 'send', 'read']);
    assert.equal(made.out, 'wl_d_x\n');
    assert.deepEqual(server.requests[2]!.json, { name: 'ci', scopes: ['send', 'read'] });
  });

  test('adding tells what became of the device that was there', async () => {
    for (const [before, wanted] of [
      [{ ...device, hasCredential: true }, /An older token of the device has ended/],
      [device, /connected without a token: .*now needs/],
    ] as const) {
      server.answer = ({ method }) => ({
        status: 200,
        json: method === 'GET' ? before : { id: 'd', token: 'wl_d_x' },
      });
      assert.match((await ask(['devices', 'add', 'd'])).err, wanted);
    }
    server.answer = ({ method }) =>
      method === 'GET'
        ? { status: 404, json: { error: { code: 'unknown-device', message: 'no such device' } } }
        : { status: 200, json: { id: 'd', token: 'wl_d_x' } };
    const { code, err } = await ask(['devices', 'add', 'd']);
    assert.equal(code, 0, err);
    assert.doesNotMatch(err, /older token|connected without/);
  });

  test('the admin token is revoked with --yes only, and the way back is told', async () => {
    server.answer = () => ({ status: 204 });
    assert.equal((await ask(['token', 'revoke', 'admin'])).code, exitCodes.usage.code);
    assert.equal(server.requests.length, 0);
    const { code, out, err } = await ask(['token', 'revoke', 'admin', '--yes']);
    assert.deepEqual([code, out], [0, 'admin revoked\n']);
    assert.match(err, /delete admin\.token/);
  });

  test('endpoints of a device are listed and ended', async () => {
    const endpoint = { id: 'e1', channel: 'news', vapidKey: null, createdAt: 'C' };
    server.answer = () => ({ status: 200, json: { endpoints: [endpoint] } });
    const { out } = await ask(['devices', 'endpoints', 'd 1']);
    assert.match(out, /^ENDPOINT +CHANNEL +CREATED +KEY\ne1 +news +C +-\n$/);
    assert.deepEqual(JSON.parse((await ask(['devices', 'endpoints', 'd', '--json'])).out), endpoint);
    server.answer = () => ({ status: 200, json: { endpoints: [] } });
    assert.equal((await ask(['devices', 'endpoints', 'd'])).out, 'no endpoints\n');
    server.answer = () => ({ status: 204 });
    assert.equal((await ask(['devices', 'endpoints', 'd', '--end', 'e1'])).out, 'e1 ended\n');
    assert.deepEqual(
      server.requests.map(({ method, url }) => `${method} ${url}`),
      [
        'GET /v1/devices/d%201/endpoints',
        'GET /v1/devices/d/endpoints',
        'GET /v1/devices/d/endpoints',
        'DELETE /v1/devices/d/endpoints/e1',
      ],
    );
  });

  test('the rest', async () => {
    server.answer = () => ({ status: 204 });
    assert.equal((await ask(['devices', 'remove', 'd'])).out, 'd removed\n');
    assert.equal((await ask(['token', 'revoke', 't'])).out, 't revoked\n');
    assert.deepEqual(
      server.requests.map(({ method, url }) => `${method} ${url}`),
      ['DELETE /v1/devices/d', 'DELETE /v1/tokens/t'],
    );
    server.answer = () => ({ status: 200, json: { ...device, peer: null } });
    assert.match((await ask(['devices', 'show', 'd'])).out, /^connected: +true$[\s\S]*^peer: +-$/m);
    server.answer = () => ({
      status: 200,
      json: { tokens: [{ id: 't', name: 'n', scopes: ['send'], createdAt: 'C' }] },
    });
    assert.match((await ask(['token', 'list'])).out, /^t +n +send +C$/m);
  });
});

describe('backup and restore', () => {
  const made = { directory: '/data/backups/b', bytes: 3 * 1024 * 1024, createdAt: 'C' };

  test('the directory is printed alone', async () => {
    server.answer = () => ({ status: 201, json: made });
    const { code, out, err } = await ask(['backup']);
    assert.deepEqual([code, out], [0, '/data/backups/b\n']);
    assert.match(err, /^3\.0 MiB, on the server's machine/);
    const { method, url, json } = server.requests[0]!;
    assert.deepEqual([method, url, json], ['POST', '/v1/backups', undefined]);
    const machine = await ask(['backup', '--json']);
    assert.deepEqual([JSON.parse(machine.out), machine.err], [made, '']);
  });

  test('a refusal is told with its code', async () => {
    server.answer = () => ({ status: 409, json: { error: { code: 'backup-running', message: 'busy' } } });
    const { code, out, err } = await ask(['backup', '--json']);
    assert.deepEqual([code, out, JSON.parse(err).error.code], [1, '', 'backup-running']);
  });

  test('what is no backup, or of another format, and a directory in use are refused untouched', async () => {
    const none = join(folder, 'none');
    const newer = join(folder, 'newer');
    const used = join(folder, 'used');
    for (const directory of [none, newer, used]) mkdirSync(directory);
    writeFileSync(join(newer, 'FORMAT'), 'wakeline store 99\n');
    writeFileSync(join(used, 'x'), '');
    const target = join(folder, 'target');
    for (const [source, data, message] of [
      [join(folder, 'nowhere'), target, /is not a complete backup[\s\S]*wakeline backup/],
      [none, target, /is not a complete backup \(no FORMAT file\)/],
      [newer, target, /has format 99; this version reads 3/],
      [join(used, 'x'), target, /x is not a directory/],
      [none, used, /used is not empty[\s\S]*new or empty/],
      [none, join(used, 'x'), /x is not a directory/],
    ] as const) {
      const { code, out, err } = await wakeline(['restore', source, '--data', data]);
      assert.deepEqual([code, out], [1, ''], err);
      assert.match(err, message);
    }
    assert.ok(!existsSync(target));
    assert.deepEqual(readdirSync(used), ['x']);
    const { err } = await wakeline(['restore', none, '--data', target, '--json']);
    assert.equal(JSON.parse(err).error.code, 'STORE_FORMAT');
  });
});

describe('the server', () => {
  test('gets the token of the flag, the environment, or the data directory of this machine', async () => {
    server.answer = () => ({ status: 200, json: { tokens: [] } });
    writeFileSync(join(folder, 'admin.token'), 'wl_a_file\n');
    await ask(['token', 'list', '--token', 'wl_a_flag'], { WAKELINE_TOKEN: 'wl_a_env' });
    await ask(['token', 'list', '--data', folder], { WAKELINE_TOKEN: 'wl_a_env' });
    await ask(['token', 'list', '--data', folder]);
    await ask(['token', 'list']);
    const seen = server.requests.map(({ headers }) => headers.authorization);
    assert.deepEqual(seen, ['Bearer wl_a_flag', 'Bearer wl_a_env', 'Bearer wl_a_file', undefined]);
  });

  test('that is not there ends with 5', async () => {
    const gone = new FakeServer();
    await gone.start();
    const { url } = gone;
    gone.stop();
    const { code, err } = await wakeline(['devices', '--server', url]);
    assert.equal(code, exitCodes.unreachable.code);
    assert.match(err, /cannot reach http:\/\/127.0.0.1:\d+: ECONNREFUSED\n.*wakeline up.*HTTP port/);
    const machine = await wakeline(['devices', '--json', '--server', url]);
    assert.equal(JSON.parse(machine.err).error.code, 'unreachable');
  });

  test('that is asked by a name which its certificate has not is told so', async (t) => {
    const cause = Object.assign(new Error('altnames'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    t.mock.method(globalThis, 'fetch', () => Promise.reject(new TypeError('fetch failed', { cause })));
    const { code, err } = await wakeline(['devices', '--server', 'https://127.0.0.1:8443']);
    assert.equal(code, exitCodes.unreachable.code);
    assert.match(err, /ALTNAME_INVALID\n.*for another name.*--server https:/);
  });

  test('that is elsewhere wants its token named: that of a data directory is not sent there', async (t) => {
    writeFileSync(join(folder, 'admin.token'), 'wl_a_file\n');
    const seen: (string | undefined)[] = [];
    t.mock.method(globalThis, 'fetch', (_url: URL, init: { headers: Record<string, string> }) => {
      seen.push(init.headers['authorization']);
      const error = { code: 'unauthorized', message: 'a bearer token is needed' };
      return Promise.resolve(new Response(JSON.stringify({ error }), { status: 401 }));
    });
    const { code, err } = await wakeline([
      'devices',
      '--server',
      'https://push.example.org',
      '--data',
      folder,
    ]);
    assert.equal(code, exitCodes.refused.code);
    assert.deepEqual(seen, [undefined]);
    assert.match(err, /--token or WAKELINE_TOKEN; .*this machine only/);
    assert(!err.includes('--data'), 'it would not help');
  });

  test('that refuses ends with 4, with its code as JSON', async () => {
    const error = { code: 'unauthorized', message: 'a bearer token is needed' };
    server.answer = () => ({ status: 401, json: { error } });
    const { code, err } = await ask(['devices', '--json']);
    assert.equal(code, exitCodes.refused.code);
    const { error: told } = JSON.parse(err);
    assert.equal(told.code, 'unauthorized');
    assert.match(told.hint, /--token/);
    writeFileSync(join(folder, 'admin.token'), 'wl_a_file\n');
    const { err: known } = await ask(['devices', '--data', folder]);
    assert.ok(known.includes(join(folder, 'admin.token')), known);
    assert.match(known, /restart the server/);
  });

  test('that is something else is told', async () => {
    server.answer = () => ({
      status: 404,
      json: { error: { code: 'unknown-device', message: 'no such device', hint: 'wakeline devices add ID' } },
    });
    const { code, err } = await ask(['devices', 'show', 'd 1']);
    assert.deepEqual([code, err], [1, 'wakeline: no such device: d 1\n  wakeline devices add d 1\n']);
  });
});

test('a password becomes a line that the configuration takes', async () => {
  const { code, out } = await wakeline(['password', 'hash'], {}, 'geheim\n');
  assert.equal(code, 0);
  assert.match(out, /^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}\n$/);
});

test('docs/cli.md has the table of exit codes', () => {
  const document = readFileSync(new URL('../../../../docs/cli.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/^\| (\d+) +\| (.*?) +\|$/gm)].map(([, code, meaning]) => [
    Number(code),
    meaning,
  ]);
  assert.deepEqual(
    rows,
    Object.values(exitCodes).map(({ code, meaning }) => [code, meaning]),
  );
});
