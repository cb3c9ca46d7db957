/**
 * Disk space that is already ours: zeros written behind the last page in use of LMDB's file.
 *
 * On a full disk LMDB cannot even delete, because it never overwrites a page in use: a deletion needs new pages
 * first. So some pages are allocated beforehand. They lie inside the data file, where no other program can take
 * them, and behind the last page in use, where LMDB grows anyway; LMDB takes no notice of the file's size. Commits
 * that enlarge the log must leave the reserve alone: they are refused when it cannot be topped up. All others may
 * use it, so acknowledging and deleting goes on, and LMDB itself never meets ENOSPC (nor its consequences).
 *
 * Its price: what only grows is written twice, which takes about a seventh of the throughput of pure appending.
 * Where deleted messages leave their pages to new ones nothing grows, and it costs nothing. (Node has no
 * `fallocate`.) A file system that never overwrites (btrfs, ZFS) gives no such guarantee; there the hub's
 * free-space floor has to do.
 */
import { fstatSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Space is added in such steps: large enough to be rare, small enough not to delay the next sync. */
const STEP_BYTES = 256 * 1024;

export class Headroom {
  readonly #file: FileHandle;
  readonly #zeros = new Uint8Array(STEP_BYTES);

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(dataFile: string): Promise<Headroom> {
    // O_APPEND: the kernel finds the end and writes there in one step, so a page of LMDB's is never overwritten.
    return new Headroom(await open(dataFile, 'a'));
  }

  /** Size of the data file, bytes. */
  fileBytes(): number {
    return fstatSync(this.#file.fd).size;
  }

  /**
   * Allocates until `bytes` lie ready behind `usedBytes`. Resolves with the error that prevented it (a full disk,
   * a quota), or undefined.
   */
  async ensure(usedBytes: number, bytes: number): Promise<Error | undefined> {
    let missing = usedBytes + bytes - this.fileBytes();
    try {
      while (missing > 0) {
        const { bytesWritten } = await this.#file.write(this.#zeros);
        missing -= bytesWritten;
      }
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
