/** The HTTP API on a real socket before a hub that answers from a script. */
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders, OutgoingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ApiToken, ControlReply, Scope } from '@wakeline/core/domain';
import { createHttpApi, sha256Hex } from '../../src/http/index.js';
import type { HttpApiOptions, HubRequest } from '../../src/http/index.js';

type WithoutTicket<Reply> = Reply extends unknown ? Omit<Reply, 'ticket'> : never;
export type ScriptedReply = WithoutTicket<ControlReply>;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into JSON of every shape
  readonly json: any;
}

export interface CallOptions {
  readonly headers?: OutgoingHttpHeaders;
  /** An object is sent as JSON. */
  readonly body?: object | string | Uint8Array;
  readonly token?: string;
}

export class FakeHub {
  /** What came in, oldest first. */
  readonly requests: HubRequest[] = [];
  readonly logged: string[] = [];
  reply: (request: HubRequest) => ScriptedReply | Promise<ScriptedReply> = () => ({
    kind: 'sent',
    messageId: 'm1',
    recipientCount: 1,
    repeated: false,
  });
  isReady = true;
  readonly tokens = new Map<string, ApiToken>();
  readonly #server: Server;
  readonly #close: () => Promise<void>;

  private constructor(server: Server, close: () => Promise<void>) {
    this.#server = server;
    this.#close = close;
  }

  static async start(overrides: Partial<HttpApiOptions> = {}): Promise<FakeHub> {
    const hub: FakeHub = new FakeHub(
      createServer((request, response) => api.handle(request, response)),
      () => api.close(),
    );
    const note = (fields: object, message: string): void => {
      hub.logged.push(`${message} ${JSON.stringify(fields)}`);
    };
    let randomCalls = 0;
    const api = await createHttpApi({
      request: async (request) => {
        hub.requests.push(request);
        return { ticket: 1, ...(await hub.reply(request)) } as ControlReply;
      },
      findApiToken: (sha256) => hub.tokens.get(sha256),
      openApi: true,
      publicUrl: () => 'https://push.example.org',
      sipDomains: ['example.org'],
      sipChallenge: ['sha-256'],
      isReady: () => hub.isReady,
      metricsText: () => Promise.resolve('wakeline_up 1\n'),
      random: (bytes) => new Uint8Array(bytes).fill((randomCalls += 1)),
      now: () => Date.UTC(2026, 0, 2),
      log: { debug: note, error: note },
      behindProxy: [],
      ...overrides,
    });
    hub.#server.listen(0, '127.0.0.1');
    await once(hub.#server, 'listening');
    return hub;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  addToken(secret: string, scopes: readonly Scope[]): void {
    const sha256 = sha256Hex(secret);
    this.tokens.set(sha256, { id: `id-${scopes.join('-')}`, name: 'test', sha256, scopes, createdMs: 0 });
  }

  async call(method: string, path: string, { headers = {}, body, token }: CallOptions = {}): Promise<Answer> {
    const isJson = typeof body === 'object' && !(body instanceof Uint8Array);
    const request = httpRequest({
      host: '127.0.0.1',
      port: this.port,
      method,
      path,
      headers: {
        ...(isJson ? { 'content-type': 'application/json' } : {}),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    // A body that is refused unread may break the pipe behind the answer.
    request.on('error', () => undefined);
    request.end(isJson ? JSON.stringify(body) : body);
    const [response] = await once(request, 'response');
    let text = '';
    response.setEncoding('utf8');
    for await (const chunk of response) text += chunk;
    const isJsonAnswer = String(response.headers['content-type']).startsWith('application/json');
    return {
      status: response.statusCode,
      headers: response.headers,
      text,
      json: isJsonAnswer && text !== '' ? JSON.parse(text) : undefined,
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#close();
  }
}
