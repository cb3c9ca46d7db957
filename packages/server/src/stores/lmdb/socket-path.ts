/** Paths of Unix sockets inside a data directory, which must be short however deep the directory lies. */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** Longest path of a Unix socket, bytes: `sun_path` is 108 with its end on Linux, 104 on macOS. */
const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103;
/** The longest name there is, of a lock that is being taken. */
const NAME_BYTES_MAX = 'lock.4294967296.0123456789abcdef.sock.new'.length;

/** The directory itself, or a short alias of it where a socket's path would be too long. */
export function shortPath(directory: string, handle: FileHandle): string {
  if (Buffer.byteLength(directory) + 1 + NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX) return directory;
  if (process.platform === 'linux') return `/proc/self/fd/${handle.fd}`;
  throw new Error(`the path of the data directory is too long for a Unix socket in it: ${directory}`);
}

/** Path of a socket in the directory, which must exist; good for the life of this process. */
export async function socketPath(directory: string, name: string): Promise<string> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const short = shortPath(directory, handle);
  if (short === directory) {
    await handle.close();
    return join(directory, name);
  }
  // The alias lives as long as the handle does, and a handle nobody knows is closed by the collector.
  keptHandles.add(handle);
  return join(short, name);
}

const keptHandles = new Set<FileHandle>();
