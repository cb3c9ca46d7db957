/**
 * Tells whether audio plays, by what the program says or by what its UDP does. Ringing alone must not hold a
 * window; a UDP socket opened for a call does, because from outside the two look the same.
 */
import { limits } from './limits.js';
import type { SocketSnapshot } from './sockets.js';

/** Which of the three ways found the audio. */
export type AudioEvidence = 'program' | 'datagrams' | 'udp-socket';

/** Pure detector; feed it each look at the sockets. */
export class AudioDetector {
  #said = false;
  #socketsAsleep: ReadonlySet<string> | undefined;
  #sent: { at: number; datagrams: number } | undefined;
  #loudUntil = -Infinity;
  #hasNewSocket = false;

  /** A new program: what the old one held and said no longer counts. */
  handleLaunch(): void {
    this.#said = false;
    this.#socketsAsleep = undefined;
    this.#sent = undefined;
    this.#loudUntil = -Infinity;
    this.#hasNewSocket = false;
  }

  /** The program said `audio on` or `audio off`. */
  handleSaid(on: boolean): void {
    this.#said = on;
  }

  /** The program fell asleep holding these UDP sockets: they are not a call's. */
  handleAsleep(snapshot: SocketSnapshot): void {
    this.#socketsAsleep = new Set(snapshot.udp);
    this.#sent = undefined;
    this.#loudUntil = -Infinity;
    this.#hasNewSocket = false;
  }

  /** A look at the sockets of the awake program. */
  handleSnapshot(now: number, snapshot: SocketSnapshot): void {
    if (snapshot.datagramsSent === undefined) {
      const asleep = this.#socketsAsleep;
      this.#hasNewSocket = asleep !== undefined && snapshot.udp.some((inode) => !asleep.has(inode));
      return;
    }
    this.#hasNewSocket = false;
    const before = this.#sent;
    if (before === undefined) {
      this.#sent = { at: now, datagrams: snapshot.datagramsSent };
      return;
    }
    // In a shorter span one datagram more or less would decide.
    const spanMs = now - before.at;
    if (spanMs < 1_000) return;
    const perSecond = ((snapshot.datagramsSent - before.datagrams) * 1_000) / spanMs;
    if (perSecond >= limits.audioDatagramsPerSecondMin) this.#loudUntil = now + limits.audioGraceMs;
    this.#sent = { at: now, datagrams: snapshot.datagramsSent };
  }

  /** How it is known that audio plays; undefined: it does not. */
  evidence(now: number): AudioEvidence | undefined {
    if (this.#said) return 'program';
    if (now < this.#loudUntil) return 'datagrams';
    return this.#hasNewSocket ? 'udp-socket' : undefined;
  }
}
