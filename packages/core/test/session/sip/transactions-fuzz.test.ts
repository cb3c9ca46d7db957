/**
 * Random days of the transaction layer: messages come, come again and get lost, connections end, the core answers, cancels
 * and forgets. Whatever happens, every transaction ends within its bounds, says so once, and leaves nothing behind.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeUtf8, Prng } from '../../../src/base/index.js';
import { alice, bob, EdgeWorld, requestText, responseText, UDP, type Event } from './edge-world.js';
import { firstSeed } from '../../seed.js';

const STEPS = 400;
const methods = ['INVITE', 'INVITE', 'OPTIONS', 'BYE', 'ACK', 'CANCEL', 'MESSAGE'] as const;
const statuses = [100, 180, 183, 200, 200, 404, 408, 486, 487, 603] as const;

class Day {
  readonly #prng: Prng;
  readonly #world = new EdgeWorld({
    transactionLimits: { serverTransactionsMax: 40, clientTransactionsMax: 40 },
  });
  /** Server transactions by key, with the text of their request. */
  readonly #servers = new Map<string, string>();
  readonly #clients = new Map<string, string>();
  readonly #connections = new Set<number>();
  readonly #flows = new Set<number>();
  #count = 0;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.#flows.add(this.#world.edge.openUdpFlow(UDP, bob));
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) this.#step();
    for (const connection of this.#connections) this.#world.close(connection);
    // Longer than any bound: Timer C and what follows it, a wait for a flow, an INVITE without an answer.
    for (let minute = 0; minute < 60; minute++) {
      this.#world.pass(60_000);
      this.#note();
    }
    assert.deepEqual([...this.#servers.keys()], [], 'server transactions that have not ended');
    assert.deepEqual([...this.#clients.keys()], [], 'client transactions that have not ended');
    assert.equal(this.#world.edge.nextTimeoutMs(), Infinity, 'no timer is left');
  }

  #pick<T>(values: readonly T[]): T | undefined {
    return values.length === 0 ? undefined : values[this.#prng.nextInteger(0, values.length - 1)];
  }

  #step(): void {
    const world = this.#world;
    switch (this.#prng.nextInteger(0, 9)) {
      case 0: {
        this.#count += 1;
        this.#connections.add(this.#count);
        world.open(this.#count, this.#pick([alice, bob]));
        break;
      }
      case 1: {
        const connection = this.#pick([...this.#connections]);
        if (connection === undefined || this.#prng.nextInteger(0, 2) > 0) break;
        this.#connections.delete(connection);
        world.close(connection);
        break;
      }
      case 2:
      case 3:
        this.#receiveRequest();
        break;
      case 4:
        this.#sendRequest();
        break;
      case 5:
      case 6:
        this.#receiveResponse();
        break;
      case 7:
        this.#answer();
        break;
      case 8: {
        const key = this.#pick([...this.#clients.keys()]);
        if (key === undefined) break;
        const flow = this.#pick([...this.#flows])!;
        const choice = this.#prng.nextInteger(0, 5);
        if (choice === 0) world.edge.abandon(world.now, key);
        else if (choice < 3) world.edge.cancel(world.now, key);
        else world.edge.attach(world.now, key, flow, choice === 3);
        break;
      }
      default:
        world.pass(this.#prng.nextInteger(0, this.#prng.nextInteger(0, 3) === 0 ? 40_000 : 800));
    }
    this.#note();
  }

  #receiveRequest(): void {
    const method = this.#pick(methods)!;
    // Few branches, so that many are retransmissions, ACKs and CANCELs of others.
    const branch = `z9hG4bK${this.#prng.nextInteger(0, 30)}`;
    const connection = this.#pick([...this.#connections]);
    if (connection === undefined || this.#prng.nextInteger(0, 1) === 0) {
      this.#world.datagram(alice, requestText({ method, via: `UDP 10.0.0.1;rport;branch=${branch}` }));
    } else this.#world.receive(connection, requestText({ method, via: `TCP 10.0.0.1;branch=${branch}` }));
  }

  #sendRequest(): void {
    this.#count += 1;
    const branch = `z9hG4bK-${this.#count}`;
    const method = this.#pick(['INVITE', 'INVITE', 'BYE', 'OPTIONS'])!;
    const text = requestText({ method, via: `TCP sip.example.org:5060;branch=${branch}` });
    const key = this.#world.edge.request(this.#world.now, {
      method,
      branch,
      bytes: encodeUtf8(text),
      flow: this.#pick([...this.#flows])!,
      outlivesFlow: this.#prng.nextInteger(0, 1) === 0,
    });
    if (key !== undefined) this.#clients.set(key, text);
  }

  #receiveResponse(): void {
    const text = this.#pick([...this.#clients.values()]);
    if (text === undefined) return;
    const response = responseText(text, this.#pick(statuses)!);
    const connection = this.#pick([...this.#connections]);
    if (connection === undefined || this.#prng.nextInteger(0, 1) === 0) this.#world.datagram(bob, response);
    else this.#world.receive(connection, response);
  }

  #answer(): void {
    const entry = this.#pick([...this.#servers]);
    if (entry === undefined) return;
    const [key, text] = entry;
    const status = this.#pick(statuses)!;
    const taken = this.#world.edge.respond(
      this.#world.now,
      key,
      status,
      encodeUtf8(responseText(text, status)),
    );
    assert.equal(taken && status === 408 && !text.startsWith('INVITE'), false, 'RFC 4320: never 408');
  }

  #note(): void {
    for (const event of this.#world.events()) this.#noteEvent(event);
    for (const output of this.#world.outputs()) {
      if (output.kind === 'connect' && this.#prng.nextInteger(0, 1) === 0)
        this.#world.close(output.connection);
    }
  }

  #noteEvent(event: Event): void {
    switch (event.kind) {
      case 'request':
        assert.equal(this.#servers.has(event.transaction), false, `${event.transaction} is told twice`);
        this.#servers.set(event.transaction, new TextDecoder().decode(event.request.bytes));
        if (event.origin.flow !== 0) this.#flows.add(event.origin.flow);
        break;
      case 'terminated': {
        const table = event.side === 'server' ? this.#servers : this.#clients;
        assert.equal(table.delete(event.transaction), true, `${event.transaction} ends once`);
        break;
      }
      case 'response':
      case 'timeout':
      case 'transport-error':
      case 'detached':
      case 'timer-c':
        assert.equal(this.#clients.has(event.transaction), true, `${event.kind} of ${event.transaction}`);
        break;
      case 'cancel':
        assert.equal(this.#servers.has(event.invite), true, `${event.kind} of ${event.invite}`);
        break;
      case 'unanswered':
      case 'ack-timeout':
        assert.equal(this.#servers.has(event.transaction), true, `${event.kind} of ${event.transaction}`);
        break;
      case 'unsent':
      case 'ack':
      case 'flow-lost':
      case 'routed':
      case 'dropped':
    }
  }
}

test('[SI-47] every transaction ends within its bounds, says so once, and leaves nothing behind', () => {
  for (let seed = firstSeed; seed < firstSeed + 40; seed++) {
    try {
      new Day(seed).run();
    } catch (cause) {
      throw new Error(`WAKELINE_SEED=${seed}`, { cause });
    }
  }
});
