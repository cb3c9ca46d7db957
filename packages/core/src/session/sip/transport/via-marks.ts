/**
 * What the receiver of a request notes in its topmost Via: where it really came from (RFC 3261 §18.2.1, RFC 3581 §4). It
 * is noted before anybody looks at the request, so that what is kept of a call says where its caller is.
 */
import {
  canonicalHost,
  MessageEditor,
  parseMessage,
  type SipFault,
  type SipMessage,
  type SipRequest,
} from '../../../wire/sip/index.js';
import type { SipAddress } from '../machine.js';

/**
 * The request with `received` and `rport` where they belong. What the sender itself wrote there does not count. A fault: it
 * filled the bounds of a message to the brim, and there is no room for them.
 */
export function markSource(request: SipRequest, remote: SipAddress): SipMessage | SipFault {
  const via = request.topVia;
  const isThere = canonicalHost(via.host) === canonicalHost(remote.address);
  // RFC 3581 §4: whoever asks for the port is told the address, too.
  if (isThere && !via.hasRport && via.received === undefined) return request;
  const editor = new MessageEditor(request).setTopViaParam('received', remote.address);
  if (via.hasRport) editor.setTopViaParam('rport', String(remote.port));
  const marked = parseMessage(editor.serialize());
  if (marked.kind !== 'fault') return marked;
  return { ...marked, request: request.method === 'ACK' ? undefined : request };
}
