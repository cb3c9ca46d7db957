/**
 * What a session has to say, in the order in which it is to be done: credentials to check, commands for the hub,
 * bytes for the peer, the end. A base class and not a part, to spare each sleeping line one more object.
 */
import type { ByteWriter } from '../base/index.js';
import type { Farewell, LinkCommand, PathProbing, Refusal, SessionOutput } from '../domain/index.js';

type Authenticate = Extract<SessionOutput, { kind: 'authenticate' | 'authenticate-agent' }>;

/** What is to be polled. */
interface Pending {
  /** Credentials to check, a ping, how the path is probed, or the end: the later one counts. */
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
    if (isAuthenticate(control)) {
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

  protected putAuthenticate(output: Authenticate): void {
    this.#begun.control = output;
  }

  protected putPing(): void {
    this.#begun.control = { kind: 'ping' };
  }

  protected putProbePath(after: PathProbing): void {
    this.#begun.control = { kind: 'probe-path', after };
  }

  protected putCommand(command: LinkCommand): void {
    (this.#begun.commands ??= []).push(command);
  }

  /** Nobody waits for the answer any more. */
  protected takeBackAuthenticate(): void {
    if (this.#pending !== null && isAuthenticate(this.#pending.control)) this.#pending.control = null;
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

  protected putClose(reason: Refusal | undefined, farewell?: Farewell): void {
    this.#begun.control = { kind: 'close', reason, farewell };
  }
}

function isAuthenticate(control: SessionOutput | null): control is Authenticate {
  return control?.kind === 'authenticate' || control?.kind === 'authenticate-agent';
}
