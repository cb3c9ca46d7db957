/** Keepalive policies of a device. */
export {
  gapConstants,
  GapEstimate,
  scaledConstants,
  type GapConstants,
  type GapKnowledge,
  type ProbeVerdict,
} from './gap-estimate.js';
export { adaptiveKeepalive, PairedCanary, verdictOf } from './paired-canary.js';
export {
  fixedKeepalive,
  keepAwake,
  keepAwakeWarning,
  noKeepalive,
  type CanaryLook,
  type CanaryOrder,
  type KeepalivePolicy,
  type NetworkLearner,
} from './policy.js';
