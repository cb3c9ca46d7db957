/** Runs command lines in this process against a scripted server. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { run } from '../src/main.js';
import type { CliIo } from '../src/main.js';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Nothing of the tester's own environment reaches the command. */
export async function wakeline(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  input = '',
): Promise<Outcome> {
  let out = '';
  let err = '';
  const sink = (take: (text: string) => void): Writable =>
    new Writable({
      write: (chunk, _encoding, done) => {
        take(String(chunk));
        done();
      },
    });
  const io: CliIo = {
    stdout: sink((text) => (out += text)),
    stderr: sink((text) => (err += text)),
    stdin: Readable.from(input === '' ? [] : [Buffer.from(input)]) as unknown as CliIo['stdin'],
    environment: { XDG_DATA_HOME: '/nonexistent', ...environment },
  };
  const code = await run(argv, io);
  return { code, out, err };
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into JSON of every shape
  readonly json: any;
}

export class FakeServer {
  readonly requests: SeenRequest[] = [];
  answer: (request: SeenRequest) => { readonly status: number; readonly json?: object } = () => ({
    status: 200,
    json: {},
  });
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        const seen = { method, url, headers, json: text === '' ? undefined : JSON.parse(text) };
        this.requests.push(seen);
        const { status, json } = this.answer(seen);
        response.statusCode = status;
        response.end(json === undefined ? undefined : JSON.stringify(json));
      });
    });
  }

  async start(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
