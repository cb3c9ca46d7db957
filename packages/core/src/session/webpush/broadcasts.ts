/**
 * Broadcasts: names with a version, which clients that asked are told when it changes. The server has them from its
 * configuration and understands nothing of them.
 */
import type { BroadcastVersion } from '../../wire/webpush/index.js';

/** The versions there are now. One for all sessions of a process; changed by whoever reads the configuration. */
export class BroadcastTable {
  #versions: ReadonlyMap<string, string> = new Map();
  /** Grows with each change. */
  revision = 0;

  /** Puts these in the place of the old ones; the same ones change nothing. */
  set(versions: ReadonlyMap<string, string>): void {
    const isSame =
      versions.size === this.#versions.size &&
      [...versions].every(([id, version]) => this.#versions.get(id) === version);
    if (isSame) return;
    this.#versions = versions;
    this.revision += 1;
  }

  get(id: string): string | undefined {
    return this.#versions.get(id);
  }
}

/** What one client asked for, with the version that it has: as it said, or as it was told. */
export class BroadcastSubscriptions {
  readonly #known = new Map<string, string>();
  /** Of the table when it was last compared. */
  revision = 0;

  get size(): number {
    return this.#known.size;
  }

  has(id: string): boolean {
    return this.#known.has(id);
  }

  add(id: string, version: string): void {
    this.#known.set(id, version);
  }

  /** Those whose version is another one now; they count as told. */
  takeChanged(table: BroadcastTable): BroadcastVersion[] {
    this.revision = table.revision;
    const changed: BroadcastVersion[] = [];
    for (const [id, known] of this.#known) {
      const version = table.get(id);
      if (version === undefined || version === known) continue;
      this.#known.set(id, version);
      changed.push([id, version]);
    }
    return changed;
  }
}
