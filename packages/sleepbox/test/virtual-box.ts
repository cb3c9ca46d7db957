/** The box's machine under a virtual clock, with a perfect shell and a program whose sockets the test changes. */
import assert from 'node:assert/strict';

import { BoxMachine } from '../src/box-machine.js';
import type { BoxInput, BoxOutput, BoxPolicy } from '../src/box-types.js';
import type { BoxEvent, BoxPhase } from '../src/events.js';
import { limits } from '../src/limits.js';
import { profileOf, type ProfileName } from '../src/profiles.js';
import { type ConnectionSample, type SocketSnapshot, TcpState } from '../src/sockets.js';

/** A machine with a perfect shell and a program whose sockets the test changes. */
export class VirtualBox {
  now = 0;
  readonly machine: BoxMachine;
  readonly events: (BoxEvent & { now: number })[] = [];
  readonly outputs: BoxOutput[] = [];
  connections: ConnectionSample[] = [];
  udp: string[] = [];
  datagramsSent: number | undefined;
  /** Called before each order is carried out. */
  onOrder: (output: BoxOutput) => void = () => {};
  #nextPid = 100;

  constructor(profile: ProfileName = 'ios-voip', policy: Partial<BoxPolicy> = {}) {
    const row = profileOf(profile);
    this.machine = new BoxMachine({
      name: 'test',
      profileName: profile,
      profile: row,
      windowMs: row.windowMs,
      hasAudio: false,
      keepaliveMsMin: row.keepaliveMsMin,
      unconnectedAwakeMs: row.unconnectedAwakeMs,
      quietMs: limits.quietMs,
      seed: 1,
      ...policy,
    });
    this.connections = [connection('1')];
    this.input({ type: 'start' });
  }

  get phase(): BoxPhase {
    return this.machine.phase;
  }

  input(input: BoxInput): void {
    this.machine.handleInput(this.now, input);
    this.#drain();
  }

  /** Lets virtual time pass. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (let turns = 0; ; turns++) {
      assert.ok(turns < 1_000_000, 'time stands still');
      const at = this.machine.nextTimeoutMs();
      if (at > end) break;
      this.now = Math.max(this.now, at);
      this.machine.handleTimeout(this.now);
      this.#drain();
    }
    this.now = end;
  }

  /** Data come to a connection; the program, if it runs, reads them at once unless told otherwise. */
  receive(bytes: number, options: { inode?: string; isRead?: boolean } = {}): void {
    const { inode = '1', isRead = this.phase === 'awake' } = options;
    this.change(inode, (one) => ({
      ...one,
      receivedBytes: (one.receivedBytes ?? 0) + bytes,
      unreadBytes: isRead ? 0 : one.unreadBytes + bytes,
    }));
  }

  change(inode: string, change: (one: ConnectionSample) => ConnectionSample): void {
    this.connections = this.connections.map((one) => (one.inode === inode ? change(one) : one));
    const changed = this.connections.find((one) => one.inode === inode);
    if (this.phase === 'asleep' && changed !== undefined && this.watched.includes(inode)) {
      this.input({ type: 'arrived', connection: changed, at: this.now });
    }
  }

  watched: string[] = [];

  seen<Type extends BoxEvent['type']>(type: Type): (BoxEvent & { type: Type; now: number })[] {
    return this.events.filter((event) => event.type === type) as (BoxEvent & { type: Type; now: number })[];
  }

  #snapshot(): SocketSnapshot {
    const { datagramsSent } = this;
    return { tcp: this.connections, udp: this.udp, ...(datagramsSent !== undefined && { datagramsSent }) };
  }

  #drain(): void {
    for (let output = this.machine.pollOutput(); output !== undefined; output = this.machine.pollOutput()) {
      this.outputs.push(output);
      this.onOrder(output);
      this.#carryOut(output);
    }
  }

  #carryOut(output: BoxOutput): void {
    switch (output.type) {
      case 'event':
        this.events.push({ ...output.event, now: this.now });
        break;
      case 'launch':
        this.machine.handleInput(this.now, { type: 'launched', pid: this.#nextPid++ });
        break;
      case 'look':
        this.machine.handleInput(this.now, { type: 'snapshot', snapshot: this.#snapshot() });
        break;
      case 'freeze':
        this.machine.handleInput(this.now, { type: 'frozen', snapshot: this.#snapshot() });
        break;
      case 'watch': {
        this.watched = output.connections.map((one) => one.inode);
        const connections = this.connections.filter((one) => this.watched.includes(one.inode));
        this.machine.handleInput(this.now, { type: 'watched', connections });
        break;
      }
      case 'thaw':
        this.connections = this.connections.map((one) => ({ ...one, unreadBytes: 0 }));
        this.machine.handleInput(this.now, { type: 'thawed' });
        break;
      case 'kill':
        this.machine.handleInput(this.now, { type: 'exited', code: null, signal: output.signal });
        break;
      default:
    }
  }
}

export function connection(inode: string, change: Partial<ConnectionSample> = {}): ConnectionSample {
  return {
    inode,
    pid: 100,
    fd: Number(inode),
    state: TcpState.Established,
    unreadBytes: 0,
    receivedBytes: 0,
    sentBytes: 0,
    local: `127.0.0.1:${40_000 + Number(inode)}`,
    peer: '127.0.0.1:1883',
    ...change,
  };
}
