/** Keepalive policies of a device. */
export {
  gapConstants,
  GapEstimate,
  scaledConstants,
  type GapConstants,
  type GapKnowledge,
  type ProbeVerdict,
} from './gap-estimate.js';
export { PairedCanary, verdictOf, type CanaryLook, type CanaryOrder } from './paired-canary.js';
export { fixedKeepalive, keepAwake, keepAwakeWarning, noKeepalive, type KeepalivePolicy } from './policy.js';
