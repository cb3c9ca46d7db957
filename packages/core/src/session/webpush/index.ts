/** Sessions of Mozilla's push protocol, server side: one machine for each WebSocket of a user agent. */
export { AddressBudget } from '../address-budget.js';
export { BroadcastTable } from './broadcasts.js';
export { CloseCode, closeCodes } from './close-codes.js';
export { webPushLimits } from './limits.js';
export { WebPushSession } from './session.js';
export type { WebPushSessionOptions } from './session-options.js';
