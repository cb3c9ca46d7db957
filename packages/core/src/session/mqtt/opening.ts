/** What a session needs until its CONNECT is answered, and no longer. */
import { ByteWriter } from '../../base/index.js';
import type { Handshake } from './handshake.js';
import { mqttLimits } from './limits.js';

export class Opening {
  readonly peer: string;
  /** From CONNECT until CONNACK. */
  handshake: Handshake | null = null;
  #early: ByteWriter | null = null;

  constructor(peer: string) {
    this.peer = peer;
  }

  /** A client may send ahead of its CONNACK (MQTT 5.0 §3.1.4). False: that is more than it may. */
  keepEarly(bytes: Uint8Array): boolean {
    if (bytes.length === 0) return true;
    if ((this.#early?.length ?? 0) + bytes.length > mqttLimits.earlyBytesMax) return false;
    (this.#early ??= new ByteWriter(bytes.length)).writeBytes(bytes);
    return true;
  }

  /** What arrived meanwhile; undefined: nothing. */
  takeEarly(): Uint8Array | undefined {
    return this.#early?.take();
  }
}
