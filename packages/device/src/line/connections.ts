/**
 * The connections that the machine has asked for, by their numbers: opened, written to and ended. What they say goes to the
 * machine as it comes.
 */
import type { DeviceInput } from '@wakeline/core/device';
import type { Platform, Transport, TransportConnection } from '../ports/index.js';

interface Entry {
  readonly abort: AbortController;
  connection: TransportConnection | undefined;
}

export interface ConnectionsOptions {
  readonly url: URL;
  readonly transport: Transport;
  readonly platform: Platform;
  readonly input: (input: DeviceInput) => void;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #closing = new Set<Promise<void>>();
  /** Why the last one that ended did, or could not be had, as the platform says it; undefined: in peace, or none did. */
  lastError: unknown = undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Written to open connections and not yet taken, bytes. */
  get unsentBytes(): number {
    let bytes = 0;
    for (const { connection } of this.#entries.values()) bytes += connection?.unsentBytes ?? 0;
    return bytes;
  }

  open(number: number, isMain: boolean): void {
    const entry: Entry = { abort: new AbortController(), connection: undefined };
    this.#entries.set(number, entry);
    void this.#open(number, entry, isMain);
  }

  write(number: number, bytes: Uint8Array): void {
    this.#entries.get(number)?.connection?.write(bytes);
  }

  close(number: number): void {
    const entry = this.#entries.get(number);
    if (entry === undefined) return;
    this.#entries.delete(number);
    if (entry.connection === undefined) entry.abort.abort();
    else this.#end(entry.connection);
  }

  /** Resolves when everything written has been taken by the system. */
  async flush(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ connection }) => connection?.flush()));
  }

  /** Resolves when every connection that was told to close has ended. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async #open(number: number, entry: Entry, isMain: boolean): Promise<void> {
    const { transport, url, platform, input } = this.#options;
    const isGone = (): boolean => this.#entries.get(number) !== entry;
    const handler = {
      handleBytes: (chunk: Uint8Array): void => {
        if (!isGone()) input({ kind: 'bytes', connection: number, chunk });
      },
      handleClosed: (cause: unknown): void => this.#handleEnd(number, entry, cause),
    };
    try {
      const connection = await transport.open(url, handler, entry.abort.signal);
      if (isGone()) return this.#end(connection);
      entry.connection = connection;
      if (isMain) await platform.handleOpen(connection);
    } catch (error) {
      return this.#handleEnd(number, entry, error);
    }
    if (!isGone()) input({ kind: 'transport-open', connection: number });
  }

  #handleEnd(number: number, entry: Entry, cause: unknown): void {
    if (this.#entries.get(number) !== entry) return;
    this.#entries.delete(number);
    this.lastError = cause;
    const isReset = (cause as { readonly code?: unknown } | null | undefined)?.code === 'ECONNRESET';
    this.#options.input({ kind: 'transport-closed', connection: number, isReset });
  }

  #end(connection: TransportConnection): void {
    const closing = connection.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
