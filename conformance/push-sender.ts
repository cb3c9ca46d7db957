/** An application server: VAPID keys, and pushes encrypted and signed by the `web-push` package. */
import { once } from 'node:events';
import { request as requestHttp } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { text } from 'node:stream/consumers';
import webPush from 'web-push';
import type { PushSubscription, Urgency } from 'web-push';
import { PATIENCE_MS } from './program.js';
import { until } from './support.js';

export interface PushOptions {
  /** How long it may wait for its device, seconds. */
  readonly ttlSeconds?: number;
  readonly urgency?: Urgency;
  /** Replaces the undelivered push with the same topic. */
  readonly topic?: string;
  /** Asks for a receipt; the answer is then 202 and has its address. */
  readonly wantsReceipt?: boolean;
}

export interface PushAnswer {
  readonly status: number;
  readonly body: string;
  /** The message's own address; empty: none was told. */
  readonly location: string;
  /** Address of the receipt; empty: there is none. */
  readonly receipt: string;
}

export class PushSender {
  readonly #keys = webPush.generateVAPIDKeys();
  /** PEM of the certificate of the push service's own authority; undefined: it speaks without TLS. */
  readonly #authority: string | undefined;

  constructor(authority?: string) {
    this.#authority = authority;
  }

  /** What a page subscribes with. */
  get publicKey(): string {
    return this.#keys.publicKey;
  }

  /** Sends once; whatever the answer is, it is returned. No body: the push only says that there is something. */
  async push(
    subscription: unknown,
    body: string | undefined,
    options: PushOptions = {},
  ): Promise<PushAnswer> {
    const { ttlSeconds = 600, urgency, topic, wantsReceipt = false } = options;
    const details = webPush.generateRequestDetails(subscription as PushSubscription, body, {
      vapidDetails: { subject: 'mailto:tests@example.org', ...this.#keys },
      TTL: ttlSeconds,
      ...(urgency !== undefined && { urgency }),
      ...(topic !== undefined && { topic }),
      headers: wantsReceipt ? { Prefer: 'respond-async' } : {},
    });
    const headers = details.headers as Record<string, string | number>;
    const answer = await this.#request(details.endpoint, 'POST', headers, details.body);
    const link = /<([^>]+)>\s*;\s*rel="?urn:ietf:params:push:receipt"?/.exec(
      [answer.headers.link].join(),
    )?.[1];
    const absolute = (address: string | undefined): string =>
      address === undefined ? '' : new URL(address, details.endpoint).href;
    return {
      status: answer.status,
      body: answer.body,
      location: absolute(answer.headers.location),
      receipt: absolute(link),
    };
  }

  /** Sends what must be taken. */
  async send(
    subscription: unknown,
    body: string | undefined,
    options: PushOptions = {},
  ): Promise<PushAnswer> {
    const answer = await this.push(subscription, body, options);
    const wanted = options.wantsReceipt === true ? 202 : 201;
    if (answer.status !== wanted) throw new Error(`${answer.status} instead of ${wanted}: ${answer.body}`);
    return answer;
  }

  /** Resolves when the receipt tells the stage. */
  async stage(receipt: string, wanted: string): Promise<void> {
    let told = '';
    await until(
      async () => {
        const { status, body } = await this.#request(receipt, 'GET');
        told = `${status} ${body}`;
        return status === 200 && (JSON.parse(body) as { stage: string }).stage === wanted;
      },
      PATIENCE_MS,
      () => `the receipt tells '${wanted}'; it told ${told}`,
    );
  }

  async #request(
    url: string,
    method: string,
    headers: Readonly<Record<string, string | number>> = {},
    body: Buffer | null = null,
  ): Promise<Exchanged> {
    const request = url.startsWith('https:')
      ? requestHttps(url, { method, headers, ca: this.#authority, timeout: PATIENCE_MS })
      : requestHttp(url, { method, headers, timeout: PATIENCE_MS });
    request.once('timeout', () => request.destroy(new Error(`${method} ${url} was not answered in time`)));
    request.end(body ?? undefined);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return { status: response.statusCode!, headers: response.headers, body: await text(response) };
  }
}

interface Exchanged {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}
