/** What the line needs of the platform that it runs on. */
export type { Platform, PlatformHandler } from './platform.js';
export type { Storage, StoredName } from './storage.js';
export type { Transport, TransportConnection, TransportHandler } from './transport.js';
