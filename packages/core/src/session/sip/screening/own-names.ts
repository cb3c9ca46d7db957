/** What is ours: domains, the addresses of listeners, and the Vias and Routes that name them. */
import { canonicalHost, type NameAddr, type SipUri, type Via } from '../../../wire/sip/index.js';
import type { PlaceTokens, SignedPlace } from '../proxy/place.js';
import type { SipRefusal } from './refusals.js';
import type { SipStackOptions } from '../options.js';

const defaultPort = 5060;
const secureDefaultPort = 5061;

/** What the Routes of a request say, from the top as far as they are ours. */
export interface OwnRoutes {
  /** How many values were ours. */
  readonly count: number;
  /** Those with a token, at most two: the side that it comes from, and the one that it goes to. */
  readonly places: readonly SignedPlace[];
  /** Values that follow and are of others. */
  readonly others: readonly NameAddr[];
}

export class OwnNames {
  readonly #domains: ReadonlySet<string>;
  /** `host:port` of the listeners. */
  readonly #addresses: ReadonlySet<string>;
  readonly #hosts: ReadonlySet<string>;
  readonly #tokens: PlaceTokens;

  constructor(options: SipStackOptions, tokens: PlaceTokens) {
    this.#domains = new Set(options.domains);
    this.#addresses = new Set(
      options.listeners.map(({ advertised: { host, port } }) => `${canonicalHost(host)}:${port}`),
    );
    this.#hosts = new Set(options.listeners.map(({ advertised }) => canonicalHost(advertised.host)));
    this.#tokens = tokens;
  }

  isDomain(host: string): boolean {
    return this.#domains.has(canonicalHost(host));
  }

  /** The URI names one of our listeners. */
  isAddress(uri: SipUri): boolean {
    const isSecure = uri.scheme === 'sips' || uri.params.get('transport')?.toLowerCase() === 'tls';
    return this.#has(uri.host, uri.port, isSecure);
  }

  /** The URI names us, by a domain or an address. */
  isOwn(uri: SipUri): boolean {
    return this.isDomain(uri.host) || this.isAddress(uri);
  }

  /** A host of ours, whatever the port: PBXs write the address that they send to, and leave the port out. */
  isHost(host: string): boolean {
    return this.isDomain(host) || this.#hosts.has(canonicalHost(host));
  }

  isOwnVia(via: Via): boolean {
    return this.#has(via.host, via.port, via.transport === 'TLS' || via.transport === 'WSS');
  }

  /** Reads the Routes of a request with this Call-ID, whose URIs have been checked to be well-formed. */
  readRoutes(routes: readonly NameAddr[], callId: string): OwnRoutes | SipRefusal {
    const places: SignedPlace[] = [];
    let count = 0;
    for (const { uri } of routes) {
      // Two belong to one dialog; what follows would be of another that leads through us again.
      if (places.length === 2 || uri?.kind !== 'sip' || !this.isOwn(uri)) break;
      if (uri.user !== undefined) {
        const place = this.#tokens.read(uri.user, callId);
        if (place === undefined) return 'sip-token';
        places.push(place);
      }
      count += 1;
    }
    return { count, places, others: routes.slice(count) };
  }

  #has(host: string, port: number | undefined, isSecure: boolean): boolean {
    const effective = port ?? (isSecure ? secureDefaultPort : defaultPort);
    return this.#addresses.has(`${canonicalHost(host)}:${effective}`);
  }
}
