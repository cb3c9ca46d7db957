/** What must be right about a request before anybody asks who sent it (RFC 3261 §16.3, RFC 5393 §4). */
import { echoOf, type SipRequest } from '../../../wire/sip/index.js';
import type { SipLimits } from '../limits.js';
import type { SipRefusal } from './refusals.js';

export interface SyntaxFault {
  readonly refusal: SipRefusal;
  /** Reason phrase, where the refusal's own says too little. */
  readonly detail?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

export interface SyntaxRules {
  readonly limits: Pick<SipLimits, 'echoBytesMax' | 'echoLinesMax' | 'routesMax'>;
  /** Whether the request was here before with the same target: RFC 5393 §4.2. */
  isLoop(request: SipRequest): boolean;
}

function bad(detail: string): SyntaxFault {
  return { refusal: 'sip-bad-request', detail };
}

/** undefined: nothing is wrong. */
export function checkSyntax(request: SipRequest, rules: SyntaxRules): SyntaxFault | undefined {
  const { requestUri } = request;
  const echo = echoOf(request);
  if (echo.bytes > rules.limits.echoBytesMax || echo.lines > rules.limits.echoLinesMax) {
    return { refusal: 'sip-echo-too-large' };
  }
  // RFC 3261 §16.3 step 1, §8.2.2.1.
  if (request.cseq.method !== request.method) return bad('CSeq Method Does Not Match');
  if (requestUri === undefined) return bad('Malformed Request-URI');
  if (request.from.uri === undefined) return bad('Malformed From URI');
  if (request.to.uri === undefined) return bad('Malformed To URI');
  if (request.vias === undefined) return bad('Malformed Via');
  if (requestUri.kind === 'other') return { refusal: 'sip-scheme' };
  // RFC 3261 §19.1.1: they are for those who make requests of URIs.
  if (requestUri.headers !== undefined) return bad('Headers In Request-URI');
  const { routes } = request;
  if (routes === undefined || routes.some(({ uri }) => uri === undefined)) return bad('Malformed Route');
  if (routes.length > rules.limits.routesMax) return bad('Too Many Routes');
  if (request.recordRoutes === undefined) return bad('Malformed Record-Route');
  if (request.has('Max-Forwards') && request.maxForwards === undefined) return bad('Malformed Max-Forwards');
  if (request.maxForwards === 0 && request.method !== 'OPTIONS') return { refusal: 'sip-too-many-hops' };
  if (rules.isLoop(request)) return { refusal: 'sip-loop' };
  const { proxyRequires } = request;
  // No extension is asked of us as a proxy that is supported.
  if (proxyRequires.length > 0) return unsupported(proxyRequires);
  return undefined;
}

/** Option tags that a request may require of us where we answer it ourselves. */
const supportedTags = ['outbound', 'path'];

/** RFC 3261 §8.2.2.3. */
export function checkRequires(request: SipRequest): SyntaxFault | undefined {
  const unknown = request.requires.filter((tag) => !supportedTags.includes(tag));
  return unknown.length === 0 ? undefined : unsupported(unknown);
}

function unsupported(tags: readonly string[]): SyntaxFault {
  return { refusal: 'sip-bad-extension', headers: [['Unsupported', tags.join(', ')]] };
}
