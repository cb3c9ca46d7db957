/**
 * Finds where a SIP server is: NAPTR, SRV and address records in the order of RFC 3263 §4, bounded, and remembered as long
 * as the addresses say.
 *
 * Node tells the time to live of addresses only; those of NAPTR and SRV are taken to be no longer. Names that DNS does not
 * know are asked of the host, too, which may have them in a file.
 */
import { lookup } from 'node:dns/promises';
import type { NaptrRecord, RecordWithTtl, SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { ResolvedTarget, SipTransport } from '@wakeline/core/session/sip';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import type { ResolvedTargets, ResolveRequest } from './sip-side.js';

/** What is asked of the host; each rejects when there is nothing. */
export interface DnsClient {
  naptr(name: string): Promise<NaptrRecord[]>;
  srv(name: string): Promise<SrvRecord[]>;
  addresses(name: string): Promise<RecordWithTtl[]>;
}

export interface SipResolverOptions {
  readonly dns?: DnsClient;
  readonly limits: Pick<
    RuntimeLimits,
    | 'sipResolveMs'
    | 'sipResolvesMax'
    | 'sipResolvedTargetsMax'
    | 'sipResolvedNamesMax'
    | 'sipResolvedMsMax'
    | 'sipUnresolvedMs'
  >;
  /** Monotonic ms. */
  readonly nowMs: () => number;
  /** 0 … 1, for the weights of SRV. */
  readonly random: () => number;
  readonly log: Log;
}

interface Answer {
  readonly targets: ResolvedTargets;
  readonly expiresMs: number;
}

/** One step of the way: a transport, a name, a port. */
interface Place {
  readonly transport: SipTransport;
  readonly host: string;
  readonly port: number;
}

/** RFC 3263 §4.1: services of NAPTR, and what they ask SRV for. */
const services: Readonly<Record<string, SipTransport>> = {
  'sips+d2t': 'tls',
  'sip+d2t': 'tcp',
  'sip+d2u': 'udp',
};
const srvPrefixes = { tls: '_sips._tcp', tcp: '_sip._tcp', udp: '_sip._udp' } as const;
type DnsTransport = keyof typeof srvPrefixes;

export class SipResolver {
  readonly #options: SipResolverOptions;
  readonly #dns: DnsClient;
  /** Oldest first. */
  readonly #known = new Map<string, Answer>();
  readonly #underWay = new Map<string, Promise<ResolvedTargets>>();

  constructor(options: SipResolverOptions) {
    this.#options = options;
    this.#dns = options.dns ?? hostDns(options.limits.sipResolveMs);
  }

  /** In the order in which they are to be tried; empty: nothing was found, or too much is asked. */
  readonly resolve = (request: ResolveRequest): Promise<ResolvedTargets> => {
    const { host, port, transport, isSecure } = request;
    const key = `${host.toLowerCase()} ${port ?? ''} ${transport ?? ''} ${isSecure}`;
    const known = this.#known.get(key);
    if (known !== undefined && known.expiresMs > this.#options.nowMs()) return Promise.resolve(known.targets);
    const before = this.#underWay.get(key);
    if (before !== undefined) return before;
    if (this.#underWay.size >= this.#options.limits.sipResolvesMax) {
      this.#options.log.warn({ reason: 'sipResolvesMax' }, 'name of a SIP server not looked for');
      return Promise.resolve([]);
    }
    const asked = this.#find(request, key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asked);
    return asked;
  };

  async #find(request: ResolveRequest, key: string): Promise<ResolvedTargets> {
    const { limits, log, nowMs } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), limits.sipResolveMs);
    });
    const found = await Promise.race([this.#search(request).catch(() => undefined), late]);
    clearTimeout(timer);
    const targets = found?.targets ?? [];
    if (targets.length === 0) log.info({ host: request.host }, 'name of a SIP server not found');
    const keptMs =
      found === undefined || targets.length === 0
        ? limits.sipUnresolvedMs
        : Math.min(Math.max(found.ttlSeconds, 1) * 1_000, limits.sipResolvedMsMax);
    this.#known.delete(key);
    this.#known.set(key, { targets, expiresMs: nowMs() + keptMs });
    if (this.#known.size > limits.sipResolvedNamesMax) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return targets;
  }

  async #search(
    request: ResolveRequest,
  ): Promise<{ readonly targets: readonly ResolvedTarget[]; readonly ttlSeconds: number }> {
    const places = await this.#places(request);
    const targets: ResolvedTarget[] = [];
    let ttlSeconds = Infinity;
    for (const { transport, host, port } of places) {
      for (const { address, ttl } of await this.#dns.addresses(host).catch(() => [])) {
        if (targets.length >= this.#options.limits.sipResolvedTargetsMax) break;
        targets.push({ transport, remote: { address, port } });
        ttlSeconds = Math.min(ttlSeconds, ttl);
      }
    }
    return { targets, ttlSeconds };
  }

  async #places({ host, port, transport, isSecure }: ResolveRequest): Promise<readonly Place[]> {
    const named = transport ?? (isSecure ? 'tls' : undefined);
    // RFC 3263 §4.2: a port leaves nothing for SRV to say. §4.1: UDP unless something else is named.
    if (port !== undefined) return [{ transport: named ?? 'udp', host, port }];
    if (named !== undefined && !(named in srvPrefixes)) {
      return [{ transport: named, host, port: named === 'wss' ? 443 : 80 }];
    }
    const asked: readonly (readonly [DnsTransport, string])[] =
      named === undefined || (isSecure && transport === undefined)
        ? await this.#services(host, isSecure)
        : [[named as DnsTransport, `${srvPrefixes[named as DnsTransport]}.${host}`]];
    for (const [one, name] of asked) {
      const records = await this.#dns.srv(name).catch(() => []);
      // RFC 2782: a single "." says that there is no such service.
      const usable = records.filter(({ name: target }) => target !== '' && target !== '.');
      if (usable.length > 0) {
        return sortSrv(usable, this.#options.random).map(({ name: target, port: at }) => {
          return { transport: one, host: target, port: at };
        });
      }
    }
    const fallback = named ?? 'udp';
    return [{ transport: fallback, host, port: fallback === 'tls' ? 5_061 : 5_060 }];
  }

  /** What NAPTR offers, best first; where it offers nothing, all that we speak (RFC 3263 §4.1). */
  async #services(host: string, isSecure: boolean): Promise<readonly (readonly [DnsTransport, string])[]> {
    const records = await this.#dns.naptr(host).catch(() => []);
    const offered = records
      .filter(({ flags, service }) => flags.toLowerCase() === 's' && service.toLowerCase() in services)
      .sort((one, other) => one.order - other.order || one.preference - other.preference)
      .map(
        ({ service, replacement }) => [services[service.toLowerCase()] as DnsTransport, replacement] as const,
      );
    const all = (['tls', 'tcp', 'udp'] as const).map((one) => [one, `${srvPrefixes[one]}.${host}`] as const);
    const usable = offered.length > 0 ? offered : all;
    return isSecure ? usable.filter(([one]) => one === 'tls') : usable;
  }
}

/** RFC 2782: by priority, and within one at random by weight. */
export function sortSrv(records: readonly SrvRecord[], random: () => number): readonly SrvRecord[] {
  const sorted: SrvRecord[] = [];
  const priorities = [...new Set(records.map(({ priority }) => priority))].sort((one, other) => one - other);
  for (const priority of priorities) {
    // Those without weight first, so that they have a small chance.
    const left = records
      .filter((record) => record.priority === priority)
      .sort((one, other) => one.weight - other.weight);
    while (left.length > 0) {
      const drawn = random() * left.reduce((sum, { weight }) => sum + weight, 0);
      let sum = 0;
      const index = left.findIndex(({ weight }) => (sum += weight) >= drawn);
      sorted.push(...left.splice(Math.max(0, index), 1));
    }
  }
  return sorted;
}

/** Time to live of what the host's own file says, seconds. */
const HOSTS_FILE_TTL_SECONDS = 60;

function hostDns(timeoutMs: number): DnsClient {
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 2), tries: 2 });
  return {
    naptr: (name) => resolver.resolveNaptr(name),
    srv: (name) => resolver.resolveSrv(name),
    addresses: async (name) => {
      const [four, six] = await Promise.all([
        resolver.resolve4(name, { ttl: true }).catch(() => []),
        resolver.resolve6(name, { ttl: true }).catch(() => []),
      ]);
      if (four.length + six.length > 0) return [...four, ...six];
      const found = await lookup(name, { all: true });
      return found.map(({ address }) => ({ address, ttl: HOSTS_FILE_TTL_SECONDS }));
    },
  };
}
