/**
 * Every bound and every built-in time of sleepbox, in one place, each with its unit and its reason.
 * What a profile decides (window, floor, maintenance) stands in `profiles.ts`.
 */
export const limits = {
  /** How often an awake program's sockets are looked at, ms: soon enough that a reply begins its new window. */
  awakeSampleMs: 100,
  /** Nothing may have arrived for this long before a freeze, ms: what was read a moment ago is still being answered. */
  quietMs: 100,
  /** Without byte counters quiet is judged by the program's own activity; it is waited for no longer than this, ms. */
  settleMsMax: 2_000,
  /** Datagrams per second from a namespace that count as audio: half of the slowest usual voice packet rate. */
  audioDatagramsPerSecondMin: 10,
  /** Audio is over when its datagrams have stopped for this long, ms: survives a talk spurt's silence suppression. */
  audioGraceMs: 2_000,
  /** How long a profile that keeps a program without connections awake does so, ms. */
  unconnectedAwakeMsMax: 120_000,
  /** What a keep-alive handler may take, ms; then the program is killed, as iOS does. */
  handlerMsMax: 10_000,
  /** Earliest moment of the handler as a share of its timeout. */
  handlerShareMin: 0.5,
  /** Latest moment of the handler as a share of its timeout: leaves a tenth of it to do the work. */
  handlerShareMax: 0.9,
  /** Longest keep-alive timeout, ms (30 days). */
  keepaliveMsMax: 30 * 24 * 3_600_000,
  /** Wait before the first relaunch, ms; doubles with each further one. */
  relaunchMsMin: 1_000,
  /** Longest wait before a relaunch, ms. */
  relaunchMsMax: 60_000,
  /** A run of this length was healthy: the next relaunch waits the shortest time again, ms. */
  healthyRunMs: 60_000,
  /** Time between TERM and KILL when the box ends, ms. */
  termGraceMs: 5_000,
  /** How long the kernel may take to report a group frozen, ms; then the box says so and goes on awake. */
  freezeMsMax: 2_000,
  /** At most one timeline line per second tells that data has begun a new window, ms. */
  windowEventMsMin: 1_000,
  /** One line on the control socket, bytes: a notification's text fits many times. */
  controlLineBytesMax: 16 * 1024,
  /** Connections to the control socket at once. */
  controlConnectionsMax: 32,
  /** Unsent answers per control connection, bytes: one that does not read its answers is closed. */
  controlBacklogBytesMax: 256 * 1024,
  /** Connections a program may mark; each is compared with each socket at each look. */
  marksMax: 256,
  /** Title of a notification, UTF-16 code units. */
  notificationTitleMax: 256,
  /** Body of a notification, UTF-16 code units. */
  notificationBodyMax: 4_096,
  /** One line of the program's output in `--json` mode, bytes; a longer one is told in pieces. */
  outputLineBytesMax: 64 * 1024,
  /** Poll interval of the fallback watcher, ms: the wake latency that is promised. */
  procPollMs: 20,
  /** Longest poll interval of the fallback watcher, ms, when one look is so dear that the share below decides. */
  procPollMsMax: 250,
  /** Share of a core that the fallback watcher may use; it polls less often when one look costs more. */
  procPollCoreShareMax: 0.1,
  /** How long the helper may take to answer one command, ms; then the fallback takes over. */
  helperReplyMsMax: 2_000,
  /** How long compiling the helper may take, ms. */
  compileMsMax: 30_000,
  /** Connections of one program that the helper waits for; of more, the first so many. */
  heldSocketsMax: 4_000,
  /** How long `ctl` waits for an answer, ms: a freeze with its quiet time and more. */
  ctlReplyMsMax: 15_000,
  /** Path of a Unix socket, bytes: `sun_path` of Linux less its final zero. */
  socketPathBytesMax: 107,
  /** Shortest window, ms: below, the quiet time alone is longer. */
  windowMsMin: 100,
  /** Longest window, ms (a day). */
  windowMsMax: 24 * 3_600_000,
  /** Shortest idle time of a NAT, ms: the kernel's clock of flows counts whole seconds. */
  natIdleMsMin: 1_000,
  /** Longest idle time of a NAT, ms (7 days): beyond the longest that is met, 5 days. */
  natIdleMsMax: 7 * 24 * 3_600_000,
  /** NATs of one machine at once: a /30 of 198.19.0.0/16 for each. */
  natsMax: 16_384,
  /** How often a NAT is tried again when other boxes that start at the same time take its number. */
  natAttemptsMax: 64,
  /** How long building or ending a NAT may take, ms: some thirty small programs on a busy machine. */
  natStepsMsMax: 30_000,
  /** What is kept of the words of a step that failed, UTF-16 code units. */
  natErrorCharactersMax: 4_096,
} as const;
