/** What a new request is for: a user of ours, us, or a trunk by a rule that names it (RFC 3261 §16.5). Nothing else. */
import { canonicalHost, formatSipUri, type SipRequest, type SipUri } from '../../../wire/sip/index.js';
import type { Aor } from '../../../domain/index.js';
import type { StackContext } from '../context.js';
import type { OwnNames } from '../screening/own-names.js';
import type { SipRefusal } from '../screening/refusals.js';
import type { Trunk, Trunks } from './trunks.js';

export type Target =
  | { readonly kind: 'user'; readonly aor: Aor }
  /** The server itself. */
  | { readonly kind: 'self' }
  | { readonly kind: 'trunk'; readonly trunk: Trunk; readonly requestUri: string }
  | { readonly kind: 'refused'; readonly refusal: SipRefusal };

export class Targets {
  readonly #context: StackContext;
  readonly #names: OwnNames;
  readonly #trunks: Trunks;

  constructor(context: StackContext, names: OwnNames, trunks: Trunks) {
    this.#context = context;
    this.#names = names;
    this.#trunks = trunks;
  }

  /** @param sender the trunk that sent it; undefined: a user of ours. */
  find(request: SipRequest, sender: Trunk | undefined): Target {
    const uri = request.requestUri as SipUri;
    const { user } = uri;
    const isOurs = this.#names.isHost(uri.host);
    if (isOurs && user === undefined) return { kind: 'self' };
    if (isOurs) {
      const aor = this.#aorsFor(uri, request, sender).find(
        (candidate) => this.#context.options.findUser(candidate) !== undefined,
      );
      if (aor !== undefined) return { kind: 'user', aor };
    }
    // A call that came by a trunk goes to users of ours only: whoever rings in must not ring out at our cost.
    const trunk =
      sender === undefined && user !== undefined
        ? this.#trunks.forTarget(user, canonicalHost(uri.host))
        : undefined;
    if (trunk !== undefined) return { kind: 'trunk', trunk, requestUri: uriAt(trunk, uri, isOurs) };
    return { kind: 'refused', refusal: isOurs ? 'sip-unknown-user' : 'sip-not-served' };
  }

  /** Who may be meant, the likeliest first. */
  #aorsFor(uri: SipUri, request: SipRequest, sender: Trunk | undefined): Aor[] {
    const { domains } = this.#context.options;
    const user = uri.user!;
    const aors = this.#names.isDomain(uri.host)
      ? [`${user}@${uri.host}`]
      : domains.map((domain) => `${user}@${domain}`);
    // A call on the flow that we are registered on is for our Contact there; whom it is for says the To.
    const registered = sender?.options.registration?.address.split('@', 1)[0];
    const to = request.to.uri;
    if (registered === user && to?.kind === 'sip' && to.user !== undefined) {
      aors.unshift(...domains.map((domain) => `${to.user!}@${domain}`));
    }
    return aors;
  }
}

/** A number of our domain is the trunk's to know; any other address goes there as it is. */
function uriAt(trunk: Trunk, uri: SipUri, isOurs: boolean): string {
  if (!isOurs) return uri.text;
  const { host, port, scheme } = trunk.uri;
  return formatSipUri({ scheme, user: uri.user, host, port });
}
