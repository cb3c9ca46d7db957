/**
 * The guides for apps: what stands there is run. A page in Chromium; Electron and React Native in Node, with stand-ins for the modules that a
 * phone or a desktop would bring; the programs for MQTT and SIP as they are.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Chromium, CHROMIUM } from './chromium.js';
import { calledDeviceId, DeviceStage } from './device-suite/stage.js';
import type { Sealed } from './device-suite/world.js';
import { codeOf } from './guide.js';
import { PATIENCE_MS, Program, runProgram, startWakeline, whyMissing } from './program.js';
import { SmallPhone } from './small-phone.js';
import { freePort, temporaryDirectory, until, wakelineBin } from './support.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** By the name that an app imports; files of conformance/stand-ins. */
const standIns: Readonly<Record<string, string>> = {
  electron: 'electron',
  'react-native': 'react-native',
  '@react-native-async-storage/async-storage': 'async-storage',
  '@react-native-community/netinfo': 'netinfo',
  'react-native-quick-crypto': 'quick-crypto',
  'react-native-tcp-socket': 'tcp-socket',
  'react-native-callkeep': 'callkeep',
  'react-native-notify-kit': 'notify-kit',
};

/** A folder of an app that has installed the SDK, MQTT.js, and what stands in for the rest. */
function makeFolder(path: string): string {
  const modules = join(path, 'node_modules');
  mkdirSync(modules, { recursive: true });
  for (const name of ['@wakeline', 'mqtt', 'esbuild', '@esbuild', '.bin']) {
    symlinkSync(join(repository, 'node_modules', name), join(modules, name));
  }
  for (const [name, file] of Object.entries(standIns)) {
    const folder = join(modules, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, type: 'module', main: 'index.js' }));
    copyFileSync(join(repository, 'conformance/stand-ins', `${file}.js`), join(folder, 'index.js'));
  }
  writeFileSync(join(path, 'package.json'), '{"type":"module"}');
  return path;
}

async function onStage(work: (stage: DeviceStage, folder: string) => Promise<void>): Promise<void> {
  const stage = await DeviceStage.open(['carol', 'phone-call', 'phone-note']);
  try {
    await work(stage, makeFolder(join(stage.path, 'app')));
  } finally {
    await stage.close();
  }
}

/** Sends as the guide's command does. */
async function runShell(script: string, folder: string, serverUrl = ''): Promise<void> {
  const npx = `npx() { if [ "$1" = wakeline ]; then shift; "${process.execPath}" "${wakelineBin}" "$@"; else command npx "$@"; fi; }`;
  const env: Readonly<Record<string, string>> = serverUrl === '' ? {} : { WAKELINE_SERVER: serverUrl };
  const { code, stderr } = await runProgram('bash', ['-c', `${npx}\n${script}`], { cwd: folder, env });
  assert.equal(code, 0, stderr);
}

test('a page: bundled, opened, and reached', { skip: whyMissing(CHROMIUM) ?? false }, async () => {
  await onStage(async (stage, folder) => {
    const urls = { 'ws://127.0.0.1:8600/mqtt': stage.webSocketUrl };
    writeFileSync(join(folder, 'app.js'), codeOf('browser.md', 'page', urls));
    mkdirSync(join(folder, 'public'));
    writeFileSync(join(folder, 'public', 'index.html'), codeOf('browser.md', 'html'));
    await runShell(codeOf('browser.md', 'bundle'), folder);
    const site = createServer((request, response) => {
      const name = request.url === '/' ? 'index.html' : 'app.js';
      const type = name === 'app.js' ? 'text/javascript' : 'text/html';
      response.writeHead(200, { 'Content-Type': type }).end(readFileSync(join(folder, 'public', name)));
    }).listen(0, '127.0.0.1');
    await once(site, 'listening');
    const chromium = await Chromium.start(join(stage.path, 'profile'));
    try {
      const tab = await chromium.open(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
      const shows = (selector: string, wanted: string): Promise<void> => {
        const expression = `document.querySelector('${selector}')?.textContent ?? ''`;
        return until(
          async () => (await tab.evaluate(expression)) === wanted,
          PATIENCE_MS,
          () => `${selector} shows ${wanted}`,
        );
      };
      await shows('output', 'online');
      await runShell(codeOf('browser.md', 'send'), folder, stage.server.url);
      await shows('li', 'default: Your taxi is here');
    } finally {
      await chromium.kill();
      site.closeAllConnections();
      site.close();
    }
  });
});

test("Electron's main process: windows and notifications get messages, also after the machine has slept", async () => {
  await onStage(async (stage, folder) => {
    const urls = { 'mqtt://127.0.0.1:1883': stage.tcpUrl };
    writeFileSync(join(folder, 'main.mjs'), codeOf('electron.md', 'main', urls));
    const facts = { url: stage.tcpUrl, deviceId: 'desktop-1', token: '' };
    stage.app = { facts, setNetwork: () => Promise.resolve() };
    const app = new Program(process.execPath, ['main.mjs'], { cwd: folder });
    try {
      await app.line(/^preload app.preload\.js$/);
      await comesOnline(stage, true);
      await stage.control.send('news', 'one');
      await app.line(/^window \["message","news","one"\]$/);
      await app.line(/^notification \{"title":"news","body":"one"\}$/);
      app.write('suspend\n');
      await comesOnline(stage, false);
      await stage.control.send('news', 'while it slept');
      app.write('resume\n');
      await app.line(/^window .*"while it slept"\]$/);
      app.write('will-quit\n');
      assert.equal((await app.ended).code, 0, app.stderr);
    } finally {
      await app.end('SIGKILL');
    }
  });
});

describe('React Native', () => {
  for (const { block, user, press, callEnd, lines } of [
    { block: 'callkeep', user: 'phone-call', press: 'endCall', callEnd: '603 Decline', lines: [] },
    {
      block: 'notifications',
      user: 'phone-note',
      press: 'Answer',
      callEnd: undefined,
      lines: [/^registers$/],
    },
  ] as const) {
    test(`the line, with calls by ${block}`, async () => {
      await onStage(async (stage, folder) => {
        const deviceId = calledDeviceId(user);
        const replaced = { 'mqtt://127.0.0.1:1883': stage.tcpUrl, "'phone-1'": `'${deviceId}'` };
        writeFileSync(join(folder, 'line.js'), codeOf('react-native.md', 'line', replaced));
        const calls =
          block === 'callkeep'
            ? codeOf('react-native.md', 'callkeep')
            : codeOf('react-native.md', 'notifications');
        writeFileSync(join(folder, 'calls.js'), calls);
        writeFileSync(
          join(folder, 'phone.js'),
          `export const registerPhone = () => console.log('registers');\n`,
        );
        writeFileSync(
          join(folder, 'index.js'),
          `import './calls.js';
           import { line } from './line.js';
           console.log('subscription', JSON.stringify(await line.push.subscribe('alerts')));`,
        );
        stage.app = {
          facts: { url: stage.tcpUrl, deviceId, token: '' },
          setNetwork: () => Promise.resolve(),
        };
        const app = new Program(process.execPath, ['index.js'], { cwd: folder });
        try {
          const subscription = await app.line(/^subscription /);
          const sealed = JSON.parse(subscription.slice('subscription '.length)) as Sealed;
          assert.equal(await stage.control.push(sealed, 'sealed', 'aes128gcm'), 201);
          await app.line(/^messages \[\{"channel":"alerts","encryption":"opened","text":"sealed"\}\]$/);
          await stage.control.call();
          await app.line(/^shown .*alice/);
          app.write(`${press}\n`);
          if (callEnd !== undefined) assert.equal(await stage.control.callEnd(), callEnd);
          for (const line of lines) await app.line(line);
        } finally {
          await app.end('SIGKILL');
        }
      });
    });
  }
});

test('an MQTT app as it is, one that removes repeats, and one with the SDK: the same device, one after the other', async () => {
  await onStage(async (stage, folder) => {
    const urls = { 'mqtt://127.0.0.1:1883': stage.tcpUrl };
    writeFileSync(join(folder, 'before.mjs'), codeOf('mqtt-app.md', 'before', urls));
    writeFileSync(join(folder, 'numbers.mjs'), codeOf('mqtt-app.md', 'numbers', urls));
    writeFileSync(join(folder, 'after.mjs'), codeOf('mqtt-app.md', 'after', urls));
    const facts = { url: stage.tcpUrl, deviceId: 'phone-1', token: '' };
    stage.app = { facts, setNetwork: () => Promise.resolve() };
    const publish = async (body: string): Promise<void> => {
      const response = await fetch(`${stage.server.url}/v1/topics/orders/7/messages`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ body }),
      });
      assert.equal(response.status, 201, await response.text());
    };
    const handledFile = join(folder, 'handled.json');
    for (const [index, script] of ['before.mjs', 'numbers.mjs', 'after.mjs'].entries()) {
      if (index > 0) await stage.control.send('news', `waits for ${script}`);
      const app = new Program(process.execPath, [script], { cwd: folder });
      try {
        await comesOnline(stage, true);
        if (index > 0) await app.line(new RegExp(`^\\$line/inbox/news waits for ${script}$`));
        else
          await until(
            () => subscribed(stage),
            PATIENCE_MS,
            () => 'it has subscribed',
          );
        await publish(`for ${script}`);
        await app.line(new RegExp(`^orders/7 for ${script}$`));
        // It is told before it is written down.
        if (script === 'numbers.mjs') await app.file(handledFile, (text) => numbersOf(text).length >= 2);
      } finally {
        await app.end('SIGKILL');
      }
      await comesOnline(stage, false);
    }
    const handled = JSON.parse(readFileSync(handledFile, 'utf8')) as Handled;
    assert(handled.epoch !== '' && handled.numbers.length >= 2, JSON.stringify(handled));
  });
});

/** What `numbers.mjs` writes. */
interface Handled {
  readonly epoch: string;
  readonly numbers: readonly string[];
}

/** None while the file is being written. */
function numbersOf(text: string): readonly string[] {
  return text.endsWith('}') ? (JSON.parse(text) as Handled).numbers : [];
}

test('a SIP app: woken for a call, its user declines and the caller hears 603, or takes it and the phone answers', async () => {
  const directory = temporaryDirectory('wakeline-sip-app');
  const folder = makeFolder(join(directory.path, 'app'));
  const [http, mqtt, sip] = [await freePort(), await freePort(), await freePort()];
  const passwordOf = (user: string): string =>
    `password: md5:${createHash('md5').update(`${user}:home.test:secret`).digest('hex')} #`;
  const yaml = codeOf('sip-app.md', 'server', {
    ':8600': `:${http}`,
    ':1883': `:${mqtt}`,
    ':5060': `:${sip}`,
    'password: sha-256:… # npx wakeline password sip ann': passwordOf('ann'),
    'password: sha-256:… # npx wakeline password sip carol': passwordOf('carol'),
  });
  writeFileSync(join(folder, 'wakeline.yaml'), yaml);
  const code = codeOf('sip-app.md', 'app', { ':1883': `:${mqtt}`, ':5060': `:${sip}` });
  writeFileSync(join(folder, 'app.mjs'), code);
  const phone = join(repository, 'packages/cli/examples/sip-phone');
  for (const name of ['phone.mjs', 'call.mjs', 'message.mjs', 'voice.mjs']) {
    copyFileSync(join(phone, name), join(folder, name));
  }
  const args = ['--config', 'wakeline.yaml', '--data', join(directory.path, 'data')];
  const { server } = await startWakeline(args, { cwd: folder });
  const app = new Program(process.execPath, ['app.mjs'], { cwd: folder });
  const callers: SmallPhone[] = [];
  const dial = (): SmallPhone => {
    const call = { address: 'carol@home.test', seconds: 1 };
    const caller = new SmallPhone({ address: 'ann@home.test', password: 'secret', port: sip, call });
    callers.push(caller);
    return caller;
  };
  try {
    await app.line(/^ready$/);
    const declined = dial();
    await until(
      () => app.stdout.includes('Take it? '),
      PATIENCE_MS,
      () => `it rings: ${app.stdout}`,
    );
    app.write('n\n');
    await app.line(/declined: done$/);
    assert.equal((await declined.event('failed')).status, 603);
    const from = app.stdout.length;
    const taken = dial();
    await until(
      () => app.stdout.slice(from).includes('Take it? '),
      PATIENCE_MS,
      () => `it rings again: ${app.stdout}`,
    );
    app.write('y\n');
    await app.line(/answered: done$/);
    await taken.event('answered');
    await taken.event('over');
  } finally {
    for (const caller of callers) await caller.end();
    // The phone that it started has its standard output, and must not outlive it.
    for (const pid of childrenOf(app.pid)) endProcess(pid);
    await app.end('SIGKILL');
    await server.end('SIGKILL');
    directory.remove();
  }
});

function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    // It has ended by itself.
    return [];
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

async function comesOnline(stage: DeviceStage, isOnline: boolean): Promise<void> {
  await until(
    async () => (await stage.isConnected()) === isOnline,
    PATIENCE_MS,
    () => `the device is ${isOnline ? 'there' : 'gone'}`,
  );
}

async function subscribed(stage: DeviceStage): Promise<boolean> {
  return (await stage.subscriptionCount()) >= 2;
}
