/**
 * The bounds of the process that holds the sockets. Those an operator may want to change are in the configuration
 * (`connectionsPerAddressMax`, `connectsPerSecondPerAddressMax`, `handshakesMax`); docs/limits.md lists both.
 */
import { mqttLimits } from '@wakeline/core/session/mqtt';

export const runtimeLimits = {
  /** Connections that the host completes before the server accepts them; it refuses or ignores those beyond. */
  acceptBacklog: 4_096,
  /** Commands of one session that the hub takes before its answers are looked at and, when they are many, let out. */
  commandsPerSliceMax: 64,
  /** Seconds' worth of connects that an address may save up and then make at once. */
  connectBurstSeconds: 10,
  /** Addresses whose connects are counted, beyond those connected now; the oldest count is forgotten first. */
  connectAddressesMax: 65_536,
  /** Connections that wait for their turn when more come than `connectsPerSecondMax`; one beyond is closed. */
  connectQueueMax: 10_000,
  /** Connects that were not made and may be made at once later, ms' worth. */
  connectsSavedMs: 100,
  /** Between two batches of connections whose turn has come, ms. */
  connectTickMs: 10,
  /** Between two looks at the file of broadcasts for a newer one, ms. */
  broadcastsPollMs: 10_000,
  /** Connections where the host does not tell how many descriptors there are; those beyond are closed on accept. */
  connectionsMaxUnknown: 10_000,
  /** File descriptors kept for the store, HTTP and the host; sockets beyond the rest are closed on accept. */
  descriptorReserve: 256,
  /** Share of the floor by which free space must exceed it before new messages are taken again. */
  diskHysteresisShare: 0.25,
  /** Between two looks at the free space, ms. */
  diskPollMs: 1_000,
  /** Wrong passwords of one address within {@link loginWindowMs} after which it is refused without hashing. */
  failedLoginsMax: 20,
  /** Addresses whose wrong passwords are remembered; the oldest is forgotten first. */
  failedLoginAddressesMax: 65_536,
  /** QoS 1 and 2 messages of one MQTT 5 client under way at once; told to it as Receive Maximum. */
  inboundInflightMax: 1_000,
  /** An ended flow's last bytes may take this long to leave, ms; then the socket is destroyed. */
  lingerMs: 5_000,
  /** How long a line remembers acknowledgements, ms: a hub that is killed may not have written them. */
  linkAcknowledgementsKeptMs: 1_000,
  /** Bytes of commands that wait in a line for its hub, over all flows; beyond, nothing is read from devices. */
  linkAwayBytesMax: 16 * 1024 * 1024,
  /** Bytes of commands of one flow that wait for the hub; beyond, the flow is not read. */
  linkAwayFlowBytesMax: 64 * 1024,
  /** Requests wait so long for a hub that is away, ms; then they are refused with `hub-away`. */
  linkAwayRequestMs: 5_000,
  /** Bytes of a frame between line and hub at which another one is begun. */
  linkFlushBytes: 64 * 1024,
  /** Bytes of one frame between line and hub: the largest packet there can be; a longer one ends the link. */
  linkFrameBytesMax: 272 * 1024 * 1024,
  /** How long a hub that leaves waits for its lines to send what they have, ms. */
  linkLeaveMs: 2_000,
  /** How long a line may take to tell its figures, ms; then the others' are shown without them. */
  linkMetricsMs: 1_000,
  /** Between two attempts of a line to find its hub, ms. */
  linkRetryMs: 100,
  /** Unsent bytes between line and hub at which a line reads no more, or the hub hands a line nothing more. */
  linkUnsentBytesMax: 1024 * 1024,
  /** Unsent bytes at which the hub cuts a line off. */
  linkUnsentBytesFatal: 128 * 1024 * 1024,
  /** Time in which the wrong passwords of an address are counted, ms. */
  loginWindowMs: 60_000,
  /** HTTP request line and headers, bytes; beyond, 431. */
  httpHeaderBytesMax: 16 * 1024,
  /** From the first byte of an HTTP request to the end of its headers, ms; then 408. */
  httpHeadersMs: 10_000,
  /** From the first byte of an HTTP request to its end, ms; then 408. The API's own limit normally acts first. */
  httpRequestMs: 60_000,
  /** An HTTP connection without a request is closed after this, ms. */
  httpKeepAliveMs: 15_000,
  /** An HTTP connection on which nothing moves is closed after this, ms. */
  httpSilenceMs: 60_000,
  /** Password checks that wait for the one under way; a connect beyond is refused with `quota-exceeded`. */
  passwordQueueMax: 64,
  /** Bytes of a password that are hashed; a longer one is wrong. */
  passwordBytesMax: 1_024,
  /** A PROXY protocol v2 header with its extensions, bytes; a longer one is refused. */
  proxyHeaderBytesMax: 4_096,
  /** Requests of HTTP and the server itself that wait for the hub's reply; beyond, `quota-exceeded`. */
  requestsWaitingMax: 10_000,
  /** Before a process that died at once is started again, ms; doubled each time, up to {@link restartDelayMsMax}. */
  restartDelayMs: 1_000,
  restartDelayMsMax: 30_000,
  /** A process that lives so long after it was ready did not die at once, ms. */
  restartLivedMs: 2_000,
  /** From asking a host for a connection of SIP to having it, TLS included, ms. */
  sipConnectMs: 5_000,
  /** One WebSocket message with SIP; a longer one is answered with close 1009. */
  sipWebSocketBytesMax: 128 * 1024,
  /** Connections of SIP that are being made at the same time; one beyond fails at once. */
  sipConnectsMax: 256,
  /** A name of a SIP server must be found by then, ms; then it is not found. */
  sipResolveMs: 4_000,
  /** Names of SIP servers that are looked for at the same time; one beyond is not found. */
  sipResolvesMax: 64,
  /** Places that one name stands for; further ones are not tried. */
  sipResolvedTargetsMax: 16,
  /** Names whose places are remembered; the oldest is forgotten first. */
  sipResolvedNamesMax: 1_024,
  /** Places of a name are remembered no longer than this, whatever DNS says, ms. */
  sipResolvedMsMax: 300_000,
  /** That a name was not found is remembered so long, ms. */
  sipUnresolvedMs: 5_000,
  /** Unsent bytes of one connection of SIP at which it is closed. */
  sipUnsentBytesMax: 512 * 1024,
  /** What the host may keep of datagrams that were not read yet, bytes. */
  sipReceiveBufferBytes: 1024 * 1024,
  /** When the server leaves, phones and trunks are answered 503 for so long before their connections close, ms. */
  sipLeaveMs: 1_000,
  /** A flow whose peer takes none of its unsent bytes for this long is ended, ms. */
  stallMs: 30_000,
  /** A stop may take this long with stuck sockets, ms; then they are destroyed and the store is closed. */
  stopMs: 8_000,
  /** Between two sweeps over all flows for deadlines and stalled peers, ms. */
  sweepMs: 1_000,
  /** Parts in which a sweep is made. */
  sweepParts: 20,
  /** Unanswered TCP keepalives after which a connection ends. */
  tcpKeepAliveCountMax: 5,
  /** Between two TCP keepalives that are not answered, ms: whoever has no coverage for a lift ride keeps the line. */
  tcpKeepAliveIntervalMs: 30_000,
  /** The program that sets the options of a listening socket must be done by then, ms; else the next way is tried. */
  tcpKeepAliveProgramMsMax: 5_000,
  /** From the accepted socket to the end of the TLS handshake, ms; then it is closed. */
  tlsHandshakeMs: 10_000,
  /** Between two looks at the certificate files for a newer certificate, ms. */
  tlsReloadPollMs: 10_000,
  /** Unsent bytes of one flow at which the hub stops handing it messages until they are gone. */
  unsentBytesMax: 128 * 1024,
  /** Bytes added to a flow that is full already (answers, mostly) at which it is ended at once. */
  unsentBytesFatal: 16 * 1024 * 1024,
  /** A push to a foreign endpoint must be answered by then, ms. */
  wakePushMs: 5_000,
  /** Pushes to one host of foreign endpoints at the same time; others wait. */
  wakePushesPerHostMax: 8,
  /** Pushes to all foreign endpoints at the same time; others wait. */
  wakePushesMax: 64,
  /** Pushes to foreign endpoints that wait; one beyond fails at once. */
  wakePushesWaitingMax: 10_000,
  /** Bytes of an answer to a push that are taken and thrown away; beyond, the connection is closed. */
  wakePushReplyBytesMax: 16 * 1024,
  /** Bytes by which a WebSocket message may exceed the largest packet (it may carry several); beyond, close 1009. */
  webSocketSlackBytes: 64 * 1024,
  /** Bytes of a WebSocket before its device is let in: the largest CONNECT, and as much for frames and early packets. */
  webSocketUnopenedBytesMax: 2 * mqttLimits.connectPacketBytesMax,
} as const;

/** All limits by name; tests give smaller ones. */
export type RuntimeLimits = { readonly [Name in keyof typeof runtimeLimits]: number };
