/**
 * The table of settings: key in the file, environment variable, flag, default and meaning. docs/configuration.md
 * carries the same table and the schema reads exactly these keys; tests compare all three.
 */
import { limits } from '@wakeline/core/base';
import type { LimitName } from './config.js';

export interface Setting {
  /** Place in the file, levels joined by dots. */
  readonly path: string;
  /** The flag of `wakeline up`, if there is one. */
  readonly flag: string | undefined;
  /** As written in the file; for people. */
  readonly defaultText: string;
  readonly meaning: string;
}

/** Core's limits that an operator may change; the others are bound up with the format on disk. */
export const configurableLimits = [
  'channelsPerDeviceMax',
  'devicesMax',
  'diskFloorBytes',
  'endpointsMax',
  'idempotencyKeysMax',
  'idempotencyMsMax',
  'inboxBytesMax',
  'inboxMessagesMax',
  'inflightMax',
  'messageBytesMax',
  'messageWatchersPerAddressMax',
  'openBatchBytesMax',
  'registersPerAddressMax',
  'receiptMsMax',
  'receiptRecipientsMax',
  'receiptsMax',
  'retainedMessagesMax',
  'retainedBytesMax',
  'subscriptionsPerSessionMax',
  'sysIntervalMs',
  'turnBytesMax',
  'turnDeliveriesMax',
  'volatileBytesMax',
  'willGraceMs',
] as const satisfies readonly LimitName[];

function setting(path: string, flag: string | undefined, defaultText: string, meaning: string): Setting {
  return { path, flag, defaultText, meaning };
}

export const settings: readonly Setting[] = [
  setting('data', '--data', '$XDG_DATA_HOME/wakeline', 'data directory; made when it does not exist'),
  setting(
    'listen',
    '--listen',
    'http://127.0.0.1:8600, mqtt://127.0.0.1:1883',
    'listeners; naming any replaces all of the defaults',
  ),
  setting('tls.cert', '--tls-cert', 'none', 'PEM certificate chain of the https, mqtts and sips listeners'),
  setting('tls.key', '--tls-key', 'none', 'PEM private key of that certificate'),
  setting('insecure', '--insecure', 'false', 'allow public listeners without TLS or credentials'),
  setting('behindProxy', '--behind-proxy', 'none', 'proxies in front, as addresses or address/prefix'),
  setting(
    'publicUrl',
    '--public-url',
    'the first https or http listener',
    'URL by which others reach the HTTP listeners: Web Push endpoints begin with it',
  ),
  setting(
    'anonymousDevices',
    undefined,
    'true on loopback',
    'let MQTT clients in that present no credential',
  ),
  setting('openApi', undefined, 'true on loopback', 'answer the HTTP API without a bearer token'),
  setting('users', undefined, 'none', 'people and programs with a name, a password and access rules'),
  setting('logLevel', '--log-level', 'info', 'silent, error, warn, info or debug'),
  setting('mqtt.packetBytesMax', undefined, '1088KiB', 'largest MQTT packet taken from a client'),
  setting('mqtt.sessionExpiryMax', undefined, 'never', 'longest life of a session without a connection'),
  setting('mqtt.connectTimeout', undefined, '10s', 'from accepting a connection to its finished CONNECT'),
  setting('mqtt.serverKeepAlive', undefined, "the client's", 'keep alive told to MQTT 5 clients'),
  setting('mqtt.keepAliveMax', undefined, "the client's", 'longest keep alive of an MQTT 5 client'),
  setting('mqtt.keepAliveRequired', undefined, 'false', 'no keep alive counts as mqtt.keepAliveMax'),
  setting('mqtt.silenceMax', undefined, 'off', 'silence of a 3.1.1 client on a path that is watched'),
  setting('mqtt.tcpKeepAlive', undefined, '240s', 'silence after which TCP keepalives are sent; off'),
  setting('webpush.broadcasts', undefined, 'none', 'file with a map from broadcast ids to versions'),
  setting('webpush.pingAfter', undefined, '35m', 'silence after which a user agent is pinged; off'),
  setting(
    'webpush.newAgentsPerAddressMax',
    undefined,
    '1000',
    'new user agents from one address each minute',
  ),
  setting('webpush.newAgentsMax', undefined, '60000', 'new user agents of all addresses each minute'),
  setting('sip.domains', undefined, 'none', 'domains of the users of SIP; none: SIP is not spoken'),
  setting('sip.users', undefined, 'none', 'users of SIP with an address, a password and devices'),
  setting('sip.challenge', undefined, 'what all passwords have', 'algorithms that every phone is asked for'),
  setting('sip.trunks', undefined, 'none', 'PBXs and providers that calls come from and go to'),
  setting('sip.park', undefined, '45s', 'how long a call waits for a sleeping phone'),
  setting('sip.registrationMin', undefined, '1h', 'shorter registrations are refused with 423'),
  setting('sip.registrationMax', undefined, '24h', 'longer registrations are cut to this'),
  setting('sip.flowTimer', undefined, '672s', 'silence after which a phone pings its connection'),
  setting('sip.pushEndpoints', undefined, 'none', 'push endpoints on private addresses that are allowed'),
  setting('connectionsPerAddressMax', undefined, '10000', 'connections from one address'),
  setting(
    'connectsPerSecondPerAddressMax',
    undefined,
    '1000',
    'new connections from one address each second',
  ),
  setting(
    'connectsPerSecondMax',
    undefined,
    '2000',
    'new connections of all addresses each second; those beyond wait',
  ),
  setting('handshakesMax', undefined, '5000', 'connections that have not finished their CONNECT'),
  setting('lines', '--lines', '0', 'processes that hold the connections, beside one that keeps the messages'),
  setting(
    'restartFlowsPerSecond',
    undefined,
    '100',
    'connections closed each second when the lines are restarted',
  ),
  ...configurableLimits.map((name) =>
    setting(`limits.${name}`, undefined, String(limits[name]), 'see docs/limits.md'),
  ),
];

/** `mqtt.packetBytesMax` is `WAKELINE_MQTT_PACKET_BYTES_MAX`. */
export function environmentName(path: string): string {
  return `WAKELINE_${path
    .replaceAll('.', '_')
    .replaceAll(/([a-z\d])([A-Z])/g, '$1_$2')
    .toUpperCase()}`;
}

/** Variables beginning with WAKELINE_ that are no settings of the server but have a meaning elsewhere. */
export const foreignVariables = [
  'WAKELINE_CONFIG',
  'WAKELINE_DEBUG',
  'WAKELINE_SERVER',
  'WAKELINE_TOKEN',
] as const;

/**
 * `WAKELINE_SERVICE_HOST`, `WAKELINE_PORT_8600_TCP` and the like are put into every container by Kubernetes
 * beside a service named `wakeline`; sleepbox and the SDK have names of their own.
 */
export const foreignVariablePattern =
  /^WAKELINE_(SERVICE_(HOST|PORT)|PORT$|PORT_\d+_|SLEEPBOX|BOX|DEVICE_|WAKE_|TEST_|BENCH_|DEMO_)/;
