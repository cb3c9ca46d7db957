/**
 * The line in React Native: over WebSocket, or over TCP and TLS; storage, networks, cryptography and the screens of calls by modules that
 * the app brings. Nothing here imports them: an app gives those that it has.
 */
import { anything, checkOptions, hasMethods, isObject, type OptionRules } from '../../line/check-options.js';
import { openLineWith } from '../../line/line.js';
import { lineRules } from '../../line/options.js';
import type { Line, LineOptions } from '../../line/types.js';
import type { Platform, Storage } from '../../ports/index.js';
import type { PushCrypto } from '../../push/push-crypto.js';
import { webSocketTransport, type WebSocketConstructor } from '../../transports/web-socket.js';
import { AppPlatform, type AppPlatformOptions } from './app-platform.js';
import { asyncStorage, mmkvStorage, type AsyncStorageLike, type MmkvLike } from './key-value-storage.js';
import { nodeCryptoShape, type NodeCryptoShape } from './node-crypto-shape.js';
import { tcpSocketTransport, type TcpSocketModule } from './tcp-socket.js';

export * from '../../api.js';
export {
  AppPlatform,
  type AppPlatformOptions,
  type AppStateLike,
  type NetInfoLike,
  type NetInfoStateLike,
} from './app-platform.js';
export { showCallsByCallKeep, type CallKeepLike, type CallKeepOptions } from './call-keep.js';
export { asyncStorage, mmkvStorage, type AsyncStorageLike, type MmkvLike } from './key-value-storage.js';
export { nodeCryptoShape, type NodeCryptoShape } from './node-crypto-shape.js';
export {
  showCallsByNotifications,
  type CallNotifications,
  type CallNotificationsOptions,
  type NotificationEvent,
  type NotificationsLike,
} from './notifications.js';
export { tcpSocketTransport, type TcpSocketModule, type TcpSocketOptions } from './tcp-socket.js';
export { webSocketTransport };

export interface ReactNativeLineOptions extends LineOptions {
  /** `AppState` of React Native, or a platform of one's own. */
  readonly appState: AppPlatformOptions['appState'] | Platform;
  /** AsyncStorage, an instance of MMKV, or another storage. */
  readonly storage: AsyncStorageLike | MmkvLike | Storage;
  /** The default export of `@react-native-community/netinfo`. */
  readonly netInfo?: AppPlatformOptions['netInfo'];
  /** The default export of `react-native-tcp-socket`, for `mqtt` and `mqtts` URLs. */
  readonly tcpSocket?: TcpSocketModule;
  /** The only certificate authority to trust for `mqtts`, as `require('./ca.pem')` gives it. */
  readonly ca?: unknown;
  /** `react-native-quick-crypto`, or primitives of one's own, for Web Push. */
  readonly crypto?: NodeCryptoShape | PushCrypto;
  /** See {@link AppPlatformOptions}. */
  readonly inBackground?: AppPlatformOptions['inBackground'];
}

const rules: OptionRules<ReactNativeLineOptions> = {
  ...lineRules,
  appState: {
    is: (value) => hasMethods(value, 'addEventListener') || hasMethods(value, 'handleDone'),
    text: 'AppState of React Native, or a platform of your own',
  },
  storage: {
    is: (value) => ['getString', 'getItem', 'open'].some((name) => hasMethods(value, name)),
    text: 'AsyncStorage, an instance of MMKV, or a storage of your own',
  },
  netInfo: { is: (value) => hasMethods(value, 'addEventListener'), text: 'the default export of netinfo' },
  tcpSocket: {
    is: (value) => hasMethods(value, 'createConnection', 'connectTLS'),
    text: 'the default export of react-native-tcp-socket',
  },
  ca: anything,
  crypto: { is: isObject, text: 'react-native-quick-crypto, or primitives of your own' },
  inBackground: {
    is: (value) => value === 'background' || value === 'asleep',
    text: "'background' or 'asleep'",
  },
};

/**
 * Opens a line. It connects by itself, now and whenever it has to, until it is closed.
 *
 *     const line = openLine({ url: 'wss://line.example.org/mqtt', deviceId, token, appState: AppState, storage: AsyncStorage });
 *
 * @throws DeviceError OPTION_INVALID. What makes a line impossible later is told by `line.closed`.
 */
export function openLine(options: ReactNativeLineOptions): Line {
  checkOptions('openLine', options, rules, ['url', 'deviceId', 'appState', 'storage']);
  const { appState, storage, netInfo, tcpSocket, ca, crypto, inBackground, ...rest } = options;
  const { WebSocket } = globalThis as unknown as { readonly WebSocket: WebSocketConstructor };
  return openLineWith(rest, {
    transports: [
      webSocketTransport(WebSocket),
      ...(tcpSocket === undefined ? [] : [tcpSocketTransport(tcpSocket, { ca })]),
    ],
    storage: storageOf(storage, options.deviceId),
    platform: isPlatform(appState) ? appState : new AppPlatform({ appState, netInfo, inBackground }),
    crypto: crypto === undefined || 'hmacSha256' in crypto ? crypto : nodeCryptoShape(crypto),
  });
}

function storageOf(storage: ReactNativeLineOptions['storage'], deviceId: string): Storage {
  if ('getString' in storage) return mmkvStorage(storage, deviceId);
  return 'getItem' in storage ? asyncStorage(storage, deviceId) : storage;
}

function isPlatform(appState: ReactNativeLineOptions['appState']): appState is Platform {
  return 'handleDone' in appState;
}
