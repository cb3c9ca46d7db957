/**
 * How requests and responses look when they leave: what a proxy must change in them (RFC 3261 §16.6, §16.7), and nothing
 * else. Whatever is not named here goes on byte for byte.
 */
import {
  formatSipUri,
  formatVia,
  MessageEditor,
  withoutUriParameters,
  type NameAddr,
  type SipRequest,
  type SipResponse,
} from '../../wire/sip/index.js';
import type { SentBy } from './edge-types.js';
import type { SipListener } from './machine.js';
import { isPushParameter } from './registrar/contacts.js';

export interface ForwardedRequest {
  readonly branch: string;
  readonly sentBy: SentBy;
  /** undefined: as it came. */
  readonly requestUri?: string | undefined;
  /** Values of ours that have been read and are taken from the top of Route. */
  readonly routesRemoved?: number;
  /** Route values to go on top, first one first. */
  readonly routes?: readonly string[];
  /** Record-Route values, the topmost last. */
  readonly recordRoutes?: readonly string[];
  /** Domains whose credentials were for us. */
  readonly realms: readonly string[];
  readonly mayAssertIdentity: boolean;
  /** RFC 5393 §5.3.3; undefined: not said. */
  readonly breadth?: number | undefined;
  /** Lines below all others, name and value. */
  readonly extra?: readonly (readonly [name: string, value: string])[];
}

export function forwardRequest(request: SipRequest, forwarded: ForwardedRequest): Uint8Array {
  const editor = new MessageEditor(request);
  if (forwarded.requestUri !== undefined) editor.setRequestUri(forwarded.requestUri);
  editor.decrementMaxForwards();
  for (let count = 0; count < (forwarded.routesRemoved ?? 0); count++) editor.removeFirst('Route');
  for (const route of (forwarded.routes ?? []).toReversed()) editor.prepend('Route', route);
  for (const value of forwarded.recordRoutes ?? []) editor.prepend('Record-Route', value);
  if (!forwarded.mayAssertIdentity) editor.removeAll('P-Asserted-Identity');
  removeCredentials(editor, request, forwarded.realms);
  if (forwarded.breadth !== undefined) editor.replace('Max-Breadth', String(forwarded.breadth));
  stripContacts(editor, request);
  for (const [name, value] of forwarded.extra ?? []) editor.append(name, value);
  editor.pushVia(viaOf(forwarded.sentBy, forwarded.branch));
  return editor.serialize();
}

/** The same response, on its way back: without the Via that was ours. */
export function forwardResponse(
  response: SipResponse,
  extra: readonly (readonly [name: string, value: string])[] = [],
): Uint8Array {
  const editor = new MessageEditor(response);
  editor.popVia();
  stripContacts(editor, response);
  for (const [name, value] of extra) editor.append(name, value);
  return editor.serialize();
}

export function viaOf({ transport, host, port }: SentBy, branch: string): string {
  const params = transport === 'udp' ? new Map([['rport', undefined]]) : undefined;
  return formatVia({ transport: transport.toUpperCase(), host, port, branch, params });
}

/** The Record-Route value that names us at a listener: `sips` where the request goes by secure transports alone. */
export function recordRouteOf(sentBy: SentBy, token: string, requestUri: string): string {
  const isSecure = sentBy.transport === 'tls' || sentBy.transport === 'wss';
  // RFC 5630 §3.1.3
  const scheme = isSecure && /^sips:/i.test(requestUri) ? 'sips' : 'sip';
  return `<${ownUri(sentBy, token, true, scheme)}>`;
}

/** What names us at a listener, in Route, Record-Route and Contact. */
export function ownUri(
  { transport, host, port }: SentBy,
  user: string | undefined,
  isRoute: boolean,
  scheme: 'sip' | 'sips' = 'sip',
): string {
  const params = new Map<string, string | undefined>();
  // RFC 7118 §5.2: `ws` stands for both.
  // Of `sips` the transport is TCP, below its TLS.
  if (scheme === 'sips' && transport === 'tls') params.set('transport', 'tcp');
  else if (transport !== 'udp') params.set('transport', transport === 'wss' ? 'ws' : transport);
  if (isRoute) params.set('lr', undefined);
  return formatSipUri({ scheme, user, host, port, params });
}

export function sentByOf(listener: SipListener): SentBy {
  return { transport: listener.transport, ...listener.advertised };
}

/** RFC 3261 §22.3: what a proxy has asked for it takes out, what others have asked for it leaves. */
function removeCredentials(editor: MessageEditor, request: SipRequest, realms: readonly string[]): void {
  for (const name of ['Proxy-Authorization', 'Authorization']) {
    if (!request.has(name)) continue;
    const values = request.headers(name);
    const others = values.filter((value) => {
      const realm = /[\s,]realm[ \t]*=[ \t]*"([^"]*)"/i.exec(value)?.[1];
      return realm === undefined || !realms.includes(realm.toLowerCase());
    });
    if (others.length === values.length) continue;
    editor.removeAll(name);
    for (const value of others) editor.append(name, value);
  }
}

/** RFC 8599 §5.3: push parameters are between a phone and its registrar. */
function stripContacts(editor: MessageEditor, message: SipRequest | SipResponse): void {
  const { contacts } = message;
  if (contacts === undefined || contacts === '*' || !contacts.some(hasPushParameter)) return;
  editor.replace('Contact', contacts.map(withoutPush).join(', '));
}

function hasPushParameter({ uri }: NameAddr): boolean {
  return uri?.kind === 'sip' && [...uri.params.keys()].some(isPushParameter);
}

function withoutPush(contact: NameAddr): string {
  const { uri } = contact;
  if (uri?.kind !== 'sip') return contact.text;
  const stripped = withoutUriParameters(uri, isPushParameter);
  return contact.text.replace(contact.uriText, () => stripped);
}
