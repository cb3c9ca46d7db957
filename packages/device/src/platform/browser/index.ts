/** The line in a browser, or in a window of Electron: over WebSocket, with IndexedDB, in one tab at a time. */
import { anything, checkOptions, isObject, type OptionRules } from '../../line/check-options.js';
import { openLineWith } from '../../line/line.js';
import { lineRules } from '../../line/options.js';
import type { Line, LineOptions, LineParts } from '../../line/types.js';
import type { Storage } from '../../ports/index.js';
import { webCrypto, type CryptoLike, type PushCrypto } from '../../push/push-crypto.js';
import { webSocketTransport, type WebSocketConstructor } from '../../transports/web-socket.js';
import type { LockManagerLike, OtherTab } from './device-lock.js';
import { PagePlatform, type PageLike } from './page-platform.js';
import { IndexedDbStorage, LocalStorage, type IndexedDbLike, type LocalStorageLike } from './page-storage.js';

export * from '../../api.js';
export { IndexedDbStorage, LocalStorage, PagePlatform, webSocketTransport };
export type { OtherTab };

export interface BrowserLineOptions extends LineOptions {
  /** Where cursor and keys are kept. Default: `indexedDB`. `localStorage` may lose the last of them in a loss of power. */
  readonly storage?: 'indexedDB' | 'localStorage' | Storage;
  /**
   * When another tab has the line of this device: `refuse`, the default, ends this one with STORAGE_LOCKED; `wait` begins when that
   * one is closed.
   */
  readonly otherTab?: OtherTab;
  /** Default: the page's life cycle. */
  readonly platform?: LineParts['platform'];
}

/** A page, or a worker. */
type Host = PageLike & {
  readonly WebSocket: WebSocketConstructor;
  readonly indexedDB: IndexedDbLike;
  readonly localStorage: LocalStorageLike;
  readonly crypto: Partial<CryptoLike>;
  readonly navigator: { readonly locks?: LockManagerLike };
};

const rules: OptionRules<BrowserLineOptions> = {
  ...lineRules,
  storage: {
    is: (value) => value === 'indexedDB' || value === 'localStorage' || isObject(value),
    text: "'indexedDB', 'localStorage', or a storage of your own",
  },
  otherTab: { is: (value) => value === 'refuse' || value === 'wait', text: "'refuse' or 'wait'" },
  platform: anything,
};

/**
 * Opens a line. It connects by itself, now and whenever it has to, until it is closed or the page is gone.
 *
 *     const line = openLine({ url: 'wss://line.example.org/mqtt', deviceId: 'browser-1', token });
 *
 * @throws DeviceError OPTION_INVALID. What makes a line impossible later is told by `line.closed`.
 */
export function openLine(options: BrowserLineOptions): Line {
  checkOptions('openLine', options, rules, ['url', 'deviceId']);
  const { storage = 'indexedDB', otherTab = 'refuse', platform, ...rest } = options;
  const host = globalThis as unknown as Host;
  return openLineWith(rest, {
    transports: [webSocketTransport(host.WebSocket)],
    storage: typeof storage === 'object' ? storage : storageOf(host, storage, options.deviceId, otherTab),
    platform: platform ?? new PagePlatform(host),
    crypto: cryptoOf(host.crypto),
  });
}

function storageOf(host: Host, kind: string, deviceId: string, otherTab: OtherTab): Storage {
  const options = { deviceId, locks: host.navigator.locks, otherTab };
  if (kind === 'indexedDB') return new IndexedDbStorage(host.indexedDB, options);
  return new LocalStorage(host.localStorage, options);
}

/** A page that did not come by https, or from this machine, has none. */
function cryptoOf(crypto: Partial<CryptoLike>): PushCrypto | undefined {
  return crypto.subtle === undefined ? undefined : webCrypto(crypto as CryptoLike);
}
