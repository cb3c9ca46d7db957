/** Transactions (RFC 3261 §17, RFC 6026, RFC 4320). */
export { defaultTimerValues, type TimerValues } from './timers.js';
export { clientKey, serverKey } from './transaction-keys.js';
export {
  TransactionLayer,
  type TransactionEvent,
  type TransactionLayerOptions,
  type TransactionLimits,
  type TransactionTransport,
} from './transaction-layer.js';
export { sipTransactionLimits } from './transaction-limits.js';
