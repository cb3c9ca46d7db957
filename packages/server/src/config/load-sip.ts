/** Fills in the defaults below `sip`, and checks what joins them with the listeners. */
import { SECOND_MS } from '@wakeline/core/base';
import { passwordAlgorithms } from '@wakeline/core/domain';
import type { PasswordAlgorithm, SipUser } from '@wakeline/core/domain';
import { isSipProtocol } from './config.js';
import type { ListenerConfig, ListenerProtocol, ServerConfig, SipConfig } from './config.js';
import { formatAddress } from './listener-url.js';
import type { ListenerEntry } from './schema.js';
import type { ParsedSipConfig } from './sip-schema.js';

const HOUR_SECONDS = 3_600;

export function completeSip(parsed: ParsedSipConfig): SipConfig {
  const users = parsed?.users ?? [];
  return {
    domains: parsed?.domains ?? [],
    users,
    challenge: challengeOf(parsed?.challenge, users),
    trunks: parsed?.trunks ?? [],
    parkMs: parsed?.park ?? 45 * SECOND_MS,
    registrationSecondsMin: parsed?.registrationMin ?? HOUR_SECONDS,
    registrationSecondsMax: parsed?.registrationMax ?? 24 * HOUR_SECONDS,
    flowTimerSeconds: parsed?.flowTimer ?? 672,
    pushEndpoints: parsed?.pushEndpoints ?? [],
  };
}

/** In the order of their strength (RFC 8760 §2.3). By default what all users can answer; of no users, SHA-256. */
function challengeOf(
  named: readonly PasswordAlgorithm[] | undefined,
  users: readonly SipUser[],
): readonly PasswordAlgorithm[] {
  if (named !== undefined) return passwordAlgorithms.filter((algorithm) => named.includes(algorithm));
  if (users.length === 0) return ['sha-256'];
  return passwordAlgorithms.filter((algorithm) => users.every(({ ha1 }) => ha1[algorithm] !== undefined));
}

/** What a listener's entry says for SIP. */
export function sipOf(
  entry: ListenerEntry,
  protocol: ListenerProtocol,
  refuse: (what: string) => void,
): Pick<ListenerConfig, 'advertised' | 'trunksOnly'> {
  const { url, advertise, trunksOnly } = entry;
  const isHttp = protocol === 'http' || protocol === 'https';
  if (advertise !== undefined && !isSipProtocol(protocol) && !isHttp) {
    refuse(`${url} speaks no SIP; advertise is for sip+tcp, sip+udp, sips, http and https`);
  }
  if (trunksOnly && !isSipProtocol(protocol)) {
    refuse(`${url} is for no trunk; trunksOnly is for sip+tcp, sip+udp and sips`);
  }
  return {
    ...(advertise !== undefined && { advertised: { host: advertise.host, port: advertise.port ?? 0 } }),
    ...(trunksOnly && { trunksOnly }),
  };
}

/** Whether none but named machines are served there. */
export function isForTrunksOnly(listener: ListenerConfig, sip: SipConfig): boolean {
  return listener.trunksOnly === true && sip.trunks.some(({ from }) => from.length > 0);
}

/** Everything that is wrong with what stands below `sip`, or stands there without effect. */
export function checkSip(
  config: ServerConfig,
  refuse: (path: readonly PropertyKey[], what: string) => void,
): void {
  const { sip, listeners, lines } = config;
  const sipListener = listeners.find(({ protocol }) => isSipProtocol(protocol));
  const isSpoken = sip.domains.length > 0;
  if (sipListener !== undefined && !isSpoken) {
    const url = `${sipListener.protocol}://${formatAddress(sipListener.host, sipListener.port)}`;
    refuse(['listen'], `${url} needs sip.domains, which says whose users are served`);
  }
  if (isSpoken && lines > 0) {
    refuse(['lines'], 'calls are served by one process: remove lines, or sip.domains and the SIP listeners');
  }
  if (!isSpoken && (sip.users.length > 0 || sip.trunks.length > 0)) {
    refuse(
      ['sip', sip.users.length > 0 ? 'users' : 'trunks'],
      'needs sip.domains, without which there is no SIP',
    );
  }
  for (const { aor } of isSpoken ? sip.users : []) {
    if (sip.domains.includes(aor.slice(aor.lastIndexOf('@') + 1))) continue;
    refuse(['sip', 'users'], `${aor} is of no domain in sip.domains (${sip.domains.join(', ')})`);
  }
  checkChallenge(sip, refuse);
  refuseTwice(
    sip.users.map(({ aor }) => aor),
    (aor) => refuse(['sip', 'users'], `${aor} stands there twice`),
  );
  refuseTwice(
    sip.trunks.map(({ name }) => name),
    (name) => refuse(['sip', 'trunks'], `the trunk ${name} stands there twice; rename one`),
  );
  const addresses = sip.trunks.flatMap(({ from }) => from);
  refuseTwice(addresses, (address) =>
    refuse(['sip', 'trunks'], `${address} is the address of two trunks; whose requests are they?`),
  );
  if (sip.registrationSecondsMin > sip.registrationSecondsMax) {
    refuse(['sip', 'registrationMin'], 'must not be longer than sip.registrationMax');
  }
  const isForTrunks = listeners.some(({ trunksOnly }) => trunksOnly === true);
  if (isForTrunks && !sip.trunks.some(({ from }) => from.length > 0)) {
    refuse(['listen'], 'trunksOnly needs a trunk with addresses in from: nobody else is served there');
  }
}

/** Everybody is asked for the same, so that a challenge tells nothing of a user: everybody must be able to answer. */
function checkChallenge(
  { challenge, users }: SipConfig,
  refuse: (path: readonly PropertyKey[], what: string) => void,
): void {
  if (challenge.length === 0) {
    const what =
      users.length === 0
        ? 'names no algorithm'
        : 'the passwords have no algorithm in common, and all phones are asked for the same: make the lines again, all alike, some or all with --both';
    refuse(users.length === 0 ? ['sip', 'challenge'] : ['sip', 'users'], what);
  }
  for (const algorithm of challenge) {
    const user = users.find(({ ha1 }) => ha1[algorithm] === undefined);
    if (user === undefined) continue;
    refuse(
      ['sip', 'users'],
      `the password of ${user.aor} has no ${algorithm}, by which sip.challenge asks: make the line again, with --both or --md5`,
    );
  }
}

function refuseTwice(names: readonly string[], refuse: (name: string) => void): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuse(twice);
}
