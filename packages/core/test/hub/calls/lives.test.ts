/** Random lives of calls, phones and the server, and a checker of what must hold in all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Prng } from '../../../src/base/index.js';
import type { CallEvent } from '../../../src/domain/index.js';
import { BOB, CallWorld, callId, userOf } from './call-world.js';
import { firstSeed } from '../../seed.js';

/** What was seen of one call. */
class Seen {
  isJournaled = false;
  isOver = false;
  /** It had ended when the server stopped: its caller is told so once more. */
  isTwice = false;
  /** Legs whose device has refused. */
  readonly refused = new Set<number>();
  readonly answeredBy = new Set<string>();
}

class Life {
  readonly world: CallWorld;
  readonly prng: Prng;
  readonly seen = new Map<string, Seen>();
  /** Live flows, by instance. */
  readonly flows = new Map<string, number>();
  /** Every live flow and whose it is: a REGISTER that could not be stored leaves the older one in use. */
  readonly live = new Map<number, string>();
  readonly runs = new Map<string, number>();
  /** Open attempts: call, leg, attempt. */
  open: (readonly [string, number, number])[] = [];
  #nextCall = 1;
  #nextFlow = 1;
  cseq = 1;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    this.world = new CallWorld({ users: [userOf(BOB, ['bob-phone'])] }, {}, seed);
  }

  check(): void {
    for (const event of this.world.events) this.#check(event);
    this.world.events = [];
  }

  #check(event: CallEvent): void {
    if (event.kind === 'restored') {
      this.open = event.calls.flatMap(({ call, attempts }) =>
        attempts.map(({ leg, attempt }) => [call, leg, attempt] as const),
      );
      const given = new Set(event.calls.map(({ call }) => call));
      for (const [call, seen] of this.seen) {
        assert(!seen.isJournaled || seen.isOver || given.has(call), `${call} is given back`);
        // What was not journaled may be lost, and its caller tries again.
        if (!seen.isJournaled && !given.has(call)) seen.isOver = true;
      }
      for (const { call, answered } of event.calls) {
        const seen = this.seen.get(call)!;
        seen.isJournaled = true;
        seen.isTwice = seen.isOver;
        if (answered !== undefined) seen.isOver = true;
        this.world.reachable(call, this.prng.nextInteger(0, 3) > 0);
      }
      return;
    }
    if (!('call' in event)) return;
    const seen = this.seen.get(event.call)!;
    switch (event.kind) {
      case 'journaled':
        assert(!seen.isJournaled && !seen.isOver);
        seen.isJournaled = true;
        return;
      case 'offer': {
        assert(seen.isJournaled, 'journaled before it is offered');
        assert(!seen.isOver, 'never offered after its end');
        assert(!seen.refused.has(event.leg), 'never offered after another final of that instance');
        const { instance, flow } = event.target;
        assert.equal(this.live.get(flow), instance, 'offered on a live flow of its instance');
        this.open.push([event.call, event.leg, event.attempt]);
        return;
      }
      case 'answer':
      case 'finish':
        assert(!seen.isOver || (seen.isTwice && event.kind === 'finish'), 'ends once');
        seen.isTwice = false;
        if (event.kind === 'answer') assert(seen.answeredBy.has(`${event.leg}.${event.attempt}`));
        seen.isOver = true;
    }
  }

  async step(): Promise<void> {
    const { world, prng } = this;
    const instance = `urn:uuid:${prng.nextInteger(1, 3)}`;
    const pick = this.open[prng.nextInteger(0, Math.max(0, this.open.length - 1))];
    switch (prng.nextInteger(0, 13)) {
      case 0: {
        const id = this.#nextCall++;
        const call = callId('0').slice(0, 24) + String(id).padStart(8, '0');
        this.seen.set(call, new Seen());
        world.invite(call);
        break;
      }
      case 1:
      case 2:
      case 3: {
        if (prng.nextInteger(0, 3) === 0) this.runs.set(instance, (this.runs.get(instance) ?? 0) + 1);
        const old = this.flows.get(instance);
        const isSame = old !== undefined && prng.nextInteger(0, 2) === 0;
        const flow = isSame ? old : this.#nextFlow++;
        this.flows.set(instance, flow);
        this.live.set(flow, instance);
        const push = `https://push.example/${instance}`;
        world.say(
          world.bindOf({
            instance,
            flow,
            run: `${instance} ${this.runs.get(instance)}`,
            cseq: this.cseq++,
            push,
          }),
        );
        break;
      }
      case 4: {
        const flow = this.flows.get(instance);
        this.flows.delete(instance);
        if (flow === undefined) break;
        this.live.delete(flow);
        world.lose(flow);
        break;
      }
      case 5:
        if (pick !== undefined)
          world.provisional(prng.nextInteger(0, 1) === 0 ? 100 : 180, pick[1], pick[2], pick[0]);
        break;
      case 6:
        if (pick === undefined || prng.nextInteger(0, 2) > 0) break;
        this.seen.get(pick[0])!.answeredBy.add(`${pick[1]}.${pick[2]}`);
        world.answered(pick[1], pick[2], pick[0]);
        break;
      case 7: {
        if (pick === undefined) break;
        world.refused(prng.nextInteger(0, 5) === 0 ? 603 : 486, pick[1], pick[2], pick[0]);
        const reply = await this.#leg(pick[0], pick[1]);
        if (reply === 'rejected') this.seen.get(pick[0])!.refused.add(pick[1]);
        break;
      }
      case 8:
        if (pick !== undefined) world.unreachable('timeout', pick[1], pick[2], pick[0]);
        break;
      case 9: {
        const calls = [...this.seen.keys()];
        if (calls.length > 0 && prng.nextInteger(0, 3) === 0)
          world.say({ kind: 'cancel', call: calls[prng.nextInteger(0, calls.length - 1)]! });
        break;
      }
      case 10:
        if (world.changes !== null && prng.nextInteger(0, 2) === 0) world.failCommit();
        break;
      case 11:
        if (prng.nextInteger(0, 5) > 0) break;
        this.check();
        this.flows.clear();
        this.live.clear();
        this.open = [];
        await world.crash(prng.nextInteger(0, 1) === 0);
        break;
      case 12:
        if (world.wakes.length > 0)
          world.wakeResult((['accepted', 'failed', 'refused'] as const)[prng.nextInteger(0, 2)]!);
        break;
      default:
        world.advance(prng.nextInteger(1, 6_000));
    }
    if (prng.nextInteger(0, 2) > 0) await world.sync();
    this.check();
  }

  /** The state of a leg, as it is told. */
  async #leg(call: string, leg: number): Promise<string | undefined> {
    const ticket = this.world.ask({ kind: 'get-call', call });
    await this.world.sync();
    const reply = this.world.replies.get(ticket);
    return reply?.kind === 'call' ? reply.call.legViews[leg - 1]?.state : undefined;
  }
}

test('[CA-34] whatever phones, callers, the disk and the server do', async () => {
  for (let round = 0; round < 8; round++) {
    const life = new Life(firstSeed + round);
    try {
      for (let count = 0; count < 120; count++) await life.step();
      await life.world.sync();
      // Every call ends, if only by time.
      for (let count = 0; count < 40; count++) {
        await life.world.pass(10_000);
        life.check();
      }
      for (const [call, { isOver }] of life.seen) assert(isOver, `${call} has ended`);
      assert.equal((await life.world.statistics()).callsActive, 0);
    } catch (error) {
      throw new Error(`WAKELINE_SEED=${firstSeed + round}: ${String(error)}`, { cause: error });
    }
  }
});
