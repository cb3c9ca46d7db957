/** How messages find their transactions (RFC 3261 §17.1.3, §17.2.3), and how a request that came twice shows (§8.2.2.2). */
import { BRANCH_COOKIE, type SipRequest, type SipResponse } from '../../../wire/sip/index.js';
import type { TransactionKey } from '../edge-types.js';

/** Of a client transaction, by the branch of its topmost Via. */
export function clientKey(branch: string, method: string): TransactionKey {
  return `${branch.toLowerCase()} ${method}`;
}

/** Of the client transaction that a response is for; undefined: it has no branch, so it is none of ours. */
export function responseKey(response: SipResponse): TransactionKey | undefined {
  const { branch } = response.topVia;
  return branch === undefined ? undefined : clientKey(branch, response.cseq.method);
}

/**
 * Of the server transaction of a request. `method`: INVITE for its ACK and its CANCEL. Without a branch of RFC 3261 it is
 * matched as that asks for RFC 2543: by Request-URI, From-tag, Call-ID, CSeq and topmost Via. The To-tag is left out: an
 * ACK has that of the response, and a request with another one has another CSeq.
 */
export function serverKey(request: SipRequest, method: string): TransactionKey {
  const { topVia, cseq, from, callId } = request;
  const branch = topVia.branch?.toLowerCase();
  if (branch?.startsWith(BRANCH_COOKIE.toLowerCase()) === true && branch.length > BRANCH_COOKIE.length) {
    return `${branch} ${topVia.sentBy} ${method}`;
  }
  return ['2543', request.uri, from.tag ?? '', callId, cseq.number, topVia.sentBy, branch ?? '', method].join(
    ' ',
  );
}

/** Equal in two requests that are one, forked on the way here; undefined: within a dialog nothing forks. */
export function mergeKey({ to, from, callId, cseq }: SipRequest): string | undefined {
  return to.tag === undefined ? `${callId} ${from.tag ?? ''} ${cseq.number} ${cseq.method}` : undefined;
}

/** Equal in an INVITE and in the ACK for its 2xx, which has a branch and a To-tag of its own (RFC 3261 §13.2.2.4). */
export function answerKey({ from, callId, cseq }: SipRequest): string {
  return `${callId} ${from.tag ?? ''} ${cseq.number}`;
}
