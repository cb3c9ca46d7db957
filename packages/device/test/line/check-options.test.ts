/** What an app gives wrongly is refused at once, by name, whatever takes it: nothing of it is a TypeError. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DeviceError, openLineWith, type Line, type LineOptions, type LineParts } from '../../src/api.js';
import { openLine as openLineInBrowser } from '../../src/platform/browser/index.js';
import { openLine as openLineInNode } from '../../src/platform/node/index.js';
import { openLine as openLineInReactNative } from '../../src/platform/react-native/index.js';
import { fakeParts } from './fake-parts.js';

type Open = (options: unknown) => Line;

const basic = { url: 'fake://server', deviceId: 'd1' } as const;
const appState = { currentState: 'active', addEventListener: () => ({ remove: () => undefined }) };
const storage = { getItem: () => undefined, setItem: () => undefined };

// A page has one, Node 20 has none.
if (!('navigator' in globalThis)) Object.defineProperty(globalThis, 'navigator', { value: { onLine: true } });

const entries: readonly (readonly [string, Open, Record<string, unknown>])[] = [
  ['any platform', (options) => openLineWith(options as LineOptions, fakeParts()), {}],
  ['Node', openLineInNode as Open, {}],
  ['a browser', openLineInBrowser as Open, {}],
  ['React Native', openLineInReactNative as Open, { appState, storage }],
];

/** Values that are no text, no flag, no function, no duration and no object with methods. */
const strange = [null, 7n, Symbol('x'), [], NaN] as const;

function refusal(open: () => unknown): DeviceError {
  try {
    open();
  } catch (error) {
    assert.ok(error instanceof DeviceError, String(error));
    assert.equal(error.code, 'OPTION_INVALID');
    return error;
  }
  throw new Error('nothing was refused');
}

for (const [name, open, needed] of entries) {
  describe(`openLine on ${name}`, () => {
    test('what is no object of options is refused', () => {
      for (const options of [undefined, null, 'mqtt://x', 7, true, [], () => undefined]) {
        assert.match(refusal(() => open(options)).message, /openLine takes its options as an object/);
      }
    });

    test('url and deviceId are needed', () => {
      assert.match(refusal(() => open({ ...needed, deviceId: 'd1' })).message, /url is missing/);
      assert.match(refusal(() => open({ ...needed, url: 'fake://server' })).message, /deviceId is missing/);
    });

    test('each option is of its kind', () => {
      const names = ['url', 'deviceId', 'token', 'username', 'password', 'keepalive', 'sessionExpiry'];
      for (const option of [...names, 'inbox', 'signal', 'onWarning', ...Object.keys(needed)]) {
        for (const value of strange) {
          const { message } = refusal(() => open({ ...basic, ...needed, [option]: value }));
          assert.match(message, new RegExp(`^${option} is `), `${option}: ${String(value)}`);
        }
      }
    });

    test('a name that is near is offered, else all that there are', () => {
      const near = refusal(() => open({ ...basic, ...needed, keepAlive: 'none' }));
      assert.equal(near.message, "openLine has no option 'keepAlive'; did you mean 'keepalive'?");
      const far = refusal(() => open({ ...basic, ...needed, quuxification: 1 }));
      assert.match(far.message, /openLine has no option 'quuxification'; there are url, deviceId, /);
    });
  });
}

test('the options that a platform adds are checked, too', () => {
  for (const [open, needed, options, text] of [
    [openLineInNode, {}, { storag: 'x' }, /did you mean 'storage'/],
    [openLineInNode, {}, { storage: '' }, /storage is a directory/],
    [openLineInNode, {}, { storage: {} }, /storage is a storage with open, get, set and close/],
    [openLineInNode, {}, { tls: 'x' }, /tls is an object/],
    [openLineInNode, {}, { tls: { cert: 'x', kee: 'y' } }, /tls has no option 'kee'; did you mean 'key'/],
    [openLineInNode, {}, { platform: 'linux' }, /platform is a platform/],
    [openLineInBrowser, {}, { otherTab: 'close' }, /otherTab is 'refuse' or 'wait'/],
    [openLineInBrowser, {}, { storage: 'cookies' }, /storage is 'indexedDB', 'localStorage'/],
    [openLineInReactNative, { storage }, {}, /appState is missing/],
    [openLineInReactNative, { appState }, {}, /storage is missing/],
    [openLineInReactNative, { appState, storage }, { netInfo: {} }, /netInfo is the default export/],
    [openLineInReactNative, { appState, storage }, { tcpSocket: {} }, /tcpSocket is the default export/],
    [openLineInReactNative, { appState, storage }, { inBackground: true }, /inBackground is 'background' or/],
  ] as const) {
    const url = 'ws://127.0.0.1:1';
    const { message } = refusal(() => (open as Open)({ ...basic, url, ...needed, ...options }));
    assert.match(message, text);
  }
});

test('the parts of a line are checked', () => {
  const parts = fakeParts();
  for (const [wrong, text] of [
    [undefined, /takes the parts of a line/],
    [{ ...parts, transports: [] }, /transports is a list/],
    [{ ...parts, storage: undefined }, /storage is missing/],
    [{ ...parts, platform: {} }, /platform is a platform/],
  ] as const) {
    assert.match(refusal(() => openLineWith(basic, wrong as unknown as LineParts)).message, text);
  }
});

test('whatever takes options refuses what it does not know, and kinds that are wrong', async () => {
  const line = openLineWith(basic, fakeParts());
  const handler = (): void => undefined;
  const calls: Record<string, (options: never) => unknown> = {
    statuses: (options) => line.statuses(options),
    online: (options) => line.online(options),
    messages: (options) => line.messages(options),
    onMessage: (options) => line.onMessage(handler, options),
    calls: (options) => line.calls(options),
    onCall: (options) => line.onCall(handler, options),
    subscribe: (options) => line.subscribe('a', options),
    publish: (options) => line.publish('a', 'x', options),
    'push.subscribe': (options) => line.push.subscribe('news', options),
    'push.unsubscribe': (options) => line.push.unsubscribe('news', options),
  };
  const wrong: Record<string, readonly (readonly [string, unknown])[]> = {
    onMessage: [['concurrency', 0.5]],
    online: [['timeout', {}]],
    subscribe: [['qos', 2]],
    publish: [
      ['qos', '1'],
      ['expiry', null],
      ['contentType', 7],
      ['responseTopic', 7],
      ['correlationData', 'x'],
      ['userProperties', { colour: 'red' }],
      ['userProperties', [['colour']]],
    ],
    'push.subscribe': [
      ['applicationServerKey', new Uint8Array(65)],
      ['renew', 'yes'],
    ],
  };
  for (const [name, call] of Object.entries(calls)) {
    const refused = async (options: unknown): Promise<DeviceError> => {
      try {
        await call(options as never);
      } catch (error) {
        return refusal(() => {
          throw error;
        });
      }
      throw new Error(`${name} took ${JSON.stringify(options)}`);
    };
    for (const options of [null, 'x', []]) {
      assert.match((await refused(options)).message, new RegExp(`^${name} takes its options as an object`));
    }
    const { message } = await refused({ signl: 1 });
    assert.equal(message, `${name} has no option 'signl'; did you mean 'signal'?`);
    for (const [option, value] of [...(wrong[name] ?? []), ['signal', {}] as const]) {
      assert.match((await refused({ [option]: value })).message, new RegExp(`^${option} is `));
    }
  }
  for (const take of [line.onMessage.bind(line), line.onCall.bind(line)]) {
    assert.match(refusal(() => take(undefined as never)).message, /takes a function/);
  }
  await line.close();
});
