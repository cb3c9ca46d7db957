/**
 * Ends what a phone began by answering when its call was already over: its 2xx crossed a CANCEL, and the caller, who has
 * been told 487, takes it no more. Left alone the phone would repeat the 2xx for half a minute, with its user in a call
 * with nobody. So the dialog is acknowledged and ended for the caller (RFC 3261 §12.2.1.1, §15.1).
 *
 * It answers nobody and reports nothing: what becomes of the BYE changes nothing.
 */
import type { InstantMs } from '../../../base/index.js';
import type { SipFlow } from '../../../domain/index.js';
import { buildRequest, type SipResponse } from '../../../wire/sip/index.js';
import type { StackContext } from '../context.js';
import { viaOf } from '../messages.js';

/** @param isFirst false: the 2xx was repeated, and only its ACK is. */
export function endLateAnswer(
  context: StackContext,
  now: InstantMs,
  response: SipResponse,
  flow: SipFlow,
  isFirst: boolean,
): void {
  const { edge, tokens } = context;
  const { contacts, recordRoutes, from, to, callId, cseq } = response;
  const contact = contacts === undefined || contacts === '*' ? undefined : contacts[0];
  // Without them nobody could say anything in this dialog.
  if (contact === undefined || recordRoutes === undefined || edge.flowInfo(flow) === undefined) return;
  const own = recordRoutes.findIndex(
    ({ uri }) => uri?.kind === 'sip' && uri.user !== undefined && tokens.read(uri.user, callId) !== undefined,
  );
  // What lies between the phone and us has put itself on top.
  const routes = recordRoutes.slice(0, Math.max(0, own)).map(({ text }) => text);
  const write = (method: 'ACK' | 'BYE', number: number) => {
    const branch = `z9hG4bK-${context.randomHex()}`;
    const bytes = buildRequest({
      method,
      uri: contact.uriText,
      vias: [viaOf(edge.sentBy(flow), branch)],
      from: from.text,
      to: to.text,
      callId,
      cseq: number,
      routes: routes.toReversed(),
    });
    return { method, branch, bytes };
  };
  edge.sendAck(now, flow, write('ACK', cseq.number).bytes);
  if (isFirst) edge.request(now, { ...write('BYE', cseq.number + 1), flow, outlivesFlow: false });
}
