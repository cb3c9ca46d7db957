/** The HTTP API over the hub's control requests. */
export { apiTokenPrefix, deviceTokenPrefix } from './admin-routes.js';
export { sha256Hex } from './authorization.js';
export { httpErrors } from './errors.js';
export { mintEndpoint } from './endpoint-urls.js';
export type { ErrorBody, HttpErrorCode } from './errors.js';
export { createHttpApi } from './http-api.js';
export type { HttpApi } from './http-api.js';
export { pushLimits } from './push-limits.js';
export type {
  BackupMade,
  BackupRefused,
  DistributiveOmit,
  HttpApiOptions,
  HttpLog,
  HubRequest,
} from './options.js';
