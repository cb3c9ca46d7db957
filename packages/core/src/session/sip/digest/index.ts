/** Digest authentication of SIP (RFC 7616, RFC 8760, RFC 3261 §22): for our users, and ours at trunks. */
export { DigestClient, type DigestClientOptions } from './digest-client.js';
export { ha1Of, type DigestAlgorithm } from './digest-response.js';
export {
  DigestVerifier,
  type DigestAttempt,
  type DigestFailure,
  type DigestVerdict,
  type DigestVerifierOptions,
  type FailedLoginOptions,
} from './digest-verifier.js';
