/** Wakeline's server: sockets, clock and store around core's machines. */
export { hubFailureExitCode, RuntimeError, runtimeErrorCodes } from './runtime/errors.js';
export type { RuntimeErrorCode } from './runtime/errors.js';
export { runtimeLimits } from './runtime/limits.js';
export type { RuntimeLimits } from './runtime/limits.js';
export type { Log } from './runtime/log.js';
export { startServer } from './runtime/server.js';
export type { RunningServer, ServerDependencies } from './runtime/server.js';
