/** The voice of a call: G.711 µ-law by RTP over UDP, 50 packets a second each way. A tone is sent; what comes is counted. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

/** One packet's time, ms, and its samples at 8 kHz. */
const PACKET_MS = 20;
const PACKET_SAMPLES = 160;

/** 440 Hz for one packet, in µ-law; the seam is not quite smooth, as nobody listens. */
const tone = Buffer.from(
  Array.from({ length: PACKET_SAMPLES }, (_, n) => muLaw(8_000 * Math.sin((2 * Math.PI * 440 * n) / 8_000))),
);

export class Voice {
  #socket;
  #timer;
  #peer;
  #sequence = 0;
  #source = randomBytes(4);
  sentPackets = 0;
  receivedPackets = 0;

  /** Opens the UDP socket; its port belongs into the SDP. */
  static async open(address) {
    const voice = new Voice();
    voice.#socket = createSocket('udp4');
    voice.#socket.on('message', () => voice.receivedPackets++);
    // A peer that hung up answers "port unreachable"; the call's end is told by SIP.
    voice.#socket.on('error', () => {});
    voice.#socket.bind(0, address);
    await once(voice.#socket, 'listening');
    return voice;
  }

  /** The session description of this end (RFC 4566). */
  get sdp() {
    const { address, port } = this.#socket.address();
    return (
      ['v=0', `o=- 1 1 IN IP4 ${address}`, 's=-', `c=IN IP4 ${address}`, 't=0 0'].join('\r\n') +
      `\r\nm=audio ${port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n`
    );
  }

  /** Begins to speak to where the other end's description says. */
  start(sdp) {
    const address = /^c=IN IP4 (\S+)/m.exec(sdp)?.[1];
    const port = Number(/^m=audio (\d+)/m.exec(sdp)?.[1]);
    if (address === undefined || !(port > 0)) return;
    this.#peer = { address, port };
    const startMs = performance.now();
    let due = 0;
    this.#timer ??= setInterval(() => {
      // As many as the clock says, so that a late timer does not slow the voice; after a sleep, no burst.
      const now = Math.floor((performance.now() - startMs) / PACKET_MS);
      if (now - due > 10) due = now - 1;
      for (; due < now; due++) this.#send();
    }, PACKET_MS / 2);
  }

  stop() {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #send() {
    const header = Buffer.alloc(12);
    header[0] = 0x80;
    header.writeUInt16BE(this.#sequence & 0xffff, 2);
    header.writeUInt32BE((this.#sequence * PACKET_SAMPLES) >>> 0, 4);
    this.#source.copy(header, 8);
    this.#sequence++;
    this.sentPackets++;
    this.#socket.send(Buffer.concat([header, tone]), this.#peer.port, this.#peer.address);
  }
}

/** ITU-T G.711 µ-law of a 14-bit sample. */
function muLaw(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(Math.round(sample)) + 33, 8_191);
  const exponent = Math.max(0, Math.floor(Math.log2(magnitude)) - 5);
  const mantissa = (magnitude >> (exponent + 1)) & 0x0f;
  return ~(sign | (exponent << 4) | mantissa) & 0xff;
}
