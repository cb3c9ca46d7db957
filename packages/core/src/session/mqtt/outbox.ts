/**
 * What a session has to say, in the order in which it is to be done: credentials to check, commands for the hub,
 * bytes for the peer, the end. A base class and not a part, to spare each sleeping line one more object.
 */
import type { ByteWriter } from '../../base/index.js';
import type { LinkCommand, Refusal, SessionOutput } from '../../domain/index.js';

export abstract class Outbox {
  /** `authenticate` or `close`: never both. */
  #control: SessionOutput | null = null;
  #commands: LinkCommand[] | null = null;
  #unsent: Uint8Array | null = null;

  /** The next output; undefined when there is none. Drain after each `handle*`. */
  pollOutput(): SessionOutput | undefined {
    if (this.#control?.kind === 'authenticate') return this.#takeControl();
    if (this.#commands !== null) {
      const commands = this.#commands;
      this.#commands = null;
      return { kind: 'commands', commands };
    }
    if (this.#unsent !== null) {
      const bytes = this.#unsent;
      this.#unsent = null;
      return { kind: 'write', bytes };
    }
    return this.#takeControl();
  }

  #takeControl(): SessionOutput | undefined {
    const output = this.#control ?? undefined;
    this.#control = null;
    return output;
  }

  protected putAuthenticate(output: SessionOutput): void {
    this.#control = output;
  }

  protected putCommand(command: LinkCommand): void {
    (this.#commands ??= []).push(command);
  }

  /** Nobody waits for the answer any more. */
  protected takeBackAuthenticate(): void {
    if (this.#control?.kind === 'authenticate') this.#control = null;
  }

  /** Takes out what a turn wrote. A driver that gives several inputs before it polls gets one write all the same. */
  protected putWritten(writer: ByteWriter): void {
    if (writer.length === 0) return;
    const bytes = writer.take();
    if (this.#unsent === null) {
      this.#unsent = bytes;
      return;
    }
    const joined = new Uint8Array(this.#unsent.length + bytes.length);
    joined.set(this.#unsent);
    joined.set(bytes, this.#unsent.length);
    this.#unsent = joined;
  }

  protected putClose(reason: Refusal | undefined): void {
    this.#control = { kind: 'close', reason };
  }
}
