/** A user agent as far as its push protocol goes: what Firefox, Sunup and KUnifiedPush say, on the `ws` package. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { ClientOptions } from 'ws';

export interface Frame {
  readonly messageType?: string;
  readonly uaid?: string;
  readonly channelID?: string;
  readonly status?: number;
  readonly pushEndpoint?: string;
  readonly version?: string;
  readonly data?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly broadcasts?: Readonly<Record<string, unknown>>;
}

export class PushClient {
  readonly webSocket: WebSocket;
  /** Code and text of the close frame, once there is one. */
  readonly closed: Promise<readonly [code: number, text: string]>;
  isClosed = false;
  /** As the last hello was answered. */
  uaid = '';
  /** Frames that came and were not taken. */
  readonly frames: Frame[] = [];
  #wake: () => void = () => {};

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    webSocket.on('error', () => {});
    webSocket.on('message', (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()) as Frame);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      webSocket.on('close', (code, text) => {
        this.isClosed = true;
        this.#wake();
        resolve([code, text.toString()]);
      });
    });
  }

  /** A WebSocket on which nothing was said yet. `protocols`: as the client offers them. */
  static async open(
    url: string,
    protocols: readonly string[] = ['push-notification'],
    options: ClientOptions = {},
  ): Promise<PushClient> {
    const webSocket = new WebSocket(`${url.replace(/^http/, 'ws')}/`, [...protocols], options);
    const client = new PushClient(webSocket);
    await once(webSocket, 'open');
    return client;
  }

  /** A client whose hello was answered. `uaid`: what it presents. */
  static async connect(url: string, uaid?: string, options: ClientOptions = {}): Promise<PushClient> {
    const client = await PushClient.open(url, undefined, options);
    await client.hello(uaid);
    return client;
  }

  async hello(uaid?: string, broadcasts: object = {}): Promise<Frame> {
    this.send({ messageType: 'hello', use_webpush: true, broadcasts, uaid });
    const answer = await this.take('hello');
    this.uaid = answer.uaid!;
    return answer;
  }

  send(frame: object): void {
    this.webSocket.send(JSON.stringify(frame));
  }

  /** The next frame of this type; those before it stay. Rejects when the connection is closed. */
  async take(messageType: string | undefined): Promise<Frame> {
    for (;;) {
      const index = this.frames.findIndex((frame) => frame.messageType === messageType);
      if (index >= 0) return this.frames.splice(index, 1)[0]!;
      if (this.isClosed) throw new Error(`closed while waiting for ${messageType ?? 'a pong'}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async register(channelID: string, key?: string): Promise<string> {
    this.send({ messageType: 'register', channelID, key });
    const answer = await this.take('register');
    if (answer.status !== 200) throw new Error(`register: ${answer.status}`);
    return answer.pushEndpoint!;
  }

  /** The next notification, acknowledged unless `code` is null. */
  async notification(code: number | null = 100): Promise<Frame> {
    const frame = await this.take('notification');
    if (code !== null) this.ack(frame, code);
    return frame;
  }

  ack({ channelID, version }: Frame, code = 100): void {
    this.send({ messageType: 'ack', updates: [{ channelID, version, code }] });
  }

  /** Everything that was sent before has been handled: a ping is answered behind it. Once in 45 s. */
  async settle(): Promise<void> {
    this.send({});
    await this.take(undefined);
  }

  /** The network fails. */
  async vanish(): Promise<void> {
    this.webSocket.terminate();
    await this.closed;
  }
}

/** Pushes to an endpoint as an application server does; the response, whose body is read. */
export async function push(
  endpoint: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { ttl: '3600', 'content-encoding': 'aes128gcm', ...headers },
    body,
    signal: AbortSignal.timeout(60_000),
  });
  await response.arrayBuffer();
  return response;
}

export function textOf({ data }: Frame): string {
  return data === undefined ? '' : Buffer.from(data, 'base64url').toString();
}
