/** RFC 5118: messages with IPv6 addresses. */
import { lines, type TortureMessage } from './torture-message.js';

/**
 * The Content-Length of §4.6, §4.8 and §4.9 does not count the lines as they are printed: it is left to be counted
 * here.
 */
function withBody(head: string, body: string): Uint8Array {
  return lines(`${head}Content-Length: ${lines(body).length}\n\n${body}`);
}

function register(uri: string): Uint8Array {
  return lines(`REGISTER ${uri} SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0

`);
}

function options(uri: string): Uint8Array {
  return lines(`OPTIONS ${uri} SIP/2.0
To: ${uri}
From: sip:user@example.com;tag=810x2
Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111
Call-ID: G9559905523997077@hlau_4100
CSeq: 689 OPTIONS
Max-Forwards: 70
Content-Length: 0

`);
}

export const ipv6Messages: readonly TortureMessage[] = [
  {
    name: 'ipv6-good',
    rfc: 5118,
    section: '4.1',
    bytes: register('sip:[2001:db8::10]'),
    parser: 'message',
    proxy: undefined,
    registrar: 'accept',
    about: 'references in Request-URI, Via and Contact',
  },
  {
    name: 'ipv6-bad',
    rfc: 5118,
    section: '4.2',
    bytes: register('sip:2001:db8::10'),
    parser: 'message',
    proxy: undefined,
    registrar: [400],
    about: 'no brackets: the Request-URI is malformed to whoever reads it',
  },
  {
    name: 'port-ambiguous',
    rfc: 5118,
    section: '4.3',
    bytes: register('sip:[2001:db8::10:5070]'),
    parser: 'message',
    proxy: undefined,
    registrar: 'accept',
    about: 'within the brackets it is no port',
  },
  {
    name: 'port-unambiguous',
    rfc: 5118,
    section: '4.4',
    bytes: register('sip:[2001:db8::10]:5070'),
    parser: 'message',
    proxy: undefined,
    registrar: 'accept',
    about: 'a port behind the brackets',
  },
  {
    name: 'via-received-param-with-delim',
    rfc: 5118,
    section: '4.5',
    bytes: lines(`BYE sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com;tag=bd76ya
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
CSeq: 321 BYE
Content-Length: 0

`),
    parser: 'message',
    proxy: 'forward',
    about: 'received with brackets, which the grammar does not have, is understood',
  },
  {
    name: 'via-received-param-no-delim',
    rfc: 5118,
    section: '4.5',
    bytes: lines(`OPTIONS sip:[2001:db8::10] SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3
Call-ID: SSG95523997077@hlau_4100
Max-Forwards: 70
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
CSeq: 921 OPTIONS
Content-Length: 0

`),
    parser: 'message',
    proxy: 'forward',
    about: 'received without brackets',
  },
  {
    name: 'ipv6-in-sdp',
    rfc: 5118,
    section: '4.6',
    bytes: withBody(
      `INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::20]>
CSeq: 8612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
`,
      `v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
`,
    ),
    parser: 'message',
    proxy: 'forward',
    about: 'addresses in the body, without brackets',
  },
  {
    name: 'mult-ip-in-header',
    rfc: 5118,
    section: '4.7',
    bytes: lines(`BYE sip:user@host.example.net SIP/2.0
Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
Call-ID: 997077@lau_4100
Max-Forwards: 70
CSeq: 89187 BYE
To: sip:user@example.net;tag=9817--94
From: sip:user@example.com;tag=81x2
Content-Length: 0

`),
    parser: 'message',
    proxy: 'forward',
    about: 'hops of both families',
  },
  {
    name: 'mult-ip-in-sdp',
    rfc: 5118,
    section: '4.8',
    bytes: withBody(
      `INVITE sip:user@[2001:db8::10] SIP/2.0
To: sip:user@[2001:db8::10]
From: sip:user@example.com;tag=81x2
Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "Caller" <sip:caller@[2001:db8::9:1]>
Max-Forwards: 70
CSeq: 8912 INVITE
Content-Type: application/sdp
`,
      `v=0
o=bob 280744730 28977631 IN IP4 host.example.com
s=
t=0 0
m=audio 22334 RTP/AVP 0
c=IN IP4 192.0.2.1
m=video 6024 RTP/AVP 107
c=IN IP6 2001:db8::1
a=rtpmap:107 H263-1998/90000
`,
    ),
    parser: 'message',
    proxy: 'forward',
    about: 'both families in the body',
  },
  {
    name: 'ipv4-mapped-ipv6',
    rfc: 5118,
    section: '4.9',
    bytes: withBody(
      `INVITE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:user@east.example.com;tag=81x2
Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19
Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
Call-ID: SSG9559905523997077@hlau_4100
Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>
CSeq: 612 INVITE
Max-Forwards: 70
Content-Type: application/sdp
`,
      `v=0
o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2
s=Call me soon, please!
c=IN IP6 ::ffff:192.0.2.2
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
`,
    ),
    parser: 'message',
    proxy: 'forward',
    about: 'IPv4 addresses in the form of IPv6',
  },
  {
    name: 'ipv6-bug-abnf-3-colons',
    rfc: 5118,
    section: '4.10',
    bytes: options('sip:user@[2001:db8:::192.0.2.1]'),
    parser: 'message',
    proxy: 'forward',
    about: 'three colons of an old grammar are taken for two',
  },
  {
    name: 'ipv6-correct-abnf-2-colons',
    rfc: 5118,
    section: '4.10',
    bytes: options('sip:user@[2001:db8::192.0.2.1]'),
    parser: 'message',
    proxy: 'forward',
    about: 'an address that ends as IPv4',
  },
];
