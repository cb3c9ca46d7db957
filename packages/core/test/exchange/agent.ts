/** A user agent of Web Push at a {@link TestServer}. */
import assert from 'node:assert/strict';
import { encodeUtf8 } from '../../src/base/index.js';
import { type Refusal, type Stage, Urgency } from '../../src/domain/index.js';
import { AddressBudget, BroadcastTable, WebPushSession } from '../../src/session/webpush/index.js';
import type { Connection, TestServer } from './exchange.js';

export interface Frame {
  readonly messageType?: string;
  readonly uaid?: string;
  readonly channelID?: string;
  readonly status?: number;
  readonly pushEndpoint?: string;
  readonly version?: string;
  readonly data?: string;
}

/** One connection of a user agent. */
export class Agent implements Connection {
  readonly session: WebPushSession;
  readonly flow: number;
  closed: Refusal | null | undefined;
  /** As the last hello was answered. */
  uaid = '';
  readonly #server: TestServer;
  readonly #received: Frame[] = [];
  #minted = 0;

  private constructor(server: TestServer, flow: number) {
    this.#server = server;
    this.flow = flow;
    this.session = new WebPushSession(server.now, '192.0.2.1:1', '192.0.2.1', {
      // What is behind the last slash is the hash itself: nothing here is secret.
      mintEndpoint: () => {
        const tokenSha256 = String(flow * 1_000 + (this.#minted += 1)).padStart(64, '0');
        return { url: `https://push.example/${tokenSha256}`, tokenSha256 };
      },
      broadcasts: new BroadcastTable(),
      newAgents: new AddressBudget(1_000, 1_000, 1_000),
      pingAfterMs: undefined,
    });
  }

  /** A user agent whose hello was answered; `uaid`: what it presents. */
  static async connect(server: TestServer, uaid?: string): Promise<Agent> {
    const agent = server.attach((flow) => new Agent(server, flow));
    const [hello, ...more] = await agent.send({ messageType: 'hello', use_webpush: true, uaid });
    assert.equal(hello?.messageType, 'hello');
    agent.uaid = hello.uaid!;
    agent.#received.push(...more);
    return agent;
  }

  /** Sends a frame, and lets the server work until nothing is left to do. Takes what came since. */
  async send(frame: object): Promise<Frame[]> {
    this.session.handleInput(this.#server.now, {
      kind: 'bytes',
      chunk: encodeUtf8(JSON.stringify(frame)),
    });
    await this.#server.run();
    return this.take();
  }

  /** The endpoint of a channel. */
  async register(channelID: string): Promise<string> {
    const [answer] = await this.send({ messageType: 'register', channelID });
    assert.equal(answer?.status, 200);
    return answer.pushEndpoint!;
  }

  async ack(channelID: string, version: string | undefined, code?: number): Promise<Frame[]> {
    return this.send({ messageType: 'ack', updates: [{ channelID, version, code }] });
  }

  /** The network fails. */
  async vanish(): Promise<void> {
    this.session.handleInput(this.#server.now, { kind: 'socket-closed' });
    await this.#server.run();
  }

  take(): Frame[] {
    return this.#received.splice(0);
  }

  hear(bytes: Uint8Array): void {
    const lines = Buffer.from(bytes).toString().slice(0, -1).split('\n');
    this.#received.push(...lines.map((line) => JSON.parse(line) as Frame));
  }
}

export interface PushOptions {
  readonly expirySeconds?: number;
  readonly urgency?: Urgency;
  readonly replaceKey?: string;
}

/** Pushes to an endpoint; the id of the receipt, or why it was refused. */
export async function push(
  server: TestServer,
  endpoint: string,
  body: string,
  options: PushOptions = {},
): Promise<string> {
  const reply = await server.request({
    kind: 'push',
    tokenSha256: endpoint.slice(endpoint.lastIndexOf('/') + 1),
    vapidKey: undefined,
    wantsReceipt: true,
    message: {
      body: encodeUtf8(body),
      properties: new Uint8Array(0),
      qos: 1,
      expirySeconds: options.expirySeconds ?? 3_600,
      urgency: options.urgency ?? Urgency.normal,
      replaceKey: options.replaceKey,
    },
  });
  if (reply.kind === 'refused') return reply.reason;
  assert(reply.kind === 'pushed');
  return reply.messageId ?? '';
}

/** What became of a push. */
export async function stageOf(server: TestServer, messageId: string): Promise<[Stage, string | undefined]> {
  const reply = await server.request({ kind: 'get-message', messageId });
  assert(reply.kind === 'message');
  const [recipient] = reply.message.recipients;
  assert(recipient !== undefined);
  return [recipient.stage, recipient.reason];
}

/** What is in a notification. */
export function textOf({ data }: Frame): string {
  return data === undefined ? '' : Buffer.from(data, 'base64url').toString();
}
