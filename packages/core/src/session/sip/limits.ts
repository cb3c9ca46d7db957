/** Bounds of the SIP stack, shared by its parts. docs/limits.md says what happens at each. */
export const sipLimits = {
  /** Addresses whose failed logins are counted; the one counted longest ago is forgotten first. */
  budgetAddressesMax: 65_536,
  /** New connections of one address each minute. */
  connectsPerAddressMax: 600,
  /**
   * Lines of a request that its answers repeat (Via, Record-Route, From, To, Call-ID, CSeq), bytes and count: half of what is
   * read of a message, so that no caller makes a phone say what costs it its connection.
   */
  echoBytesMax: 16 * 1024,
  echoLinesMax: 128,
  /** What phones are told of how often to ping a stream (Flow-Timer), seconds. */
  flowTimerSeconds: 672,
  /** Wrong passwords from one address each minute; so many may come at once. */
  failedLoginsPerAddressMax: 20,
  /** The same over all addresses. */
  failedLoginsMax: 60_000,
  /** New INVITEs to one user from one caller each minute. */
  invitesPerCallerMax: 20,
  /** New INVITEs to one user each minute. */
  invitesPerUserMax: 240,
  /** New INVITEs over all users each minute. */
  invitesMax: 600_000,
  /** Contacts in one REGISTER. */
  contactsMax: 10,
  /** Path or Route values in one request. */
  routesMax: 20,
  /** Branches of one request at the same time, when it does not say less (RFC 5393 §5.3.3). */
  breadthMax: 60,
  /** Requests within a dialog that wait for their device to come back, in all. */
  heldRequestsMax: 1_000,
  /** The same for one device: who was in a dialog with it once must not keep others from it. */
  heldRequestsPerInstanceMax: 16,
  /** How long one of them waits, ms: less than Timer F, so that its sender hears of it. */
  heldMsMax: 20_000,
  /** How long a nonce that was given out is good, ms; whoever answers later is asked again. */
  nonceMsMax: 5 * 60_000,
  /** Nonces whose use is remembered; the one used first is forgotten, and older ones are stale from then on. */
  noncesMax: 100_000,
  /** Registrations shorter than this are refused with 423, seconds. */
  registrationSecondsMin: 3_600,
  /** Registrations are cut to this, seconds. */
  registrationSecondsMax: 86_400,
  /** When an INVITE that is relayed is told 100 at the latest, ms (RFC 3261 §17.2.1); one to a user waits for the disk. */
  tryingMsMax: 200,
  /** Since the last provisional response of a branch (Timer C, RFC 3261 §16.6), ms. */
  timerCMs: 180_000,
  /** Requests that are being relayed, calls aside. */
  relaysMax: 20_000,
} as const;

export type SipLimits = { readonly [Name in keyof typeof sipLimits]: number };
