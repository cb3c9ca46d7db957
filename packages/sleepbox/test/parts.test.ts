/** The small parts: durations, names, options, control commands, addresses, and what the docs say of the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';

import { helpText, optionNames, parseCommand } from '../src/command-options.js';
import { controlCommands, parseControlCommand } from '../src/control-protocol.js';
import { formatDuration, parseDuration } from '../src/durations.js';
import { SleepboxError, sleepboxErrors } from '../src/errors.js';
import { limits } from '../src/limits.js';
import { nearestName } from '../src/nearest-name.js';
import { resolveOptions, type SleepboxOptions } from '../src/options.js';
import { profileOf, profiles, type ProfileName } from '../src/profiles.js';
import { checkCommand } from '../src/program.js';
import { findArrival, isMarked, TcpState } from '../src/sockets.js';
import { parseAddress } from '../src/watcher-proc.js';

const docs = new URL('../../../../docs/', import.meta.url);

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof SleepboxError && error.code === code;
}

test('durations', () => {
  const range = { min: 0, max: 1e9 };
  for (const [text, ms] of [
    ['500ms', 500],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['9m', 540_000],
    ['6h', 21_600_000],
  ] as const) {
    assert.equal(parseDuration(text, range, 'x'), ms);
  }
  for (const text of ['10', '10 s', '-1s', 's', '1d', '1e3s', '']) {
    assert.throws(() => parseDuration(text, range, 'x'), hasCode('BAD_DURATION'), text);
  }
  assert.throws(() => parseDuration('2s', { min: 0, max: 1_000 }, 'x'), hasCode('BAD_DURATION'));
  assert.deepEqual([0, 1, 1_500, 60_000, 7_200_000].map(formatDuration), ['0s', '1ms', '1500ms', '1m', '2h']);
});

test('nearest name', () => {
  assert.equal(nearestName('windw', optionNames), 'window');
  assert.equal(nearestName('jsno', optionNames), undefined);
  assert.equal(nearestName('zzz', optionNames), undefined);
});

describe('command line', () => {
  test('options end at -- or at the command', async () => {
    for (const argv of [
      ['--window', '5s', '--json', '--', 'node', '--json'],
      ['--window=5s', '--json', 'node', '--json'],
    ]) {
      const parsed = await parseCommand(argv);
      assert.equal(parsed.kind, 'run');
      if (parsed.kind !== 'run') return;
      assert.deepEqual(parsed.options.command, ['node', '--json']);
      assert.equal(parsed.options.windowMs, 5_000);
      assert.equal(parsed.json, true);
      assert.equal(parsed.options.output, 'events');
    }
  });

  const refused: [string, string[], RegExp][] = [
    ['BAD_OPTION', ['--windw', '5s', '--', 'x'], /did you mean --window/],
    ['BAD_OPTION', ['-x', '--', 'x'], /-x is unknown/],
    ['BAD_OPTION', ['--freezer', 'ice', '--', 'x'], /one of auto/],
    ['BAD_OPTION', ['--wake', 'udp', '--', 'x'], /tcp:HOST:PORT/],
    ['BAD_OPTION', ['--wake', 'tcp:h:99999', '--', 'x'], /tcp:HOST:PORT/],
    ['BAD_OPTION', ['--seed', 'x', '--', 'x'], /whole number/],
    ['BAD_OPTION', ['--window'], /./],
    ['BAD_DURATION', ['--window', '10', '--', 'x'], /10s or 500ms/],
    ['NO_COMMAND', ['--json'], /after --/],
    ['NO_COMMAND', [], /after --/],
    ['BAD_OPTION', ['ctl'], /sleep, wake, status, stop/],
    ['BAD_OPTION', ['ctl', 'wkae'], /wake|one of/],
    ['BAD_OPTION', ['ctl', 'wake', '--window', '3s'], /unknown/],
  ];
  for (const [code, argv, message] of refused) {
    test(`refused: ${argv.join(' ')}`, async () => {
      await assert.rejects(
        parseCommand(argv),
        (error) => hasCode(code)(error) && message.test((error as Error).message),
      );
    });
  }

  test('--wake resolves hosts, tcp alone marks all', async () => {
    const one = await parseCommand(['--wake', 'tcp:127.0.0.1:1883', '--wake', 'tcp:[::1]:1884', '--', 'x']);
    assert.ok(one.kind === 'run');
    assert.deepEqual(one.options.marks, [{ peer: '127.0.0.1:1883' }, { peer: '[::1]:1884' }]);
    const all = await parseCommand(['--wake', 'tcp', '--', 'x']);
    assert.ok(all.kind === 'run' && all.options.marks === undefined);
  });

  test('ctl and help', async () => {
    assert.deepEqual(await parseCommand(['ctl', 'status', '--name', 'a', '--json']), {
      kind: 'ctl',
      verb: 'status',
      name: 'a',
      json: true,
    });
    assert.deepEqual(await parseCommand(['--help']), { kind: 'help' });
    for (const name of optionNames) assert.ok(helpText.includes(`--${name}`), name);
  });
});

describe('options', () => {
  const refused: [string, Record<string, unknown>][] = [
    ['NO_COMMAND', { command: [] }],
    ['BAD_OPTION', { windowms: 1 }],
    ['BAD_OPTION', { profile: 'ios' }],
    ['BAD_OPTION', { modes: ['audio'] }],
    ['BAD_OPTION', { name: '../x' }],
    ['BAD_OPTION', { maintenanceMs: 1_000 }],
    ['BAD_DURATION', { windowMs: 1 }],
    ['BELOW_FLOOR', { keepaliveMs: 599_999 }],
    ['BELOW_FLOOR', { profile: 'android-doze', keepaliveMs: 539_999 }],
  ];
  for (const [code, options] of refused) {
    test(`${code}: ${JSON.stringify(options)}`, () => {
      assert.throws(() => resolveOptions({ command: ['x'], ...options } as SleepboxOptions), hasCode(code));
    });
  }
  test('keep-alive at the floor of each profile', () => {
    for (const profile of Object.keys(profiles) as ProfileName[]) {
      const keepaliveMs = profileOf(profile).keepaliveMsMin;
      assert.equal(resolveOptions({ command: ['x'], profile, keepaliveMs }).policy.keepaliveMs, keepaliveMs);
    }
  });
});

describe('control commands', () => {
  const good: [Record<string, unknown>, Record<string, unknown>][] = [
    [{ cmd: 'done' }, { type: 'done' }],
    [{ cmd: 'state', id: 4 }, { type: 'state' }],
    [
      { cmd: 'mark', localPort: 5 },
      { type: 'mark', mark: { localPort: 5 } },
    ],
    [
      { cmd: 'mark', peer: '[::1]:80' },
      { type: 'mark', mark: { peer: '[::1]:80' } },
    ],
    [{ cmd: 'unmark' }, { type: 'unmark' }],
    [
      { cmd: 'keepalive', timeout: '600s' },
      { type: 'keepalive', timeoutMs: 600_000 },
    ],
    [
      { cmd: 'keepalive', timeoutMs: 600_000 },
      { type: 'keepalive', timeoutMs: 600_000 },
    ],
    [{ cmd: 'keepalive', off: true }, { type: 'keepalive' }],
    [
      { cmd: 'notify', title: 'a' },
      { type: 'notify', title: 'a', body: '' },
    ],
    [
      { cmd: 'audio', on: true },
      { type: 'audio', on: true },
    ],
  ];
  for (const [request, command] of good) {
    test(JSON.stringify(request), () => assert.deepEqual(parseControlCommand(request, 600_000), command));
  }
  const refused: [string, Record<string, unknown>][] = [
    ['BAD_ARGUMENT', {}],
    ['BAD_ARGUMENT', { cmd: 3 }],
    ['UNKNOWN_COMMAND', { cmd: 'markk' }],
    ['BAD_ARGUMENT', { cmd: 'mark' }],
    ['BAD_ARGUMENT', { cmd: 'mark', localPort: '5' }],
    ['BAD_ARGUMENT', { cmd: 'mark', localPort: 70_000 }],
    ['BAD_ARGUMENT', { cmd: 'mark', peer: 'example.org:80' }],
    ['BAD_ARGUMENT', { cmd: 'mark', port: 5 }],
    ['BAD_ARGUMENT', { cmd: 'keepalive' }],
    ['BAD_ARGUMENT', { cmd: 'keepalive', timeout: 'soon' }],
    ['BELOW_FLOOR', { cmd: 'keepalive', timeout: '599s' }],
    ['BAD_ARGUMENT', { cmd: 'notify' }],
    ['BAD_ARGUMENT', { cmd: 'notify', title: 'x'.repeat(limits.notificationTitleMax + 1) }],
    ['BAD_ARGUMENT', { cmd: 'audio' }],
    ['BAD_ARGUMENT', { cmd: 'done', now: true }],
  ];
  for (const [code, request] of refused) {
    test(`${code}: ${JSON.stringify(request).slice(0, 60)}`, () => {
      assert.throws(() => parseControlCommand(request, 600_000), hasCode(code));
    });
  }
});

test('addresses of /proc/net/tcp', () => {
  assert.equal(parseAddress('0100007F:075B'), '127.0.0.1:1883');
  assert.equal(parseAddress('0000000000000000FFFF00000100007F:0050'), '127.0.0.1:80');
  assert.equal(parseAddress('00000000000000000000000001000000:0050'), '[::1]:80');
  assert.equal(parseAddress('B80D0120000000000000000001000000:0016'), '[2001:db8::1]:22');
});

test('a new connection that has received is an arrival; a listening socket never is', () => {
  const one = {
    inode: '1',
    pid: 1,
    fd: 1,
    state: TcpState.Established,
    unreadBytes: 0,
    local: 'a:1',
    peer: 'b:2',
  };
  assert.equal(findArrival(undefined, { ...one, receivedBytes: 3 })?.cause, 'data');
  assert.equal(findArrival(undefined, { ...one, receivedBytes: 0 }), undefined);
  assert.equal(findArrival(undefined, { ...one, receivedBytes: 1, state: TcpState.CloseWait }), undefined);
  assert.equal(findArrival(undefined, { ...one, receivedBytes: 9, state: TcpState.Listen }), undefined);
  assert.equal(isMarked(one, [{ localPort: 1, peer: 'b:3' }]), false);
  assert.equal(isMarked(one, [{ localPort: 1, peer: 'b:2' }]), true);
  assert.equal(isMarked(one, []), false);
});

test('a command that cannot be started is refused before the first launch', () => {
  checkCommand('sh');
  assert.throws(() => checkCommand('no-such-command-here'), hasCode('COMMAND_NOT_FOUND'));
  assert.throws(() => checkCommand('/etc/passwd'), hasCode('COMMAND_NOT_EXECUTABLE'));
  assert.throws(() => checkCommand('/etc'), hasCode('COMMAND_NOT_FOUND'));
});

describe('docs', () => {
  const guide = readFileSync(new URL('sleepbox.md', docs), 'utf8');

  test('every error code with its meaning, and no other', () => {
    const rows = [...guide.matchAll(/^\| `([A-Z_]+)` *\| (.+?) *\|$/gm)].map((match) => [match[1], match[2]]);
    assert.deepEqual(Object.fromEntries(rows), { ...sleepboxErrors });
  });

  test('every option and every control command', () => {
    for (const name of optionNames) assert.ok(guide.includes(`\`--${name}`), name);
    for (const name of controlCommands) assert.ok(guide.includes(`"cmd":"${name}"`), name);
  });

  test('the table of profiles is that of the code', () => {
    const text = readFileSync(new URL('sleep-profiles.md', docs), 'utf8');
    const rows = [...text.matchAll(/^\| `([a-z-]+)` +\|(.+)\|$/gm)].map((match) => [
      match[1],
      (match[2] ?? '').split('|').map((cell) => cell.trim()),
    ]);
    const expected = (Object.keys(profiles) as ProfileName[]).map((name) => {
      const profile = profileOf(name);
      const { maintenance } = profile;
      return [
        name,
        [
          profile.wakesOn.join(', '),
          formatDuration(profile.windowMs),
          profile.dataExtends ? 'yes' : 'no',
          profile.modes.join(', '),
          profile.sockets,
          formatDuration(profile.keepaliveMsMin),
          profile.unconnectedAwakeMs === 0 ? 'no' : `at most ${formatDuration(profile.unconnectedAwakeMs)}`,
          maintenance === undefined
            ? 'none'
            : `${formatDuration(maintenance.windowMs)} after ${formatDuration(maintenance.firstMs)}, doubling to ${formatDuration(maintenance.maxMs)}`,
        ],
      ];
    });
    assert.deepEqual(rows, expected);
  });
});
