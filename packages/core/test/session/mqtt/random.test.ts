/** Random packets, valid and not, in random splits, against a hub that answers at random. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../fast-check.js';
import { Prng } from '../../../src/base/index.js';
import {
  refusals,
  type LinkCommand,
  type LinkEvent,
  type Qos,
  type Refusal,
} from '../../../src/domain/index.js';
import type { Packet, ProtocolVersion } from '../../../src/wire/mqtt/index.js';
import { anyPacket, versions } from '../../wire/mqtt/arbitraries.js';
import { runs } from '../../wire/mqtt/helpers.js';
import { connectPacket, delivery, encode, Harness, opened, type Turn } from './harness.js';

const reasonNames = Object.keys(refusals) as Refusal[];

/** Answers as a hub may: mostly yes. */
class RandomHub {
  readonly #prng: Prng;
  #sequence: number;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.#sequence = this.#prng.nextInteger(0, 70_000);
  }

  #refusal(): Refusal | undefined {
    return this.#prng.nextFloat() < 0.1
      ? reasonNames[this.#prng.nextInteger(0, reasonNames.length - 1)]
      : undefined;
  }

  answer(command: LinkCommand): LinkEvent[] {
    const reason = this.#refusal();
    switch (command.kind) {
      case 'open':
        return [reason === undefined ? { ...opened, released: [3] } : { kind: 'refused', reason }];
      case 'publish': {
        const { qos } = command.publication;
        this.#sequence += this.#prng.nextInteger(1, 3);
        const sent = delivery(this.#sequence, { qos: (1 + (this.#sequence % 2)) as Qos });
        const accepted = {
          kind: 'accepted',
          packetId: command.packetId,
          qos,
          reason,
          matched: true,
        } as const;
        return qos === 0 ? [sent, delivery(0)] : [accepted, sent];
      }
      case 'release':
        return [{ kind: 'completed', packetId: command.packetId, found: reason === undefined }];
      case 'subscribe':
        return [
          {
            kind: 'subscribed',
            ticket: command.ticket,
            results: command.subscriptions.map(({ qos }) => this.#refusal() ?? qos),
          },
        ];
      case 'unsubscribe':
        return [
          {
            kind: 'unsubscribed',
            ticket: command.ticket,
            results: command.filters.map(() => reason === undefined),
          },
        ];
      case 'received':
        return [{ kind: 'release', sequence: command.sequence }];
      default:
        return [];
    }
  }
}

function run(
  version: ProtocolVersion,
  packets: readonly Packet[],
  flips: readonly number[],
  seed: number,
): void {
  const prng = new Prng(seed);
  const hub = new RandomHub(seed);
  const harness = new Harness(version);
  const bytes = encode(version, connectPacket(version, { clean: true }), ...packets);
  // Behind the protocol level: the harness must know the version of the answers.
  const from = 12;
  for (const flip of flips) bytes[from + (flip % (bytes.length - from))]! ^= 1 << (flip % 8);
  let opens = 0;
  let closes = 0;
  let ends = 0;
  let isEnded = false;
  let isConnacked = false;
  const check = (turn: Turn): readonly LinkCommand[] => {
    if (isEnded) assert.deepEqual([turn.commands, turn.packets, turn.close], [[], [], undefined]);
    for (const packet of turn.packets) {
      assert.notEqual(packet.type, 'malformed', JSON.stringify(packet));
      assert.notEqual(packet.type, 'auth');
      assert.equal(packet.type === 'connack', !isConnacked, 'CONNACK is first and once');
      isConnacked = true;
    }
    for (const { kind } of turn.commands) {
      assert.equal(closes, 0, 'a command after close');
      if (kind === 'open') opens += 1;
      else assert.equal(opens, 1);
      if (kind === 'close') closes += 1;
    }
    if (turn.close !== undefined) isEnded = true;
    return turn.commands;
  };
  const exchange = (first: Turn): void => {
    let turn = first;
    if (turn.authenticate !== undefined) {
      check(turn);
      turn = harness.input({ kind: 'authenticated', identity: { kind: 'anonymous' } });
    }
    // Each answer leads to less: a bounded number of rounds.
    for (let round = 0; round < 6; round += 1) {
      const events = check(turn).flatMap((command) => hub.answer(command));
      if (events.length === 0) return;
      if (events.some(({ kind }) => kind === 'refused')) ends += 1;
      turn = harness.events(...events);
    }
    assert.fail('the session and its hub do not come to rest');
  };
  for (let at = 0; at < bytes.length;) {
    const size = prng.nextInteger(1, 60);
    exchange(harness.bytes(bytes.subarray(at, at + size)));
    at += size;
  }
  check(harness.input({ kind: 'socket-closed' }));
  assert.equal(closes + ends, opens, 'each opened flow is closed once');
  assert.equal(harness.session.isClosed, true);
}

for (const version of versions) {
  test(`[MQTT5 3.2.0-1, 3.2.0-2, 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.9.3-2, 3.11.3-2, 3.14.2-1, 4.12.0-6] [MQTT3 3.2.0-1, 3.9.3-2] any stream of packets of version ${version} is answered within bounds`, () => {
    fc.assert(
      fc.property(
        fc.array(anyPacket(version), { maxLength: 12 }),
        fc.array(fc.nat(), { maxLength: 2 }),
        fc.nat(),
        (packets, flips, seed) => run(version, packets, flips, seed),
      ),
      { numRuns: runs(1_500, 50_000) },
    );
  });
}
