/** Certificate and key of a listener: read at its start, and again when asked or when the files change. */
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import type { TlsFiles } from '../config/config.js';
import { RuntimeError } from '../runtime/errors.js';

/** RFC 8996: older versions are not to be spoken. */
const minVersion = 'TLSv1.2';

/** Throws TLS_FILES_UNUSABLE when a file cannot be read, is no PEM, or the key does not fit the certificate. */
export function readTlsFiles(files: TlsFiles): SecureContextOptions {
  try {
    const options: SecureContextOptions = {
      cert: readFileSync(files.certFile),
      key: readFileSync(files.keyFile),
      minVersion,
    };
    createSecureContext(options);
    return options;
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new RuntimeError('TLS_FILES_UNUSABLE', `certificate ${files.certFile}: ${what}`, error);
  }
}

/** Changes whenever one of the files was written or replaced. */
export function tlsFilesMark(files: TlsFiles): string {
  try {
    const [cert, key] = [statSync(files.certFile), statSync(files.keyFile)];
    return `${cert.ino}/${cert.mtimeMs}/${cert.size} ${key.ino}/${key.mtimeMs}/${key.size}`;
  } catch {
    // Missing for a moment while they are replaced: the next look sees the new ones.
    return '';
  }
}
