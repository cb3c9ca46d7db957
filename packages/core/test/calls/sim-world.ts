/** Server, network, phones and callers of one simulated life, under one clock, with the checker beside them. */
import assert from 'node:assert/strict';
import { Prng } from '../../src/base/index.js';
import { SimCaller, type CallerKind } from './caller.js';
import { Checker } from './checker.js';
import { SimClock } from './clock.js';
import { SimNetwork } from './network.js';
import { SimPhone, type UserPolicy } from './phone.js';
import type { PhoneRow } from './phone-rows.js';
import { SimServer, TRUNK_ADDRESS } from './sim-server.js';
import { userOf } from './user-agent.js';

export interface WorldOptions {
  readonly seed: number;
  readonly users: readonly string[];
  readonly latencyMs?: number;
  readonly commitMs?: readonly [number, number];
  /** Of datagrams. */
  readonly loss?: number;
}

/** Long enough for the tombstones, and for transactions that wait for phones that never come back, ms. */
const SETTLE_MS = 900_000;

export class SimWorld {
  readonly clock = new SimClock();
  readonly random: Prng;
  readonly network: SimNetwork;
  readonly checker: Checker;
  readonly server: SimServer;
  readonly phones: SimPhone[] = [];
  readonly callers: SimCaller[] = [];
  #lastPort = 5_000;

  constructor({ seed, users, latencyMs = 3, commitMs = [1, 4], loss = 0 }: WorldOptions) {
    this.random = new Prng(seed);
    this.checker = new Checker(this.clock);
    this.network = new SimNetwork(this.clock, { random: this.random, latencyMs, loss });
    const options = {
      users: users.map(userOf),
      seed: seed + 1,
      parkMs: 45_000,
      commitMs: () => this.random.nextInteger(...commitMs),
    };
    this.server = new SimServer(this.clock, this.network, options, this.checker);
    this.network.server = this.server;
    this.server.start();
    this.checker.onServerUp();
  }

  phone(user: string, row: PhoneRow, policy: UserPolicy): SimPhone {
    const port = (this.#lastPort += 1);
    const pushResource = row.hasPush ? `https://push.example/${port}` : undefined;
    const phone = new SimPhone(
      {
        clock: this.clock,
        network: this.network,
        random: this.random,
        user,
        address: { address: '198.51.100.2', port },
        instance: `urn:uuid:00000000-0000-0000-0000-00000000${port}`,
        pushResource,
        reconnectMs: row.reconnectMs,
      },
      row,
      policy,
    );
    if (pushResource !== undefined) this.network.setPushTarget(pushResource, () => phone.wake());
    this.phones.push(phone);
    phone.start();
    return phone;
  }

  caller(user: string, kind: CallerKind, talkMs = 2_000): SimCaller {
    const port = (this.#lastPort += 1);
    const address = kind === 'udp-trunk' ? TRUNK_ADDRESS : '198.51.100.9';
    const caller = new SimCaller(
      {
        clock: this.clock,
        network: this.network,
        random: this.random,
        user,
        address: { address, port },
        instance: kind === 'tcp-registered' ? `urn:uuid:00000000-0000-0000-0000-00000000${port}` : undefined,
        pushResource: undefined,
        reconnectMs: [50, 400],
      },
      kind,
      talkMs,
    );
    this.callers.push(caller);
    caller.start();
    return caller;
  }

  /** The server dies, and is back after a while. */
  restart(downMs: number, keepsCommit: boolean): Promise<void> {
    if (!this.server.isUp) return Promise.resolve();
    this.checker.onServerDown();
    this.clock.after(downMs, () => {
      this.server.start();
      this.checker.onServerUp();
    });
    return this.server.crash(keepsCommit);
  }

  pass(ms: number): Promise<void> {
    return this.clock.runUntil(this.clock.nowMs + ms);
  }

  /** Lets everything come to its end, and judges. */
  async conclude(): Promise<void> {
    await this.clock.runUntil(this.clock.nowMs + SETTLE_MS, () => this.#isSettled);
    this.checker.judge(this.callers, this.phones);
    const { stack } = this.server;
    assert.equal(stack.callCount, 0, 'calls are left in the stack');
    assert.equal(stack.relayCount, 0, 'requests are left in the stack');
    assert.equal(stack.transactionCount, 0, 'transactions are left in the stack');
    assert.equal(this.server.activeCalls(), 0, 'calls are left in the hub');
  }

  get #isSettled(): boolean {
    const { server } = this;
    return (
      server.isUp &&
      server.stack.transactionCount === 0 &&
      server.stack.callCount === 0 &&
      this.callers.every(({ isDone }) => isDone) &&
      this.phones.every(({ isIdle }) => isIdle)
    );
  }
}
