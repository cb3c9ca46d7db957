/** The work of `sip-parse.mjs`: the messages, and how each parser reads the same of them. */
import { createRequire } from 'node:module';
import { parseMessage } from '@wakeline/core/wire/sip';
import { packageVersion } from '../mqtt/servers.mjs';

const require = createRequire(import.meta.url);

/** A message of 900 bytes with its session description: a re-INVITE by way of a proxy. */
export const MESSAGE_BYTES = 900;

/** `count` messages that differ in what differs between calls, so that nothing is found in a cache. */
export function makeMessages(count) {
  return Array.from({ length: count }, (_, index) => {
    const id = (0x1000_0000 + index * 7_919).toString(16);
    const head = [
      `INVITE sip:bob@198.51.100.4:5062;transport=tcp;ob SIP/2.0`,
      `Via: SIP/2.0/TCP 203.0.113.9:5060;rport;branch=z9hG4bKPj${id}a6b1`,
      `Via: SIP/2.0/UDP 192.0.2.7:5066;branch=z9hG4bK${id};rport=40112;received=198.51.100.77`,
      `Route: <sip:edge.example.com;transport=tcp;lr>`,
      `Max-Forwards: 69`,
      `From: "Alice" <sip:alice@example.com>;tag=f${id}`,
      `To: <sip:bob@example.com>;tag=t${id}`,
      `Call-ID: ${id}-4f1c-b2@192.0.2.7`,
      `CSeq: ${20_000 + index} INVITE`,
      `Contact: <sip:alice@192.0.2.7:5066;transport=udp>;+sip.instance="<urn:uuid:${id}>"`,
      `Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY`,
      `Supported: replaces, outbound`,
      `Content-Type: application/sdp`,
    ];
    const fixed = `v=0\r\no=- ${id} 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=`;
    const headBytes = head.join('\r\n').length + '\r\nContent-Length: 000\r\n\r\n'.length;
    const body = `${fixed.padEnd(MESSAGE_BYTES - headBytes - 2, 'x')}\r\n`;
    const message = Buffer.from(`${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    if (message.length !== MESSAGE_BYTES) throw new Error(`a message has ${message.length} bytes`);
    return message;
  });
}

/** What a reader found, in one line: all parsers must have found the same. */
function told(uri, via, route, fromTag, toTag, callId, cseq, maxForwards, contact) {
  return (
    uri.length +
    via.length +
    route.length +
    fromTag.length +
    toTag.length +
    callId.length +
    cseq +
    maxForwards +
    contact.length
  );
}

/**
 * `prepare`: a message as the parser takes it, made beforehand. `read`: Request-URI, top Via, Route, tags, Call-ID,
 * CSeq, Max-Forwards and Contact, with the host of each URI, as a number that depends on all of them.
 */
export const parsers = {
  wakeline: {
    title: 'Wakeline',
    version: () => packageVersion('../../packages/core/package.json'),
    async load() {
      return (bytes) => {
        const message = parseMessage(bytes);
        const via = message.topVia;
        const [contact] = message.contacts;
        return told(
          message.requestUri.host, via.branch + via.host, message.routes[0].uri.host, message.from.tag,
          message.to.tag, message.callId, message.cseq.number, message.maxForwards, contact.uri.host,
        ); // prettier-ignore
      };
    },
    prepare: (bytes) => bytes,
  },
  sip: {
    title: 'sip',
    needsPackages: true,
    version: () => packageVersion('../node_modules/sip/package.json'),
    async load() {
      const sip = require('sip');
      return (bytes) => {
        const { uri, headers } = sip.parse(bytes);
        const [via] = headers.via;
        return told(
          sip.parseUri(uri).host, via.params.branch + via.host, headers.route[0].uri.host, headers.from.params.tag,
          headers.to.params.tag, headers['call-id'], headers.cseq.seq, Number(headers['max-forwards']),
          sip.parseUri(headers.contact[0].uri).host,
        ); // prettier-ignore
      };
    },
    prepare: (bytes) => bytes,
  },
  jssip: {
    title: 'jssip',
    needsPackages: true,
    version: () => packageVersion('../node_modules/jssip/package.json'),
    async load() {
      const { parseMessage: parse } = require('jssip/lib/Parser.js');
      return (text) => {
        const message = parse(text, {});
        const via = message.parseHeader('via');
        return told(
          message.ruri.host, via.branch + via.host, message.parseHeader('route').uri.host, message.from_tag,
          message.to_tag, message.call_id, message.cseq, Number(message.getHeader('max-forwards')),
          message.parseHeader('contact').uri.host,
        ); // prettier-ignore
      };
    },
    // It takes a text, as a browser has it from a WebSocket.
    prepare: (bytes) => bytes.toString('utf8'),
  },
};
