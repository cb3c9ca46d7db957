/** The messages of one MQTT 5.0 client that count against the receive maximum granted to it (§4.9). */
import type { Qos } from '../../domain/index.js';

export class InboundWindow {
  #qos1Count = 0;
  /** By packet id: an id that is sent again counts once, and one held from an earlier connection not at all. */
  #qos2: Set<number> | null = null;

  /** Counts a PUBLISH with QoS 1 or 2. False, and not counted, when `countMax` are under way. */
  add(qos: Qos, packetId: number, countMax: number): boolean {
    if (qos === 2 && this.#qos2?.has(packetId) === true) return true;
    if (this.#qos1Count + (this.#qos2?.size ?? 0) >= countMax) return false;
    if (qos === 1) this.#qos1Count += 1;
    else (this.#qos2 ??= new Set()).add(packetId);
    return true;
  }

  /** A PUBACK, a PUBCOMP or a PUBREC that refuses went out. */
  remove(qos: Qos, packetId: number): void {
    if (qos === 1) {
      if (this.#qos1Count > 0) this.#qos1Count -= 1;
    } else if (this.#qos2 !== null) {
      this.#qos2.delete(packetId);
      if (this.#qos2.size === 0) this.#qos2 = null;
    }
  }
}
