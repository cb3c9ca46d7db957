/** docs/guides/node.md: the programs and commands that stand there, against servers on free ports. */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Box } from './box.js';
import { codeOf } from './guide.js';
import { Program, runProgram, startWakeline, wakeline } from './program.js';
import { DOMAIN, PASSWORD, SipServer } from './sip-server.js';
import { callersTrunk } from './sip-stage.js';
import { SmallPhone } from './small-phone.js';
import { ServerProcess, temporaryDirectory } from './support.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const directory = temporaryDirectory('wakeline-guide-node');
const folder = join(directory.path, 'app');
/** The state of the guide's devices, in place of the user's own. */
const env = { XDG_STATE_HOME: join(directory.path, 'state') };
const URL_OF_GUIDE = 'mqtt://127.0.0.1:1883';

before(() => {
  mkdirSync(folder);
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
});

after(() => directory.remove());

function write(name: string, code: string): void {
  writeFileSync(join(folder, name), code);
}

test('docs/guides/node.md: a device with a token gets a message, awake and asleep', async () => {
  const server = await ServerProcess.create(join(directory.path, 'server'));
  let app: Program | undefined;
  let box: Box | undefined;
  try {
    await server.start();
    const add = codeOf('node.md', 'token').split(' ').slice(2);
    const added = await wakeline(add, { env: { WAKELINE_SERVER: server.url } }).ended;
    const token = added.stdout.trim();
    assert.match(token, /^wl_d_/, added.stderr);
    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    write('phone.mjs', codeOf('node.md', 'app', { [URL_OF_GUIDE]: url, 'wl_d_…': token }));
    app = new Program(process.execPath, ['phone.mjs'], { cwd: folder, env });
    const send = ['send', '--device', 'phone-1', '--wait', 'acknowledged', 'Your taxi is here'];
    const sent = await wakeline(send, { env: { WAKELINE_SERVER: server.url } }).ended;
    assert.equal(sent.code, 0, sent.stderr);
    await app.line(/^default: Your taxi is here$/);
    await app.end('SIGKILL');

    const command = codeOf('node.md', 'asleep').split(' -- ')[1]!.split(' ');
    assert.deepEqual(command, ['node', 'phone.mjs']);
    const lines: string[] = [];
    box = new Box({
      name: 'guide',
      runtimeDirectory: directory.path,
      command: [process.execPath, join(folder, 'phone.mjs')],
      modes: 'voip',
      // Time enough to start on a machine that does much else; it says itself when it is done.
      window: '60s',
      wakePort: server.mqttPort,
      env,
      onOutput: (line) => lines.push(line),
    });
    await box.asleep();
    await server.send('phone-1', 'Wake up');
    await box.until(() => lines.length > 0 && box!.isAsleep, 'woken, and asleep again');
    // Nothing that was handled before comes again.
    assert.deepEqual(lines, ['default: Wake up']);
    assert.equal(box.events.findLast(({ type }) => type === 'asleep')!.by, 'done');
  } finally {
    await app?.end();
    await box?.end();
    await server.kill();
  }
});

test('docs/guides/node.md: a loop takes what was published, and ends', async () => {
  const data = join(directory.path, 'loop');
  const { server, urls } = await startWakeline(['--data', data, '--listen', 'mqtt://127.0.0.1:0']);
  try {
    const url = `mqtt://${urls[0]!.host}`;
    write('loop.mjs', codeOf('node.md', 'loop', { [URL_OF_GUIDE]: url }));
    const end = await runProgram(process.execPath, ['loop.mjs'], { cwd: folder, env });
    assert.equal(end.code, 0, end.stderr);
    assert.equal(end.stdout, 'jobs/print { page: 1 }\n');
    assert.equal(end.stderr, '');
  } finally {
    await server.end();
  }
});

test('docs/guides/node.md: a waiting call is declined before any INVITE has come, and the caller hears 603', async () => {
  const server = await SipServer.start({
    directory: join(directory.path, 'sip'),
    users: ['ann', 'bob'],
    trunks: [callersTrunk],
  });
  let app: Program | undefined;
  let ann: SmallPhone | undefined;
  try {
    const url = `mqtt://127.0.0.1:${server.mqttPort}`;
    write('calls.mjs', codeOf('node.md', 'calls', { [URL_OF_GUIDE]: url }));
    app = new Program(process.execPath, ['calls.mjs'], { cwd: folder, env });
    ann = new SmallPhone({
      address: `ann@${DOMAIN}`,
      password: PASSWORD,
      port: server.tcpPort,
      call: { address: `bob@${DOMAIN}`, seconds: 1 },
    });
    await app.line(/ann@home\.test calls, until 20\d\d-/);
    await app.line(/^done$/);
    assert.equal((await ann.event('failed')).status, 603);
  } finally {
    await app?.end();
    await ann?.end();
    await server.kill();
  }
});
