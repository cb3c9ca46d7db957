/** Connections, flows and the way of messages (RFC 3261 §18, RFC 3581, RFC 5626, RFC 7118). */
export { responseRouteOf, type ResponseRoute } from './response-route.js';
export {
  TransportLayer,
  type TransportEvent,
  type TransportInput,
  type TransportLayerOptions,
  type TransportLimits,
} from './transport-layer.js';
export { sipTransportLimits } from './transport-limits.js';
