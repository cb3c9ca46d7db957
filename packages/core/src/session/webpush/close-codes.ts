/** With which close code (RFC 6455 §7.4.1) a connection ends for each reason. docs/spec/webpush-link.md has the table. */
import type { Refusal } from '../../domain/index.js';

export const CloseCode = {
  goingAway: 1001,
  protocolError: 1002,
  invalidPayload: 1007,
  policyViolation: 1008,
  messageTooBig: 1009,
  serviceRestart: 1012,
  tryAgainLater: 1013,
  /**
   * Mozilla's own: do not connect again by yourself. Firefox then stays away until its network changes or a page
   * subscribes.
   */
  stayAway: 4774,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** Whoever should come again by itself gets a code below 4000. */
export const closeCodes: Readonly<Record<Refusal, CloseCode>> = {
  'already-connecting': CloseCode.protocolError,
  'bad-credentials': CloseCode.policyViolation,
  'bad-device-id': CloseCode.policyViolation,
  'canary-invalid': CloseCode.policyViolation,
  'canary-over': CloseCode.goingAway,
  'channel-invalid': CloseCode.policyViolation,
  'channels-full': CloseCode.policyViolation,
  'device-id-taken': CloseCode.policyViolation,
  'device-not-durable': CloseCode.policyViolation,
  draining: CloseCode.goingAway,
  'endpoints-off': CloseCode.policyViolation,
  'filter-invalid': CloseCode.policyViolation,
  'hub-away': CloseCode.serviceRestart,
  'inbox-full': CloseCode.tryAgainLater,
  'key-invalid': CloseCode.policyViolation,
  'message-too-large': CloseCode.messageTooBig,
  'not-authorized': CloseCode.policyViolation,
  'packet-malformed': CloseCode.invalidPayload,
  'packet-too-large': CloseCode.messageTooBig,
  'payload-invalid': CloseCode.policyViolation,
  'protocol-error': CloseCode.protocolError,
  'qos-too-low': CloseCode.policyViolation,
  'quota-exceeded': CloseCode.tryAgainLater,
  'receive-maximum-exceeded': CloseCode.policyViolation,
  'retained-full': CloseCode.tryAgainLater,
  'session-lost': CloseCode.serviceRestart,
  // Two machines with one uaid (a copied profile) would otherwise take the place of each other for ever.
  'session-taken-over': CloseCode.stayAway,
  'storage-failed': CloseCode.tryAgainLater,
  'storage-full': CloseCode.tryAgainLater,
  'subscriptions-full': CloseCode.policyViolation,
  'topic-invalid': CloseCode.policyViolation,
  'unsupported-version': CloseCode.protocolError,
};

/** The status of a register or unregister that the hub refused: 400 where asking again is of no use. */
export function requestStatus(reason: Refusal | undefined): number {
  switch (reason) {
    case undefined:
      return 200;
    case 'channel-invalid':
    case 'channels-full':
    case 'key-invalid':
    case 'device-not-durable':
    case 'not-authorized':
      return 400;
    default:
      return 500;
  }
}
