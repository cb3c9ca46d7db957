/** Messages of ordinary traffic, for the tests of the codec. */
import { encodeUtf8 } from '../../../src/base/index.js';
import { parseMessage, type SipRequest, type SipResponse } from '../../../src/wire/sip/index.js';
import { lines, sdp } from './torture-message.js';

export const inviteText = `INVITE sip:bob@192.0.2.4:5070;transport=tcp;ob SIP/2.0
Via: SIP/2.0/TCP proxy.example.com:5060;branch=z9hG4bK-proxy-1;rport , SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK776asdhds;received=192.0.2.9;rport=40000
Max-Forwards: 69
Route: <sip:edge.example.com;lr>, "b, c" <sip:next.example.com;lr>;tok="x,y"
Route: <sip:last.example.com;lr>
Record-Route: <sip:proxy.example.com;lr;r=abc>
To: "Bob, \\"the\\" builder" <sip:bob@example.com>
From: Al\u00efce <sip:alice@example.com>;tag=1928301774
Call-ID: a84b4c76e66710@pc33.example.com
CSeq: 314159 INVITE
X-Unknown: a, b;c  \t
Contact: <sip:alice@192.0.2.1:5062;transport=udp>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>";reg-id=1
Supported: replaces, outbound,
 100rel
Timestamp: 54.2
Content-Type: application/sdp
Content-Length: 150

${sdp('192.0.2.1')}`;

export const inviteBytes = lines(inviteText);

export function request(text: string | Uint8Array): SipRequest {
  const message = parseMessage(typeof text === 'string' ? lines(text) : text);
  if (message.kind !== 'request') throw new Error(message.kind === 'fault' ? message.message : 'a response');
  return message;
}

export function response(text: string | Uint8Array): SipResponse {
  const message = parseMessage(typeof text === 'string' ? lines(text) : text);
  if (message.kind !== 'response') throw new Error(message.kind === 'fault' ? message.message : 'a request');
  return message;
}

/** A short request with these lines between CSeq and the end. */
export function withLines(extra: string, method = 'OPTIONS'): Uint8Array {
  return encodeUtf8(
    `${method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 ${method}\r\n${extra}\r\n`,
  );
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}
