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

const files = new Map(
  Object.entries({
    '/': ['index.html', 'text/html; charset=utf-8'],
    '/worker.js': ['worker.js', 'text/javascript; charset=utf-8'],
  }),
);

export class PushSite {
  /** In the order in which they came. */
  readonly reports: Report[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const [name, contentType] = files.get(request.url!) ?? [];
      if (name !== undefined) {
        const headers = { 'Content-Type': contentType, 'Cache-Control': 'no-store' };
        response.writeHead(200, headers).end(readFileSync(new URL(`../push-site/${name}`, import.meta.url)));
      } else if (request.method === 'POST' && request.url === '/reports') {
        void this.#take(request).then(() => response.writeHead(204).end());
      } else {
        response.writeHead(404).end();
      }
    });
  }

  static async start(): Promise<PushSite> {
    const site = new PushSite();
    site.#server.listen(0, '127.0.0.1');
    await once(site.#server, 'listening');
    return site;
  }

  /** Push needs a secure context, which a page of the machine itself is. */
  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}/`;
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
    this.reports.push(JSON.parse(await text(request)) as Report);
  }
}
