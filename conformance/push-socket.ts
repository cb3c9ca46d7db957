/** Mozilla's push protocol by hand: a WebSocket with JSON, as the distributors of UnifiedPush speak it. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { PATIENCE_MS } from './program.js';
import { until } from './support.js';

type Message = Readonly<Record<string, unknown>>;

export class PushSocket {
  readonly #socket: WebSocket;
  /** What has come and was not asked for yet. */
  readonly #received: string[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#received.push(data.toString()));
  }

  /** `subprotocol` null: it offers none. */
  static async open(url: URL, subprotocol: string | null): Promise<PushSocket> {
    const address = url.href.replace(/^http/, 'ws');
    const socket = subprotocol === null ? new WebSocket(address) : new WebSocket(address, subprotocol);
    const opened = new PushSocket(socket);
    await once(socket, 'open');
    return opened;
  }

  say(message: Message): void {
    this.#socket.send(JSON.stringify(message));
  }

  /** Says it, and resolves with the answer of the same type. */
  ask(message: Message): Promise<Message> {
    this.say(message);
    return this.next(String(message['messageType']));
  }

  /** Takes the next message, which must be of this type. */
  async next(messageType: string): Promise<Message> {
    const text = await this.#take();
    const message = JSON.parse(text) as Message;
    if (message['messageType'] !== messageType) throw new Error(`${text} instead of ${messageType}`);
    return message;
  }

  /** Takes the next message, which must be this text. */
  async nextText(wanted: string): Promise<void> {
    const text = await this.#take();
    if (text !== wanted) throw new Error(`${text} instead of ${wanted}`);
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  async #take(): Promise<string> {
    await until(
      () => this.#received.length > 0,
      PATIENCE_MS,
      () => `a message comes; the socket is in state ${this.#socket.readyState}`,
    );
    return this.#received.shift()!;
  }
}
