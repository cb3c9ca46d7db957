/** What every transport must do, against a server of bytes that a test has: one suite, run for each. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Transport, TransportConnection, TransportHandler } from '../../src/ports/index.js';

/** The server's end of a connection. */
export interface Peer {
  send(bytes: Uint8Array): void;
  /** Ends it in peace. */
  end(): void;
  /** Breaks it off. */
  destroy(): void;
  /** Everything that came. */
  readonly received: Buffer;
  readonly hasEnded: boolean;
}

export interface ByteServer {
  readonly url: URL;
  /** Where nobody listens. */
  readonly deadUrl: URL;
  /** In the order in which they came. */
  readonly peers: readonly Peer[];
  close(): Promise<void>;
}

export class RecordingHandler implements TransportHandler {
  received = Buffer.alloc(0);
  readonly ends: unknown[] = [];
  handleBytes(chunk: Uint8Array): void {
    this.received = Buffer.concat([this.received, chunk]);
  }
  handleClosed(cause: unknown): void {
    this.ends.push(cause);
  }
}

export async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > endMs) throw new Error(`it does not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const never = new AbortController().signal;

export function describeTransport(
  name: string,
  start: () => Promise<{ readonly transport: Transport; readonly server: ByteServer }>,
): void {
  const run = async (
    work: (parts: {
      readonly transport: Transport;
      readonly server: ByteServer;
      readonly handler: RecordingHandler;
      open(): Promise<{ readonly connection: TransportConnection; readonly peer: Peer }>;
    }) => Promise<void>,
  ): Promise<void> => {
    const { transport, server } = await start();
    const handler = new RecordingHandler();
    const open = async (): Promise<{ readonly connection: TransportConnection; readonly peer: Peer }> => {
      const connection = await transport.open(server.url, handler, never);
      await until(() => server.peers.length > 0, 'the server has the connection');
      return { connection, peer: server.peers.at(-1)! };
    };
    try {
      await work({ transport, server, handler, open });
    } finally {
      await server.close();
    }
  };

  describe(`the transport ${name}`, () => {
    test('knows the scheme of the server', () =>
      run(async ({ transport, server }) => {
        assert(transport.schemes.includes(server.url.protocol.slice(0, -1)));
      }));

    test('carries bytes both ways, in order', () =>
      run(async ({ handler, open }) => {
        const { connection, peer } = await open();
        const large = Buffer.alloc(300_000, 'abcdefg');
        connection.write(Uint8Array.of(1, 2));
        connection.write(large);
        await connection.flush();
        assert.equal(connection.unsentBytes, 0);
        await until(() => peer.received.length === large.length + 2, 'the server has all');
        assert(peer.received.equals(Buffer.concat([Uint8Array.of(1, 2), large])));
        peer.send(large);
        peer.send(Uint8Array.of(3));
        await until(() => handler.received.length === large.length + 1, 'all is here');
        assert(handler.received.equals(Buffer.concat([large, Uint8Array.of(3)])));
      }));

    test('tells once that the other side has ended it, and then takes nothing', () =>
      run(async ({ handler, open }) => {
        const { connection, peer } = await open();
        peer.end();
        await until(() => handler.ends.length > 0, 'the end is told');
        connection.write(Uint8Array.of(1));
        await connection.flush();
        await connection.close();
        assert.deepEqual(handler.ends, [undefined]);
      }));

    test('tells once that it broke', () =>
      run(async ({ handler, open }) => {
        const { connection, peer } = await open();
        peer.destroy();
        await until(() => handler.ends.length > 0, 'the end is told');
        await connection.close();
        assert.equal(handler.ends.length, 1);
      }));

    test('sends what was written before it closes, and tells nothing of an end that was asked for', () =>
      run(async ({ handler, open }) => {
        const { connection, peer } = await open();
        const last = Buffer.alloc(100_000, 'z');
        connection.write(last);
        await Promise.all([connection.close(), connection.close()]);
        await until(() => peer.hasEnded, 'the server sees the end');
        assert(peer.received.equals(last));
        assert.deepEqual(handler.ends, []);
      }));

    test('rejects when nobody listens', () =>
      run(async ({ transport, server, handler }) => {
        await assert.rejects(transport.open(server.deadUrl, handler, never), Error);
        assert.deepEqual(handler.ends, []);
      }));

    test('given up, it rejects with the reason, and nothing stays open', () =>
      run(async ({ transport, server, handler }) => {
        const early = AbortSignal.abort(new Error('before'));
        await assert.rejects(transport.open(server.url, handler, early), { message: 'before' });
        const controller = new AbortController();
        const opening = transport.open(server.url, handler, controller.signal);
        controller.abort(new Error('enough'));
        await assert.rejects(opening, { message: 'enough' });
        // Whatever reached the server ends there, too; one that is opened now is behind it.
        await transport.open(server.url, handler, never);
        await until(
          () => server.peers.filter(({ hasEnded }) => !hasEnded).length === 1,
          'one connection is open',
        );
        assert.deepEqual(handler.ends, []);
      }));
  });
}
