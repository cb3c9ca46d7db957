/** The WebSocket by which a browser is steered: commands in JSON with a number, each answered once. What has no number is an event, and passed over. */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { Program } from './program.js';

export interface Command {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly sessionId?: string | undefined;
}

export class SteeringSocket<Answer extends { readonly id?: number }> {
  readonly #program: Program;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;

  private constructor(program: Program, socket: WebSocket) {
    this.#program = program;
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('message', (data: Buffer) => {
      const answer = JSON.parse(data.toString()) as Answer;
      if (answer.id === undefined) return;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  static async open<Answer extends { readonly id?: number }>(
    program: Program,
    url: string,
  ): Promise<SteeringSocket<Answer>> {
    const socket = new WebSocket(url);
    await once(socket, 'open');
    return new SteeringSocket<Answer>(program, socket);
  }

  /** Resolves with the answer, whatever it says. */
  command(command: Command, patienceMs: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const timer = setTimeout(() => {
        reject(new Error(`${command.method}: no answer in ${patienceMs} ms: ${this.#program.stderr}`));
      }, patienceMs);
      this.#waiting.set(id, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#socket.send(JSON.stringify({ id, ...command }));
    });
  }

  terminate(): void {
    this.#socket.terminate();
  }
}
