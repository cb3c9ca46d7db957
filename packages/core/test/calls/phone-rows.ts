/**
 * Kinds of phones: each row of what was measured with real ones whose flow was cut while they rang, and two beside them.
 */
export interface PhoneRow {
  readonly name: string;
  /** Until it connects again after it noticed that its stream is gone, ms: least and most. */
  readonly reconnectMs: readonly [number, number];
  /** Until it is started again after a crash, ms: least and most. */
  readonly relaunchMs: readonly [number, number];
  /** Its server transactions outlive their stream, as RFC 6026 §7.1 wants it. */
  readonly keepsTransactions: boolean;
  /** What it answers to another branch of a call that it has. */
  readonly secondBranch: 482 | 486;
  /** The same branch on another stream kills it. */
  readonly crashesOnMovedBranch: boolean;
  /** It says its last response again on a new stream before anything was offered there. */
  readonly repeatsUnasked: boolean;
  /** Frozen when it has nothing to do; data on its stream wakes it for 10 s, and so does a push. */
  readonly sleeps: boolean;
  readonly hasPush: boolean;
}

const ideal: PhoneRow = {
  name: 'ideal',
  reconnectMs: [20, 40],
  relaunchMs: [800, 1_500],
  keepsTransactions: true,
  secondBranch: 482,
  crashesOnMovedBranch: false,
  repeatsUnasked: true,
  sleeps: false,
  hasPush: false,
};

export const phoneRows: readonly PhoneRow[] = [
  ideal,
  // Its back-off is 30 … 60 s, and it says nothing by itself.
  { ...ideal, name: 'baresip', reconnectMs: [30_000, 58_300], repeatsUnasked: false },
  // Killed and started again: another contact, so that the same bytes are answered with 404.
  {
    ...ideal,
    name: 'baresip-restarted',
    reconnectMs: [2_000, 4_000],
    relaunchMs: [300, 3_000],
    repeatsUnasked: false,
  },
  {
    ...ideal,
    name: 'linphone-old',
    reconnectMs: [24, 34],
    secondBranch: 486,
    crashesOnMovedBranch: true,
    repeatsUnasked: false,
  },
  { ...ideal, name: 'linphone', reconnectMs: [24, 34], secondBranch: 486, repeatsUnasked: false },
  { ...ideal, name: 'linphone-unasked', reconnectMs: [24, 34], secondBranch: 486 },
  {
    ...ideal,
    name: 'pjproject',
    reconnectMs: [1_000, 2_000],
    keepsTransactions: false,
    secondBranch: 486,
    repeatsUnasked: false,
  },
  {
    ...ideal,
    name: 'sleeper',
    reconnectMs: [300, 900],
    relaunchMs: [2_000, 4_000],
    sleeps: true,
    hasPush: true,
  },
];
