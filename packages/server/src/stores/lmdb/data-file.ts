/**
 * A look at LMDB's file before LMDB itself opens it: the package does not survive a file that is damaged at its
 * start or cut short. Only the two meta pages are read, each at most 168 bytes, by LMDB's `MDB_meta` (data version 2).
 */
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WakelineError } from '@wakeline/core/base';

/** LMDB's page. Fixed, or a file made on a machine with 16 KB pages would be another format. */
export const PAGE_BYTES = 4096;
const META_PAGES = 2;
const MAGIC = 0xbeefc0de;
/** Offsets from a page's start: behind the page's own header of 24 bytes. */
const MAGIC_OFFSET = 24;
const LAST_PAGE_OFFSET = 144;
const TRANSACTION_OFFSET = 152;
/** Pages taken and given back within one transaction are counted but never written: the file may end before them. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024;

/** Rejects with STORE_CORRUPT when the file is not there or is not a whole LMDB file. */
export async function checkDataFile(path: string): Promise<void> {
  let file;
  try {
    // For writing too: LMDB will need it, and the package does not survive a failed open.
    file = await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw lostError(path, 'is missing');
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size === 0) throw lostError(path, 'is empty');
    const metas = new DataView(new ArrayBuffer(META_PAGES * PAGE_BYTES));
    const { bytesRead } = await file.read(metas, { position: 0 });
    if (bytesRead < metas.byteLength) throw corruptError(path, 'is cut short');
    let newest = 0;
    for (let meta = 0; meta < META_PAGES; meta++) {
      const start = meta * PAGE_BYTES;
      if (metas.getUint32(start + MAGIC_OFFSET, true) !== MAGIC)
        throw corruptError(path, 'is not an LMDB file');
      const transactionOf = (page: number): bigint =>
        metas.getBigUint64(page * PAGE_BYTES + TRANSACTION_OFFSET, true);
      if (transactionOf(meta) > transactionOf(newest)) newest = meta;
    }
    const lastPage = Number(metas.getBigUint64(newest * PAGE_BYTES + LAST_PAGE_OFFSET, true));
    const missingBytes = (lastPage + 1) * PAGE_BYTES - size;
    if (missingBytes > UNWRITTEN_BYTES_MAX) throw corruptError(path, `is cut short by ${missingBytes} bytes`);
  } finally {
    await file.close();
  }
}

/** The data was there once: `FORMAT` is only written after it. */
function lostError(path: string, what: string): WakelineError {
  return new WakelineError(
    'STORE_CORRUPT',
    `${path} ${what}, but its directory has been in use: restore a backup, or, to begin anew without the old ` +
      `data, remove the directory ${dirname(path)}`,
  );
}

function corruptError(path: string, what: string): WakelineError {
  return new WakelineError('STORE_CORRUPT', `${path} ${what}: restore a backup`);
}
