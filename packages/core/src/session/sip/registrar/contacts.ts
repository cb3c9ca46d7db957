/**
 * What a REGISTER asks for: its Contacts as changes of bindings (RFC 3261 §10.3, RFC 5626 §6, RFC 3327, RFC 8599).
 *
 * Reads and judges one request; knows nothing of what is bound.
 */
import type { BindingChange, PushRoute } from '../../../domain/index.js';
import {
  withoutUriParameters,
  type NameAddr,
  type SipRequest,
  type SipUri,
} from '../../../wire/sip/index.js';
import type { SipRefusal } from '../screening/refusals.js';

export interface ContactRules {
  readonly contactsMax: number;
  readonly routesMax: number;
  readonly secondsMin: number;
  readonly secondsMax: number;
  /** For contacts that say no time, seconds. */
  readonly secondsDefault: number;
  /** The session's name of the flow, if it outlives a restart. */
  readonly place: string | undefined;
}

export interface Registration {
  readonly changes: readonly BindingChange[];
  readonly removeAll: boolean;
  /** The Contact values as they came, beside the changes. */
  readonly contacts: readonly NameAddr[];
  /** Some binding follows RFC 5626. */
  readonly isOutbound: boolean;
  /** The phone asks which push services there are, or uses one. */
  readonly wantsPush: boolean;
}

export interface ContactFault {
  readonly refusal: SipRefusal;
  /** Reason phrase, where the refusal's own says too little. */
  readonly detail: string | undefined;
}

/** RFC 8599 §14: of a Contact URI, and nothing that others are to see. */
export function isPushParameter(name: string): boolean {
  return name.startsWith('pn-');
}

function fault(detail: string): ContactFault {
  return { refusal: 'sip-bad-request', detail };
}

export function readRegistration(request: SipRequest, rules: ContactRules): Registration | ContactFault {
  const { contacts } = request;
  if (contacts === undefined) return fault('Malformed Contact');
  const paths = request.paths;
  if (paths === undefined) return fault('Malformed Path');
  if (paths.length > rules.routesMax) return fault('Too Many Path Values');
  const nothing = { changes: [], contacts: [], isOutbound: false, wantsPush: false };
  if (contacts === '*') {
    // RFC 3261 §10.2.2: with Expires: 0 alone.
    if (request.expires !== 0) return fault('Contact * Without Expires: 0');
    return { ...nothing, removeAll: true };
  }
  if (contacts.length > rules.contactsMax) return fault('Too Many Contacts');
  const changes: BindingChange[] = [];
  const regIds = new Set<string>();
  let isOutbound = false;
  let wantsPush = false;
  for (const contact of contacts) {
    const change = readContact(request, contact, rules);
    if ('refusal' in change) return change;
    if (change.regId > 0) {
      isOutbound ||= change.expiresSeconds > 0;
      // RFC 5626 §6: one contact with a reg-id, or the intent is unclear.
      const key = `${change.instance}\0${change.regId}`;
      if (regIds.has(key)) return fault('Two Contacts With One reg-id');
      regIds.add(key);
    }
    wantsPush ||= (contact.uri as SipUri).params.has('pn-provider');
    changes.push(change);
  }
  return { changes, removeAll: false, contacts, isOutbound, wantsPush };
}

function readContact(
  request: SipRequest,
  contact: NameAddr,
  rules: ContactRules,
): BindingChange | ContactFault {
  const { uri } = contact;
  if (uri === undefined || uri.kind !== 'sip') return fault('Contact Is Not A SIP URI');
  const expiresText = contact.params.get('expires');
  // RFC 3261 §10.3 step 7; a malformed value counts as the default.
  const expires = expiresText === undefined ? request.expires : parseSeconds(expiresText);
  const asked = expires ?? rules.secondsDefault;
  // RFC 3261 §10.3: only what is shorter than an hour may be refused as too brief.
  if (asked > 0 && asked < Math.min(rules.secondsMin, 3_600)) {
    return { refusal: 'sip-brief-registration', detail: undefined };
  }
  const push = readPush(uri);
  if (push !== undefined && 'refusal' in push) return push;
  const instanceText = contact.params.get('+sip.instance');
  const instance = instanceText === undefined ? '' : instanceText.replace(/^<(.*)>$/, '$1');
  const hasInstanceId = instance !== '';
  const bare = withoutUriParameters(uri, isPushParameter);
  const regId = hasInstanceId ? readRegId(request, contact) : 0;
  if (regId === undefined) return fault('Malformed reg-id');
  if (regId > 0 && !firstHopIsOutbound(request)) return { refusal: 'sip-outbound-hops', detail: undefined };
  return {
    instance: hasInstanceId ? instance : bare,
    hasInstanceId,
    regId,
    contact: bare,
    path: request.paths!.map((path) => path.text),
    push: push?.route,
    userAgent: request.header('User-Agent')?.slice(0, 256),
    place: rules.place,
    expiresSeconds: asked === 0 ? 0 : Math.min(asked, rules.secondsMax),
  };
}

function parseSeconds(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** 0: the phone does not use RFC 5626; it needs the option tag beside the parameter (§6). */
function readRegId(request: SipRequest, contact: NameAddr): number | undefined {
  const text = contact.params.get('reg-id');
  if (text === undefined || !request.supported.includes('outbound')) return 0;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value < 2 ** 31 ? value : undefined;
}

/** RFC 5626 §6: a request that came by others needs a Path whose first hop keeps the flow. */
function firstHopIsOutbound(request: SipRequest): boolean {
  const viaCount = request.vias?.length ?? 1;
  if (viaCount <= 1) return true;
  // The last Path value is the first hop's.
  const uri = request.paths?.at(-1)?.uri;
  return uri?.kind === 'sip' && uri.params.has('ob');
}

function readPush(uri: SipUri): { route: PushRoute | undefined } | ContactFault | undefined {
  if (!uri.params.has('pn-provider')) return undefined;
  const provider = uri.params.get('pn-provider') ?? '';
  // RFC 8599 §4.1: without a value it asks what there is.
  if (provider === '') return { route: undefined };
  if (provider !== 'webpush') return { refusal: 'sip-push-service', detail: undefined };
  const resource = uri.params.get('pn-prid') ?? '';
  if (resource === '') return { route: undefined };
  if (!/^https:\/\/[^\s/]+\S*$/.test(resource)) {
    return { refusal: 'sip-push-service', detail: 'pn-prid Is Not An https URL' };
  }
  return { route: { provider, resource } };
}
