/** docs/guides: what the pages tell to do is done here, with the programs of which they speak. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attendedPreferences, Firefox, FIREFOX } from './firefox.js';
import type { Preference } from './firefox.js';
import { codeOf } from './guide.js';
import { PATIENCE_MS, runProgram, startWakeline, SYSTEM_PYTHON, wakeline, whyMissing } from './program.js';
import type { Program, ProgramEnd } from './program.js';
import { PushSite } from './push-site.js';
import { PushSocket } from './push-socket.js';
import { freePort, temporaryDirectory, until } from './support.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const SENT = 'Your taxi is here';

/** The preferences that a user.js sets. */
function preferencesOf(userJs: string): Readonly<Record<string, Preference>> {
  const lines = userJs.matchAll(/^user_pref\('([^']+)', (.+)\);$/gm);
  const read = (text: string): Preference => JSON.parse(text.replace(/^'(.*)'$/, '"$1"')) as Preference;
  return Object.fromEntries([...lines].map(([, name, value]) => [name, read(value)]));
}

/** A folder with what a sender needs: its keys, the subscription, and the packages. */
async function makeSender(folder: string): Promise<{ readonly publicKey: string }> {
  mkdirSync(folder);
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const keys = await runProgram('sh', ['-c', codeOf('sending.md', 'keys')], { cwd: folder });
  assert.equal(keys.code, 0, keys.stderr);
  return JSON.parse(readFileSync(join(folder, 'vapid.json'), 'utf8')) as { publicKey: string };
}

/** A site with the page and the service worker of the guide. */
function startSite(publicKey: string): Promise<PushSite> {
  const script = `const VAPID_PUBLIC_KEY = '${publicKey}';\n${codeOf('sending.md', 'page')}`;
  return PushSite.start({
    '/': `<!doctype html><title>guide</title><script type="module">${script}</script>`,
    '/worker.js': codeOf('sending.md', 'worker'),
  });
}

async function subscriptionOf(site: PushSite): Promise<{ readonly endpoint: string }> {
  await until(
    () => site.posted.length > 0,
    PATIENCE_MS,
    () => 'the page has posted its subscription',
  );
  return site.posted[0] as { endpoint: string };
}

/** Resolves when the notification of the guide is shown. */
function isShown(firefox: Firefox): Promise<void> {
  const shown = `async () => {
    const registration = await navigator.serviceWorker.ready;
    return JSON.stringify((await registration.getNotifications()).map(({ title }) => title));
  }`;
  return until(
    async () => ((await firefox.call(`(${shown})`)) as string[]).includes(SENT),
    PATIENCE_MS,
    () => `'${SENT}' is shown`,
  );
}

function assertSent(end: ProgramEnd, endpoint: string): void {
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stdout, /^201 \S+\n$/);
  const [, location] = end.stdout.trim().split(' ');
  assert.equal(new URL(location, endpoint).origin, new URL(endpoint).origin);
}

describe(
  'Firefox by its preferences, and a sender without TLS',
  { skip: whyMissing(FIREFOX) ?? false },
  () => {
    const directory = temporaryDirectory('wakeline-guide');
    const folder = join(directory.path, 'sender');
    let server: Program;
    let url: URL;
    let site: PushSite;
    let firefox: Firefox | undefined;
    let endpoint = '';

    before(async () => {
      const { publicKey } = await makeSender(folder);
      site = await startSite(publicKey);
      const started = await startWakeline([
        `--data=${join(directory.path, 'data')}`,
        '--listen=http://127.0.0.1:0',
      ]);
      server = started.server;
      url = started.urls[0];
    });

    after(async () => {
      await firefox?.kill();
      site.close();
      await server.end('SIGTERM');
      directory.remove();
    });

    test('docs/guides/firefox.md: a profile with user.js subscribes here, and the server shows the browser', async () => {
      const userJs = codeOf('firefox.md', 'user.js', { '127.0.0.1:8600': url.host });
      firefox = await Firefox.start({
        profileDirectory: join(directory.path, 'profile'),
        preferences: { ...attendedPreferences, ...preferencesOf(userJs) },
      });
      await firefox.open(site.url);
      const subscription = await subscriptionOf(site);
      endpoint = subscription.endpoint;
      assert.equal(new URL(endpoint).host, url.host);
      writeFileSync(join(folder, 'subscription.json'), JSON.stringify(subscription));
      const devices = wakeline(['devices'], { env: { WAKELINE_SERVER: url.origin } });
      assert.match((await devices.ended).stdout, /^agent-/m);
    });

    test('docs/guides/sending.md: Node without TLS', async () => {
      writeFileSync(join(folder, 'send.mjs'), codeOf('sending.md', 'node http'));
      assertSent(await runProgram(process.execPath, ['send.mjs'], { cwd: folder }), endpoint);
      await isShown(firefox!);
    });

    test('docs/guides/sending.md: Python', async (t) => {
      writeFileSync(join(folder, 'send.py'), codeOf('sending.md', 'python'));
      const compiled = await runProgram(SYSTEM_PYTHON, ['-m', 'py_compile', 'send.py'], { cwd: folder });
      assert.equal(compiled.code, 0, compiled.stderr);
      const python = [SYSTEM_PYTHON, 'python3'].find(
        (each) => spawnSync(each, ['-c', 'import pywebpush']).status === 0,
      );
      if (python === undefined) {
        // Not a skip, which would fail where all peers have to be there: the package is not in Debian.
        const why = 'NOT RUN, only compiled: the Python of the guide needs pywebpush, which is not installed';
        t.diagnostic(why);
        console.log(why);
        return;
      }
      assertSent(await runProgram(python, ['send.py'], { cwd: folder }), endpoint);
    });
  },
);

const needs = whyMissing(FIREFOX, 'openssl');

describe('Firefox by a policy, and a sender with TLS', { skip: needs ?? false }, () => {
  const directory = temporaryDirectory('wakeline-guide-tls');
  const folder = join(directory.path, 'sender');
  const authority = join(directory.path, 'authority.pem');
  let server: Program;
  let url: URL;
  let site: PushSite;
  let firefox: Firefox | undefined;

  before(async () => {
    const commands = codeOf('firefox.md', 'certificate', { 'push.example.org': 'localhost' });
    const made = await runProgram('sh', ['-e', '-c', commands], { cwd: directory.path });
    assert.equal(made.code, 0, made.stderr);
    const { publicKey } = await makeSender(folder);
    site = await startSite(publicKey);
    const port = await freePort();
    const command = codeOf('firefox.md', 'up', {
      '0.0.0.0:8443': `127.0.0.1:${port}`,
      'push.example.org:8443': `localhost:${port}`,
    });
    const [npx, name, up, ...flags] = command.split(' ');
    assert.deepEqual([npx, name, up], ['npx', 'wakeline', 'up']);
    const more = [...flags, `--data=${join(directory.path, 'data')}`];
    const started = await startWakeline(more, { cwd: directory.path });
    server = started.server;
    url = started.urls[0];
  });

  after(async () => {
    await firefox?.kill();
    site.close();
    await server.end('SIGTERM');
    directory.remove();
  });

  test('docs/guides/firefox.md, docs/guides/sending.md: all browsers by policies.json, Node with TLS', async () => {
    const program = withPolicies(
      join(directory.path, 'firefox'),
      codeOf('firefox.md', 'policies.json', {
        '/etc/firefox/policies/authority.pem': authority,
        'push.example.org:8443': `localhost:${url.port}`,
      }),
    );
    firefox = await Firefox.start({
      profileDirectory: join(directory.path, 'profile'),
      preferences: attendedPreferences,
      program,
    });
    await firefox.open(site.url);
    const subscription = await subscriptionOf(site);
    assert.equal(new URL(subscription.endpoint).origin, `https://localhost:${url.port}`);

    writeFileSync(join(folder, 'subscription.json'), JSON.stringify(subscription));
    writeFileSync(join(folder, 'send.mjs'), codeOf('sending.md', 'node'));
    const env = { NODE_EXTRA_CA_CERTS: authority };
    assertSent(await runProgram(process.execPath, ['send.mjs'], { cwd: folder, env }), subscription.endpoint);
    await isShown(firefox);
  });

  test('docs/guides/firefox.md: one profile by the preference alone', async () => {
    const userJs = codeOf('firefox.md', 'user.js wss', { 'push.example.org:8443': `localhost:${url.port}` });
    const policy = JSON.stringify({ policies: { Certificates: { Install: [authority] } } });
    await firefox?.kill();
    const before = site.posted.length;
    firefox = await Firefox.start({
      profileDirectory: join(directory.path, 'other-profile'),
      preferences: { ...attendedPreferences, ...preferencesOf(userJs) },
      program: withPolicies(join(directory.path, 'other-firefox'), policy),
    });
    await firefox.open(site.url);
    await until(
      () => site.posted.length > before,
      PATIENCE_MS,
      () => 'the page has posted its subscription',
    );
    const { endpoint } = site.posted.at(-1) as { endpoint: string };
    assert.equal(new URL(endpoint).origin, `https://localhost:${url.port}`);
  });
});

/** Firefox as it is installed, in another folder, with policies of its own; resolves with its program. */
function withPolicies(folder: string, policies: string): string {
  const found = spawnSync('sh', ['-c', `command -v ${FIREFOX}`], { encoding: 'utf8' }).stdout.trim();
  const program = realpathSync(found);
  mkdirSync(join(folder, 'distribution'), { recursive: true });
  for (const name of readdirSync(dirname(program))) {
    const from = join(dirname(program), name);
    // It looks for its files beside its program, so that cannot be a link.
    if (from === program) copyFileSync(from, join(folder, name));
    else if (name !== 'distribution') symlinkSync(from, join(folder, name));
  }
  writeFileSync(join(folder, 'distribution', 'policies.json'), policies);
  return join(folder, FIREFOX);
}

describe('docs/guides/unifiedpush.md: what distributors say', () => {
  const directory = temporaryDirectory('wakeline-guide-unified');
  let server: Program;
  let url: URL;

  before(async () => {
    const started = await startWakeline([
      `--data=${join(directory.path, 'data')}`,
      '--listen=http://127.0.0.1:0',
    ]);
    server = started.server;
    url = started.urls[0];
  });

  after(async () => {
    await server.end('SIGTERM');
    directory.remove();
  });

  /** What somebody has encrypted, of which neither server nor distributor understands a thing. */
  async function pushBody(endpoint: string, body: string): Promise<void> {
    const headers = { TTL: '60', 'Content-Encoding': 'aes128gcm' };
    const { status } = await fetch(endpoint, { method: 'POST', headers, body });
    assert.equal(status, 201);
  }

  /** The page's `curl`. */
  async function push(endpoint: string): Promise<void> {
    const command = codeOf('unifiedpush.md', 'curl');
    const end = await runProgram('sh', ['-c', command], { env: { ENDPOINT: endpoint } });
    assert.match(end.stdout, /^HTTP\/1\.1 201 /, end.stderr);
  }

  test('KUnifiedPush: no subprotocol, a bare hello, an acknowledgement without a code', async () => {
    const channelID = '0fa31bf4-6f59-4a3c-8ac6-5d94f9a0f1a1';
    const first = await PushSocket.open(url, null);
    const hello = await first.ask({ messageType: 'hello' });
    assert.equal(hello['status'], 200);
    const registered = await first.ask({ messageType: 'register', channelID });
    assert.equal(registered['status'], 200);
    await pushBody(String(registered['pushEndpoint']), 'hello');
    const notification = await first.next('notification');
    assert.equal(notification['channelID'], channelID);
    assert.equal(Buffer.from(String(notification['data']), 'base64url').toString(), 'hello');
    await first.close();

    // It had not acknowledged it: it comes again, under the same version, and then no more.
    const second = await PushSocket.open(url, null);
    assert.equal((await second.ask({ messageType: 'hello', uaid: hello['uaid'] }))['uaid'], hello['uaid']);
    const again = await second.next('notification');
    assert.equal(again['version'], notification['version']);
    second.say({ messageType: 'ack', updates: [{ channelID, version: again['version'] }] });
    await push(String(registered['pushEndpoint']));
    const other = await second.next('notification');
    assert.notEqual(other['version'], again['version']);
    assert(!('data' in other), 'there was no body');
    second.say({ messageType: 'ack', updates: [{ channelID, version: other['version'] }] });
    assert.equal((await second.ask({ messageType: 'unregister', channelID }))['status'], 200);
    await second.close();
  });

  test('Sunup: a hello with nothing for its uaid, registrations in a row, pings by name', async () => {
    const channels = ['5a4e9b0c-1f0e-4d4c-9a55-0c8f2f1b7a01', '5a4e9b0c-1f0e-4d4c-9a55-0c8f2f1b7a02'];
    const socket = await PushSocket.open(url, null);
    const hello = { messageType: 'hello', uaid: null, use_webpush: true, broadcasts: {} };
    assert.equal((await socket.ask(hello))['use_webpush'], true);
    for (const channelID of channels) socket.say({ messageType: 'register', channelID, key: null });
    const endpoints = [];
    for (const channelID of channels) {
      const answer = await socket.next('register');
      assert.equal(answer['channelID'], channelID);
      endpoints.push(String(answer['pushEndpoint']));
    }
    for (const [index, endpoint] of endpoints.entries()) {
      await pushBody(endpoint, `to ${index}`);
      const { channelID, version, data } = await socket.next('notification');
      assert.equal(channelID, channels[index]);
      assert.equal(Buffer.from(String(data), 'base64url').toString(), `to ${index}`);
      socket.say({ messageType: 'ack', updates: [{ channelID, version, code: 100 }] });
    }
    socket.say({ messageType: 'ping' });
    await socket.nextText('{}');
    await socket.close();
  });
});
