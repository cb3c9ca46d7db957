/**
 * Every bound of the server that is not a protocol's own, in one place. docs/limits.md says of each what happens
 * when it is reached; a test compares the two. Those that the configuration may change are defaults.
 */
export const limits = {
  /** How long a user agent of Web Push may be away before it is forgotten with its channels, seconds. */
  agentExpirySeconds: 90 * 86_400,
  /** Address-of-record, bytes: fits a store key. */
  aorBytesMax: 256,
  /** Bindings of one user. */
  bindingsPerAorMax: 10,
  /** Devices of one user that are told of its calls. */
  callDevicesMax: 20,
  /** Events in the trace of one call. */
  callEventsMax: 300,
  /** How long a call that has ended is kept, ms. */
  callKeptMsMax: 30 * 24 * 3_600_000,
  /** Legs of one call: one for each instance that was there while it waited. */
  callLegsMax: 20,
  /** Longest a call may wait and ring, ms (Timer C, RFC 3261 §16.6). */
  callMsMax: 180_000,
  /** Times that one call is offered to one instance, repeats included. */
  callOffersPerLegMax: 10,
  /** Time that a call gets after a start of the server, ms: phones were seen to take 58 s to come back. */
  callRestartMsMin: 60_000,
  /** Calls that have ended and are kept. */
  callsKeptMax: 10_000,
  /** Calls that wait or ring, in all. */
  callsMax: 10_000,
  /** Calls that wait or ring for one user. */
  callsPerAorMax: 10,
  /** Of them, from one caller: nobody alone keeps others from a user. */
  callsPerAorAndCallerMax: 4,
  /** Calls that wait or ring from one caller: a user, or a URI behind a trunk. */
  callsPerCallerMax: 50,
  /** How long a call that has ended stays in memory, ms: late devices and answers find out what became of it. */
  callTombstoneMs: 180_000,
  /** Calls that have ended and stay in memory. */
  callTombstonesMax: 10_000,
  /** Wakes for one device or push resource in a minute. */
  callWakesPerMinuteMax: 60,
  /** Shortest and longest silence of a canary, ms. */
  canarySilenceMsMin: 1_000,
  canarySilenceMsMax: 2 * 3_600_000,
  /** How long a canary stays open after its push, ms. */
  canaryReadMs: 600_000,
  /** Canaries that are open, or have ended while their device's main connection goes on. */
  canariesMax: 100_000,
  /** Channels of one device that have an endpoint. */
  channelsPerDeviceMax: 500,
  /** Log chunks kept in memory after their commit, bytes: what was just stored is delivered without a read. */
  chunkCacheBytesMax: 32 * 1024 * 1024,
  /** After a failed commit, how long until cursors are tried again, ms. */
  commitRetryMs: 1_000,
  /** Acknowledgements are written together, at most this often, ms: a crash repeats those of one interval. */
  cursorFlushMs: 100,
  /** Free space, reusable pages of the data file included, below which new messages are refused, bytes. */
  diskFloorBytes: 64 * 1024 * 1024,
  /** Length of a device id, bytes of UTF-8: fits a store key with room for what follows it. */
  deviceIdBytesMax: 256,
  /** Devices that may wait in memory and on disk together. */
  devicesMax: 1_000_000,
  /** Ended endpoints that are remembered, so that their senders are told to give up; the oldest is forgotten first. */
  endedEndpointsMax: 100_000,
  /** How long an ended endpoint is remembered, ms. */
  endedEndpointMsMax: 30 * 24 * 3_600_000,
  /** Endpoints of all devices. */
  endpointsMax: 1_000_000,
  /** Idempotency keys remembered per API token and in all; the oldest is forgotten first. */
  idempotencyKeysMax: 100_000,
  /** How long an idempotency key is remembered, ms. */
  idempotencyMsMax: 24 * 3_600_000,
  /** Messages waiting in one inbox; beyond, see `inbox-full`. */
  inboxMessagesMax: 100_000,
  /** Bytes waiting in one inbox (bodies, topics and properties). */
  inboxBytesMax: 256 * 1024 * 1024,
  /** QoS 2 packet ids that one device may hold unreleased: its cursor row names them all. */
  inboundQos2Max: 10_000,
  /** Messages sent to one device and not acknowledged, whatever more its receive maximum allows. */
  inflightMax: 1_000,
  /** Messages with a receipt that were acknowledged by Web Push and may still be told to have failed. */
  lateFailuresMax: 10_000,
  /** Log bytes beyond twice the live ones at which survivors are copied forward, bytes. */
  logSlackBytes: 16 * 1024 * 1024,
  /** Live log bytes copied forward in one commit. */
  logCopyBytesMax: 1024 * 1024,
  /** Log bytes of one chunk before a new one is begun: with LMDB's 24-byte header it fills four pages exactly. */
  logChunkBytes: 4 * 4096 - 24,
  /** Askers who wait for the stage of a message to change. */
  messageWatchersMax: 10_000,
  /** Those of one address. */
  messageWatchersPerAddressMax: 1_000,
  /** Body of one message, bytes. */
  messageBytesMax: 1024 * 1024,
  /** One MQTT packet, bytes, fixed header included. */
  mqttPacketBytesMax: 1024 * 1024 + 64 * 1024,
  /** Devices whose word about one network is kept; the oldest makes room. */
  networkDevicesMax: 32,
  /** Other devices that have said something of a network before anything of it is told. */
  networkHintDevicesMin: 3,
  /** How long a device's word about a network counts, ms. */
  networkKeptMs: 7 * 24 * 3_600_000,
  /** Longest silence that a device may tell of its network, ms. */
  networkSilenceMsMax: 2 * 3_600_000,
  /** Networks of which anything is kept; the one of which nobody has spoken for longest is forgotten first. */
  networksMax: 50_000,
  /** Networks of which one device's word is kept; its oldest is forgotten first. */
  networksPerDeviceMax: 100,
  /** Bytes of an open batch at which the server stops reading from publishers until it is committed. */
  openBatchBytesMax: 4 * 1024 * 1024,
  /** Requests within dialogs that wait for an instance to come back. */
  reachesMax: 1_000,
  /** Endpoints that user agents of one address get in a minute. */
  registersPerAddressMax: 1_000,
  /** Receipts kept for senders who asked; the oldest is forgotten first. */
  receiptsMax: 1_000_000,
  /** How long a receipt is kept, ms. */
  receiptMsMax: 7 * 24 * 3_600_000,
  /** Recipients named in a receipt; a topic message with more is counted, not listed. */
  receiptRecipientsMax: 1_000,
  /** Recipients in one log record; a publication with more is stored in several. */
  recordRecipientsMax: 8_192,
  /** Replace key, bytes of UTF-8: it is counted in one byte. */
  replaceKeyBytesMax: 255,
  /** Retained messages, bytes over all of them. */
  retainedBytesMax: 256 * 1024 * 1024,
  /** Retained messages. */
  retainedMessagesMax: 100_000,
  /** One SIP message, bytes, and the body of one that is stored. */
  sipMessageBytesMax: 65_535,
  /** How long a SIP message waits for its instance when its sender does not say, and at most, ms. */
  sipMessageMsMax: 7 * 24 * 3_600_000,
  /** SIP messages that wait for one instance. */
  sipMessagesPerInstanceMax: 100,
  /** How long a SIP message is recognised when it comes again, ms (64·T1, RFC 3261 §17.1.2.2). */
  sipRepeatMsMax: 32_000,
  /** SIP messages that are remembered to recognise repeats. */
  sipRepeatsMax: 100_000,
  /** Longest key of the store, bytes (LMDB's own limit is 1,978). */
  storeKeyBytesMax: 1_536,
  /** Subscriptions of one session. */
  subscriptionsPerSessionMax: 1_000,
  /** Between two looks at the figures below `$SYS/`, while somebody subscribes to them, ms. */
  sysIntervalMs: 10_000,
  /** Levels of a topic name or filter. */
  topicDepthMax: 64,
  /** Topic name or filter, bytes of UTF-8. */
  topicBytesMax: 1_024,
  /** Topics whose matching subscribers are remembered. */
  topicCacheMax: 10_000,
  /** Users made by requests, and users with bindings. */
  usersMax: 100_000,
  /** Messages held in memory for sessions that end with their connection, bytes over all of them. */
  volatileBytesMax: 256 * 1024 * 1024,
  /** How long a device counts as awake after a wake or a packet of its own, if it says nothing else, ms. */
  wakeWindowMs: 10_000,
  /** Longest window that a device may name, ms. */
  wakeWindowMsMax: 600_000,
  /** After a start, how long devices have to come back before their wills are published, ms. */
  willGraceMs: 30_000,
  /** Bytes of deliveries handed out in one turn: a full socket is noticed between turns. */
  turnBytesMax: 1024 * 1024,
  /** Events a turn collects before they are let out, in the middle of a read if need be. */
  turnEventsMax: 10_000,
  /** Bytes of QoS 0 messages collected for one flow before they are let out; more is dropped. */
  turnFlowBytesMax: 16 * 1024 * 1024,
  /** Deliveries handed out in one turn before other work gets its chance. */
  turnDeliveriesMax: 500,
  /** Waiting messages passed over in one turn, since they are not asked for, expired or under way. */
  turnLooksMax: 10_000,
  /** Retained messages sent to new subscriptions in one turn, and levels of topics looked at for them. */
  turnRetainedMax: 1_000,
} as const;

/** The same bounds, some of them changed by the operator. */
export type Limits = { readonly [Name in keyof typeof limits]: number };
