/**
 * What a session has to say, in the order in which it is to be done: credentials to check, commands for the hub,
 * bytes for the peer, the end. A base class and not a part, to spare each sleeping line one more object.
 */
import type { ByteWriter } from '../../base/index.js';
import type { LinkCommand, Refusal, SessionOutput } from '../../domain/index.js';

/** What is to be polled. */
interface Pending {
  /** `authenticate` or `close`: never both. */
  control: SessionOutput | null;
  commands: LinkCommand[] | null;
  unsent: Uint8Array | null;
}

export abstract class Outbox {
  /** null: nothing, as with every sleeping line. */
  #pending: Pending | null = null;

  /** The next output; undefined when there is none. Drain after each `handle*`. */
  pollOutput(): SessionOutput | undefined {
    const pending = this.#pending;
    if (pending === null) return undefined;
    const { control, commands, unsent } = pending;
    if (control?.kind === 'authenticate') {
      pending.control = null;
      return control;
    }
    if (commands !== null) {
      pending.commands = null;
      return { kind: 'commands', commands };
    }
    if (unsent !== null) {
      pending.unsent = null;
      return { kind: 'write', bytes: unsent };
    }
    this.#pending = null;
    return control ?? undefined;
  }

  get #begun(): Pending {
    return (this.#pending ??= { control: null, commands: null, unsent: null });
  }

  protected putAuthenticate(output: SessionOutput): void {
    this.#begun.control = output;
  }

  protected putCommand(command: LinkCommand): void {
    (this.#begun.commands ??= []).push(command);
  }

  /** Nobody waits for the answer any more. */
  protected takeBackAuthenticate(): void {
    if (this.#pending?.control?.kind === 'authenticate') this.#pending.control = null;
  }

  /** Takes out what a turn wrote. A driver that gives several inputs before it polls gets one write all the same. */
  protected putWritten(writer: ByteWriter): void {
    if (writer.length === 0) return;
    const bytes = writer.take();
    const pending = this.#begun;
    if (pending.unsent === null) {
      pending.unsent = bytes;
      return;
    }
    const joined = new Uint8Array(pending.unsent.length + bytes.length);
    joined.set(pending.unsent);
    joined.set(bytes, pending.unsent.length);
    pending.unsent = joined;
  }

  protected putClose(reason: Refusal | undefined): void {
    this.#begun.control = { kind: 'close', reason };
  }
}
