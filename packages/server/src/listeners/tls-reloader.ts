/** Gives a TLS server the newest certificate without dropping a connection. */
import type { SecureContextOptions } from 'node:tls';
import type { TlsFiles } from '../config/config.js';
import type { Log } from '../runtime/log.js';
import { readTlsFiles, tlsFilesMark } from './tls-files.js';

interface SecureServer {
  setSecureContext(options: SecureContextOptions): void;
}

export class TlsReloader {
  readonly #server: SecureServer;
  readonly #files: TlsFiles;
  readonly #log: Log;
  #mark: string;
  readonly #timer: NodeJS.Timeout;

  /** Looks at the files each `pollMs` until stopped. */
  constructor(server: SecureServer, files: TlsFiles, pollMs: number, log: Log) {
    this.#server = server;
    this.#files = files;
    this.#log = log;
    this.#mark = tlsFilesMark(files);
    this.#timer = setInterval(() => this.#check(), pollMs);
    this.#timer.unref();
  }

  /** Reads the files now. A bad pair is logged, and the old one stays in use. */
  reload(): void {
    this.#mark = tlsFilesMark(this.#files);
    try {
      this.#server.setSecureContext(readTlsFiles(this.#files));
      this.#log.info({ certFile: this.#files.certFile }, 'certificate reloaded');
    } catch (error) {
      this.#log.error(
        { err: error, certFile: this.#files.certFile },
        'certificate not reloaded; the old one stays',
      );
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #check(): void {
    const mark = tlsFilesMark(this.#files);
    if (mark !== '' && mark !== this.#mark) this.reload();
  }
}
