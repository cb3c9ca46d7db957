/**
 * Wakes a phone by an endpoint of Web Push that is not ours (RFC 8599 §12 with RFC 8030): an empty POST.
 *
 * The endpoint is a URL that a phone chose, so it is taken for an attempt to make this server ask somebody else: https
 * only, no redirects, and the address is looked at when the connection is made, not before, so that a name cannot change
 * in between. What is answered, beside the status, is thrown away. Neither the URL nor anything of the answer is logged:
 * who has the URL may push.
 */
import { lookup } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { Agent, request } from 'node:https';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import type { WakeOutcome, WakeRequest } from '@wakeline/core/domain';
import type { RuntimeLimits } from '../runtime/limits.js';
import type { Log } from '../runtime/log.js';
import { isPublicAddress } from './public-address.js';

/** Why a push was not made, or not taken; for logs. */
export const pushRefusals = {
  'address-not-public':
    'the host is at a private, local or special address, and is not listed in sip.pushEndpoints',
  'endpoint-not-https': 'the endpoint is no https URL, or has a name and password in it',
  redirected: 'the endpoint answered with a redirect, which is not followed',
  'too-many-waiting': 'as many pushes wait as may (wakePushesWaitingMax)',
  'timed-out': 'there was no answer in time (wakePushMs)',
} as const;
export type PushRefusal = keyof typeof pushRefusals;

export interface WebPushRouteOptions {
  readonly limits: Pick<
    RuntimeLimits,
    'wakePushMs' | 'wakePushesPerHostMax' | 'wakePushesMax' | 'wakePushesWaitingMax' | 'wakePushReplyBytesMax'
  >;
  /** Beginnings of endpoints that may be at any address; without a slash at their ends. */
  readonly allowed: readonly string[];
  readonly log: Log;
  /** Authorities whose certificates are believed, PEM; default: the host's. */
  readonly authorities?: string | undefined;
  /** Default: the host's. */
  readonly lookup?: typeof lookup | undefined;
}

/** By outcome; numbers only grow. */
export type PushCounters = Record<WakeOutcome, number>;

interface Waiting {
  readonly wake: WakeRequest;
  readonly url: URL;
  readonly resolve: (outcome: WakeOutcome) => void;
}

class NotPublicError extends Error {
  readonly code = 'address-not-public';
}

export class WebPushRoute {
  readonly counters: PushCounters = { accepted: 0, gone: 0, refused: 0, failed: 0 };
  readonly #options: WebPushRouteOptions;
  /** For endpoints at any address, and for those that must be public: connections are not shared between them. */
  readonly #agents: { readonly listed: Agent; readonly others: Agent };
  readonly #waiting: Waiting[] = [];
  readonly #underWay = new Map<string, number>();
  #count = 0;
  #isClosed = false;

  constructor(options: WebPushRouteOptions) {
    this.#options = options;
    const { limits } = options;
    const common = {
      keepAlive: true,
      maxSockets: limits.wakePushesPerHostMax,
      maxTotalSockets: limits.wakePushesMax,
      maxFreeSockets: limits.wakePushesPerHostMax,
      timeout: limits.wakePushMs,
      ...(options.authorities !== undefined && { ca: options.authorities }),
    };
    this.#agents = { listed: new Agent(common), others: new Agent(common) };
  }

  /** Never rejects. */
  readonly push = async (wake: WakeRequest): Promise<WakeOutcome> => {
    const outcome = await this.#enter(wake);
    this.counters[outcome] += 1;
    return outcome;
  };

  /** Pushes under way fail. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#agents.listed.destroy();
    this.#agents.others.destroy();
    for (const { resolve } of this.#waiting.splice(0)) resolve('failed');
  }

  #enter(wake: WakeRequest): Promise<WakeOutcome> {
    const url = URL.canParse(wake.resource) ? new URL(wake.resource) : undefined;
    if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      return this.#refuse('endpoint-not-https', '', 'refused');
    }
    if (this.#isClosed) return Promise.resolve('failed');
    if (this.#waiting.length >= this.#options.limits.wakePushesWaitingMax) {
      return this.#refuse('too-many-waiting', url.host, 'failed');
    }
    return new Promise((resolve) => {
      this.#waiting.push({ wake, url, resolve });
      this.#beginSome();
    });
  }

  #refuse(reason: PushRefusal, host: string, outcome: WakeOutcome): Promise<WakeOutcome> {
    this.#note(reason, host);
    return Promise.resolve(outcome);
  }

  #note(reason: PushRefusal, host: string): void {
    this.#options.log.info({ host, reason }, `push to a foreign endpoint not made: ${pushRefusals[reason]}`);
  }

  /** Begins those that wait, oldest first, as far as the limits let them. */
  #beginSome(): void {
    const { wakePushesMax, wakePushesPerHostMax } = this.#options.limits;
    for (let index = 0; index < this.#waiting.length && this.#count < wakePushesMax;) {
      const { wake, url, resolve } = this.#waiting[index]!;
      const ofHost = this.#underWay.get(url.host) ?? 0;
      if (ofHost >= wakePushesPerHostMax) {
        index += 1;
        continue;
      }
      this.#waiting.splice(index, 1);
      this.#count += 1;
      this.#underWay.set(url.host, ofHost + 1);
      void this.#post(wake, url).then((outcome) => {
        this.#count -= 1;
        const left = (this.#underWay.get(url.host) ?? 1) - 1;
        if (left === 0) this.#underWay.delete(url.host);
        else this.#underWay.set(url.host, left);
        resolve(outcome);
        this.#beginSome();
      });
    }
  }

  #post(wake: WakeRequest, url: URL): Promise<WakeOutcome> {
    const { limits } = this.#options;
    const isListed = this.#options.allowed.some((beginning) => isBelow(url, beginning));
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    // An address in the URL is connected to without being looked up.
    if (!isListed && isIP(host) !== 0 && !isPublicAddress(host)) {
      return this.#refuse('address-not-public', url.host, 'refused');
    }
    return new Promise((resolve) => {
      const sent = request(url, {
        method: 'POST',
        agent: isListed ? this.#agents.listed : this.#agents.others,
        lookup: this.#lookup(isListed),
        signal: AbortSignal.timeout(limits.wakePushMs),
        headers: {
          ttl: String(wake.ttlSeconds),
          urgency: 'high',
          topic: wake.topic,
          'content-length': '0',
        },
      });
      sent.on('response', (response) => {
        const status = response.statusCode ?? 0;
        if (status >= 300 && status < 400) this.#note('redirected', url.host);
        resolve(outcomeOf(status));
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > limits.wakePushReplyBytesMax) response.destroy();
        });
        // Nobody wants the rest.
        response.on('error', () => {});
      });
      sent.on('error', (error: NodeJS.ErrnoException) => {
        resolve(this.#outcomeOfError(error, url.host));
      });
      sent.end();
    });
  }

  #outcomeOfError(error: NodeJS.ErrnoException, host: string): WakeOutcome {
    if (error.code === 'address-not-public') {
      this.#note('address-not-public', host);
      return 'refused';
    }
    if (error.name === 'TimeoutError' || error.name === 'AbortError') this.#note('timed-out', host);
    else this.#options.log.info({ host, code: error.code }, 'push to a foreign endpoint failed');
    return 'failed';
  }

  /** Gives the connection only addresses that it may be made to. */
  #lookup(isListed: boolean): LookupFunction {
    const find = this.#options.lookup ?? lookup;
    return (hostname, options, callback) => {
      find(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
        if (error !== null) {
          callback(error, []);
          return;
        }
        const usable = isListed ? found : found.filter(({ address }) => isPublicAddress(address));
        const [first] = usable;
        if (first === undefined) callback(new NotPublicError(hostname), []);
        else if (options.all === true) callback(null, usable);
        else callback(null, first.address, first.family);
      });
    };
  }
}

/** Whether the URL begins as a listed one does, at the end of a path's part. */
function isBelow(url: URL, beginning: string): boolean {
  const listed = new URL(beginning);
  const path = listed.pathname.replace(/\/$/, '');
  return listed.origin === url.origin && (url.pathname === path || url.pathname.startsWith(`${path}/`));
}

function outcomeOf(status: number): WakeOutcome {
  if (status >= 200 && status < 300) return 'accepted';
  if (status === 404 || status === 410) return 'gone';
  // RFC 8030 §8.4: too many for now.
  if (status === 429 || status === 408 || status >= 500) return 'failed';
  return 'refused';
}
