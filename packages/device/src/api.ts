/**
 * The line on any platform: shapes, errors and ports. Imports nothing of any platform; each has its own entry point with an
 * `openLine` that brings its parts.
 */
export { DeviceError, deviceErrorCodes, type DeviceErrorCode, type DeviceErrorOptions } from './errors.js';
export { hostLimits } from './limits.js';
export { openLineWith } from './line/line.js';
export type * from './line/types.js';
export { memoryStorage } from './storage/memory.js';
export type * from './ports/index.js';
export type { PushFailure } from './push/decrypt.js';
export { webCrypto, type CryptoLike, type EcKeyPair, type PushCrypto } from './push/push-crypto.js';
export type * from './push/types.js';
export type { KeepalivePolicy, Status } from '@wakeline/core/device';
