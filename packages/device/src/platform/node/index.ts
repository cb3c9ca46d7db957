/** The line in Node: over TCP, TLS and WebSocket, with files; asleep in a sleepbox if the process runs in one. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { anything, checkOptions, isObject, text, type OptionRules } from '../../line/check-options.js';
import { openLineWith } from '../../line/line.js';
import { lineRules } from '../../line/options.js';
import type { Line, LineOptions, LineParts } from '../../line/types.js';
import type { Storage } from '../../ports/index.js';
import { webCrypto, type CryptoLike } from '../../push/push-crypto.js';
import { fileStorage } from '../../storage/file.js';
import { nodeWebSocketTransport } from '../../transports/node-web-socket.js';
import { tcpTransport } from '../../transports/tcp.js';
import { tlsTransport, type TlsOptions } from '../../transports/tls.js';
import { electronPlatform, type PowerMonitorLike } from '../electron/electron-platform.js';
import { sleepboxPlatform } from '../sleepbox/index.js';
import { processPlatform } from './process-platform.js';

export * from '../../api.js';
export {
  electronPlatform,
  fileStorage,
  nodeWebSocketTransport,
  processPlatform,
  sleepboxPlatform,
  tcpTransport,
  tlsTransport,
};
export type { PowerMonitorLike, TlsOptions };

export interface NodeLineOptions extends LineOptions {
  /**
   * A directory for this device alone, or another storage. Default: one for server and device in `$XDG_STATE_HOME/wakeline`
   * (`~/.local/state/wakeline`; on Windows in `%LOCALAPPDATA%`).
   */
  readonly storage?: string | Storage;
  /** Roots of one's own and a certificate of the device's, for `mqtts` and `wss`. */
  readonly tls?: TlsOptions;
  /** Default: that of a sleepbox where `SLEEPBOX_SOCKET` is set, else a plain process. */
  readonly platform?: LineParts['platform'];
}

const rules: OptionRules<NodeLineOptions> = {
  ...lineRules,
  storage: {
    is: (value) => (typeof value === 'string' && value !== '') || isObject(value),
    text: 'a directory, or a storage of your own',
  },
  tls: { is: isObject, text: 'an object with ca, cert, key or passphrase' },
  platform: anything,
};
const tlsRules: OptionRules<TlsOptions> = { ca: anything, cert: anything, key: anything, passphrase: text };

/**
 * Opens a line. It connects by itself, now and whenever it has to, until it is closed.
 *
 *     const line = openLine({ url: 'mqtts://line.example.org', deviceId: 'phone-1', token });
 *
 * @throws DeviceError OPTION_INVALID. What makes a line impossible later is told by `line.closed`.
 */
export function openLine(options: NodeLineOptions): Line {
  checkOptions('openLine', options, rules, ['url', 'deviceId']);
  const { storage, tls, platform, ...rest } = options;
  if (tls !== undefined) checkOptions('tls', tls, tlsRules);
  const socketPath = process.env['SLEEPBOX_SOCKET'];
  return openLineWith(rest, {
    transports: [tcpTransport(), tlsTransport(tls), nodeWebSocketTransport(tls)],
    storage: typeof storage === 'object' ? storage : fileStorage(storage ?? defaultDirectory(options)),
    crypto: webCrypto(globalThis.crypto as unknown as CryptoLike),
    platform: platform ?? (socketPath === undefined ? processPlatform() : sleepboxPlatform({ socketPath })),
  });
}

function defaultDirectory({ url, deviceId }: LineOptions): string {
  const { XDG_STATE_HOME, LOCALAPPDATA } = process.env;
  const local = process.platform === 'win32' ? LOCALAPPDATA : XDG_STATE_HOME;
  const server = URL.canParse(String(url)) ? new URL(url).host : '';
  return join(
    local ?? join(homedir(), '.local', 'state'),
    'wakeline',
    encodeURIComponent(server),
    // Never the name of another directory.
    encodeURIComponent(deviceId).replaceAll('.', '%2E'),
  );
}
