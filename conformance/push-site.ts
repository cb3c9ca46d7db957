/**
 * The web site of an application that uses push, on this machine: a page that subscribes, a service worker that shows
 * a notification for each push and posts what it saw. Nothing has to ask the browser, which may be asleep.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { PATIENCE_MS } from './program.js';
import { until } from './support.js';

/** What the service worker saw. */
export type Report =
  | {
      readonly type: 'push';
      /** The decrypted body; null: the push had none. */
      readonly text: string | null;
      /** Titles of all notifications that were shown then. */
      readonly shown: readonly string[];
    }
  /** The browser has dropped the subscription. */
  | { readonly type: 'subscription-change' };

export type PushReport = Extract<Report, { type: 'push' }>;

/** What a site serves, by path. */
export interface SiteFiles {
  readonly '/': string;
  readonly '/worker.js': string;
}

const contentTypes: Readonly<Record<keyof SiteFiles, string>> = {
  '/': 'text/html; charset=utf-8',
  '/worker.js': 'text/javascript; charset=utf-8',
};

function readFiles(): SiteFiles {
  const read = (name: string): string =>
    readFileSync(new URL(`../push-site/${name}`, import.meta.url), 'utf8');
  return { '/': read('index.html'), '/worker.js': read('worker.js') };
}

export class PushSite {
  /** What was posted, in the order in which it came. */
  readonly posted: unknown[] = [];
  readonly #server: Server;

  private constructor(files: SiteFiles) {
    this.#server = createServer((request, response) => {
      const path = request.url!;
      if (path === '/' || path === '/worker.js') {
        const headers = { 'Content-Type': contentTypes[path], 'Cache-Control': 'no-store' };
        response.writeHead(200, headers).end(files[path]);
      } else if (request.method === 'POST') {
        void this.#take(request).then(() => response.writeHead(204).end());
      } else {
        response.writeHead(404).end();
      }
    });
  }

  /** Other files than those of the folder `push-site` post whatever they want to tell, which is then in `posted`. */
  static async start(files: SiteFiles = readFiles()): Promise<PushSite> {
    const site = new PushSite(files);
    site.#server.listen(0, '127.0.0.1');
    await once(site.#server, 'listening');
    return site;
  }

  /** Push needs a secure context, which a page of the machine itself is. */
  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** What the service worker of the folder `push-site` told. */
  get reports(): readonly Report[] {
    return this.posted as readonly Report[];
  }

  get pushes(): readonly PushReport[] {
    return this.reports.filter((report) => report.type === 'push');
  }

  /** Bodies of the pushes so far. */
  get texts(): readonly (string | null)[] {
    return this.pushes.map(({ text }) => text);
  }

  /** Resolves with the report of the first push with this body. */
  async push(body: string): Promise<PushReport> {
    const find = (): PushReport | undefined => this.pushes.find(({ text }) => text === body);
    await until(
      () => find() !== undefined,
      PATIENCE_MS,
      () => `a push '${body}' reaches the service worker; it saw ${JSON.stringify(this.reports)}`,
    );
    return find()!;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #take(request: IncomingMessage): Promise<void> {
    this.posted.push(JSON.parse(await text(request)));
  }
}
