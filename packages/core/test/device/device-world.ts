/** A device's machine at a {@link TestServer}, over a network and a disk that fail when the test says so. */
import assert from 'node:assert/strict';
import type { Prng } from '../../src/base/index.js';
import {
  DeviceMachine,
  noKeepalive,
  type CursorValue,
  type DeviceInput,
  type DeviceMessage,
  type DeviceOptions,
  type DeviceOutput,
  type Status,
} from '../../src/device/index.js';
import type { Refusal } from '../../src/domain/index.js';
import { MqttSession } from '../../src/session/mqtt/index.js';
import type { Connection, TestServer } from '../exchange/exchange.js';
import { defaults } from '../session/mqtt/harness.js';

/** The server's end of a connection: what the server wrote waits here. */
class ServerEnd implements Connection {
  readonly session: MqttSession;
  readonly flow: number;
  closed: Refusal | null | undefined;
  readonly written: Uint8Array[] = [];

  constructor(server: TestServer, flow: number) {
    this.flow = flow;
    this.session = new MqttSession(server.now, '192.0.2.1:1', defaults);
  }

  hear(bytes: Uint8Array): void {
    this.written.push(bytes);
  }
}

export class TestDevice {
  readonly server: TestServer;
  readonly #options: Partial<DeviceOptions>;
  machine!: DeviceMachine;
  /** On disk. */
  cursor: CursorValue | undefined;
  /** Messages given since the app was started, in order. */
  given: DeviceMessage[] = [];
  outputs: DeviceOutput[] = [];
  /** Whether the platform can open a connection. */
  hasPath = true;
  /** Whether cursors are written at once. */
  hasDisk = true;
  /** The bytes from the device after which the connection breaks, at random; 0: it does not. */
  breakShare = 0;
  readonly #prng: Prng;
  #end: ServerEnd | null = null;
  #connection = 0;
  /** Canaries, by their connection; those behind a path that is gone hear nothing. */
  readonly #canaries = new Map<number, ServerEnd>();
  readonly #lost = new Set<ServerEnd>();
  #unstored: CursorValue | undefined;
  /** Called with each message, before anything else is done. */
  onMessage: (message: DeviceMessage) => void = () => undefined;

  constructor(server: TestServer, prng: Prng, options: Partial<DeviceOptions> = {}) {
    this.server = server;
    this.#prng = prng;
    this.#options = options;
    this.launch();
  }

  /** The app begins anew, with what is on disk. */
  launch(): void {
    this.given = [];
    this.outputs = [];
    this.#unstored = undefined;
    this.machine = new DeviceMachine({
      deviceId: 'd1',
      sessionExpirySeconds: 86_400,
      keepalive: noKeepalive(),
      windowMs: 10_000,
      cursor: this.cursor,
      seed: this.#prng.nextUint32(),
      ...this.#options,
    });
  }

  /** The process dies: nothing that was not on disk or on the wire is left. */
  async crash(): Promise<void> {
    this.#hangUp();
    this.launch();
    await this.settle();
  }

  get status(): Status {
    return this.machine.status;
  }

  async input(input: DeviceInput): Promise<void> {
    this.machine.handleInput(this.server.now, input);
    await this.settle();
  }

  /** The connection breaks; both ends hear of it, unless `isSilent`. */
  async cut(isSilent = false): Promise<void> {
    const connection = this.#connection;
    this.#hangUp();
    if (!isSilent && connection !== 0) await this.input({ kind: 'transport-closed', connection });
    await this.settle();
  }

  /** The network forgets the canaries that there are: nothing comes in on them any more, and nobody is told. */
  forgetCanaries(): void {
    for (const end of this.#canaries.values()) this.#lost.add(end);
  }

  get canaryCount(): number {
    return this.#canaries.size;
  }

  async finish(message: DeviceMessage, isHandled = true): Promise<void> {
    await this.input({ kind: 'finish', message: message.id, isHandled });
  }

  /** What is being stored reaches the disk, or does not. */
  async store(isStored = true): Promise<void> {
    if (this.#unstored === undefined) return;
    if (isStored) this.cursor = this.#unstored;
    this.#unstored = undefined;
    await this.input({ kind: isStored ? 'cursor-stored' : 'cursor-failed' });
  }

  /** Moves the clock of both, from deadline to deadline of the device. */
  async advance(ms: number): Promise<void> {
    const endMs = this.server.now.monotonic + ms;
    for (;;) {
      const dueMs = Math.min(endMs, this.machine.nextTimeoutMs());
      await this.server.advance(Math.max(0, dueMs - this.server.now.monotonic));
      await this.settle();
      this.machine.handleTimeout(this.server.now);
      await this.settle();
      if (this.server.now.monotonic >= endMs && this.machine.nextTimeoutMs() > endMs) return;
    }
  }

  /** Takes the outputs of these kinds. */
  take<Kind extends DeviceOutput['kind']>(
    ...kinds: readonly Kind[]
  ): Extract<DeviceOutput, { kind: Kind }>[] {
    const found = this.outputs.filter(({ kind }) => kinds.includes(kind as Kind));
    this.outputs = this.outputs.filter((output) => !found.includes(output));
    return found as Extract<DeviceOutput, { kind: Kind }>[];
  }

  /** Carries bytes until nothing is left to do. */
  async settle(): Promise<void> {
    await this.server.run();
    for (;;) {
      const output = this.machine.pollOutput();
      if (output !== undefined) await this.#do(output);
      else if (!(await this.#receive())) return;
    }
  }

  async #do(output: DeviceOutput): Promise<void> {
    switch (output.kind) {
      case 'connect':
        return output.role === 'canary' ? this.#openCanary(output.connection) : this.#open(output.connection);
      case 'write':
        if (this.#canaries.has(output.connection)) return this.#sendOnCanary(output);
        // Said before the machine heard of the end.
        return output.connection === this.#connection ? this.#send(output.bytes) : undefined;
      case 'close':
        this.#closeCanary(output.connection);
        if (output.connection === this.#connection) this.#hangUp();
        return;
      case 'store-cursor':
        assert.equal(this.#unstored, undefined, 'one cursor is stored at a time');
        this.#unstored = output.cursor;
        if (this.hasDisk) await this.store();
        return;
      case 'message':
        this.onMessage(output.message);
        this.given.push(output.message);
        return;
      default:
        this.outputs.push(output);
    }
  }

  #open(connection: number): void {
    assert.equal(this.#end, null, 'one connection at a time');
    this.#connection = connection;
    if (this.hasPath) {
      this.#end = this.server.attach((flow) => new ServerEnd(this.server, flow));
      this.machine.handleInput(this.server.now, { kind: 'transport-open', connection });
    } else {
      this.#connection = 0;
      this.machine.handleInput(this.server.now, { kind: 'transport-closed', connection });
    }
  }

  #openCanary(connection: number): void {
    const end = this.server.attach((flow) => new ServerEnd(this.server, flow));
    this.#canaries.set(connection, end);
    this.machine.handleInput(this.server.now, { kind: 'transport-open', connection });
  }

  async #sendOnCanary({ connection, bytes }: Extract<DeviceOutput, { kind: 'write' }>): Promise<void> {
    const end = this.#canaries.get(connection)!;
    if (this.#lost.has(end)) return;
    end.session.handleInput(this.server.now, { kind: 'bytes', chunk: bytes.slice() });
    await this.server.run();
  }

  #closeCanary(connection: number): void {
    const end = this.#canaries.get(connection);
    this.#canaries.delete(connection);
    if (end === undefined || end.closed !== undefined || this.#lost.has(end)) return;
    end.session.handleInput(this.server.now, { kind: 'socket-closed' });
  }

  /** False: nothing came on any canary. */
  #receiveOnCanaries(): boolean {
    for (const [connection, end] of this.#canaries) {
      if (this.#lost.has(end)) continue;
      const chunk = end.written.shift();
      if (chunk !== undefined) {
        this.machine.handleInput(this.server.now, { kind: 'bytes', connection, chunk });
        return true;
      }
      if (end.closed === undefined) continue;
      this.#canaries.delete(connection);
      this.machine.handleInput(this.server.now, { kind: 'transport-closed', connection });
      return true;
    }
    return false;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    // Held up by a path that is gone.
    if (this.#end === null) return;
    const { session } = this.#end;
    const isBroken = this.#prng.nextFloat() < this.breakShare;
    const chunk = isBroken ? bytes.subarray(0, this.#prng.nextInteger(0, bytes.length)) : bytes;
    if (chunk.length > 0) session.handleInput(this.server.now, { kind: 'bytes', chunk: chunk.slice() });
    await this.server.run();
    if (isBroken) await this.cut();
  }

  /** False: nothing came. */
  async #receive(): Promise<boolean> {
    const end = this.#end;
    const connection = this.#connection;
    if (this.#receiveOnCanaries()) return true;
    const bytes = end?.written.shift();
    if (end === null) return false;
    if (bytes !== undefined) {
      const isBroken = this.#prng.nextFloat() < this.breakShare;
      const whole = isBroken ? bytes.slice(0, this.#prng.nextInteger(0, bytes.length)) : bytes.slice();
      // In pieces, as a network does.
      const middle = this.#prng.nextInteger(0, whole.length);
      for (const chunk of [whole.subarray(0, middle), whole.subarray(middle)]) {
        if (chunk.length === 0) continue;
        this.machine.handleInput(this.server.now, { kind: 'bytes', connection, chunk });
      }
      whole.fill(0xff);
      if (isBroken && this.#connection === connection) await this.cut();
      return true;
    }
    if (end.closed === undefined) return false;
    await this.cut();
    return true;
  }

  #hangUp(): void {
    for (const connection of this.#canaries.keys()) this.#closeCanary(connection);
    const end = this.#end;
    this.#end = null;
    this.#connection = 0;
    if (end !== null && end.closed === undefined) {
      end.session.handleInput(this.server.now, { kind: 'socket-closed' });
    }
  }
}
