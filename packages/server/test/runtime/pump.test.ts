import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { InvariantError } from '@wakeline/core/base';
import type { LinkCommand, LinkEvent } from '@wakeline/core/domain';
import type { Decision } from '../../src/runtime/authenticator.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { identifyAgent } from '../../src/runtime/agent-identity.js';
import { Pump } from '../../src/runtime/pump.js';
import { Bench, closeCommand, FakeSession, FakeSocket, openCommand, openedEvent } from './fakes.js';

const accepted: LinkEvent = { kind: 'accepted', packetId: 1, qos: 1, reason: undefined, matched: true };
const lost = { kind: 'close', publishWill: true, sessionExpirySeconds: undefined };

describe('pump: turns', () => {
  it('hands commands to the hub at once and its events back in one write per flow', async () => {
    const bench = new Bench();
    bench.react = (input) => (input.kind === 'bytes' ? [{ kind: 'commands', commands: [openCommand] }] : []);
    const { id, socket, session } = bench.connect();
    socket.receive('a');
    assert.deepEqual(bench.hub.commandsOf(id), [openCommand]);
    // Like a real session: what the inputs of a turn amount to is written when it is polled.
    const poll = session.pollOutput.bind(session);
    let written = 0;
    session.pollOutput = () => {
      const events = session.inputs.filter((input) => input.kind === 'events').length;
      if (events === written) return poll();
      written = events;
      return { kind: 'write', bytes: Buffer.from(`events ${events}`) };
    };
    bench.hub.send(id, openedEvent);
    bench.hub.send(id, accepted);
    bench.hub.send(id, accepted);
    await bench.turn();
    assert.deepEqual(socket.writes, ['events 3']);
    assert.equal(socket.isOpened, true);
    bench.stop();
  });

  it('many reads share one drain of the hub', async () => {
    const bench = new Bench();
    bench.react = (input) => (input.kind === 'bytes' ? [{ kind: 'commands', commands: [openCommand] }] : []);
    let drains = 0;
    bench.hub.onDrained = () => {
      drains += 1;
    };
    for (let index = 0; index < 50; index += 1) bench.connect().socket.receive('x');
    await bench.turn();
    assert.equal(drains, 1);
    assert.equal(bench.hub.inputs.length, 50);
    bench.stop();
  });

  it('goes on in the next turn when the hub has more', async () => {
    const bench = new Bench();
    const { id, session } = bench.connect();
    let rest = 3;
    bench.hub.hasMore = true;
    bench.hub.onDrained = () => {
      if (rest === 0) {
        bench.hub.hasMore = false;
        return;
      }
      rest -= 1;
      bench.hub.send(id, accepted);
    };
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    for (let index = 0; index < 5; index += 1) await bench.turn();
    assert.equal(session.inputs.length, 3);
    bench.stop();
  });

  it('flow ids are never given twice', () => {
    const bench = new Bench();
    const first = bench.connect();
    first.socket.destroy();
    assert.notEqual(bench.connect().id, first.id);
    bench.stop();
  });

  it('events for a flow that is gone are dropped', async () => {
    const bench = new Bench();
    const { id, socket } = bench.connect();
    socket.destroy();
    bench.hub.send(id, accepted);
    await bench.turn();
    assert.deepEqual(bench.failures, []);
    bench.stop();
  });
});

describe('pump: much to say', () => {
  const publish = (packetId: number): LinkCommand => ({ kind: 'release', packetId });
  const batch = Array.from({ length: 1_000 }, (_, index) => publish(index));

  it('a large batch is handed over in slices, and the answers are let out in between', () => {
    const bench = new Bench();
    bench.react = ({ kind }) => {
      if (kind === 'bytes') return [{ kind: 'commands', commands: batch }];
      return kind === 'events' ? [{ kind: 'write', bytes: Buffer.from('e') }] : [];
    };
    const { id, socket } = bench.connect();
    const other = bench.connect();
    bench.hub.hasMuchToSay = true;
    const written: number[] = [];
    bench.hub.react = () => {
      written.push(other.socket.writes.length);
      bench.hub.send(id, accepted);
      bench.hub.send(other.id, accepted);
    };
    socket.receive('x');
    assert.deepEqual(bench.hub.commandsOf(id), batch);
    assert.deepEqual(
      written,
      Array.from({ length: 16 }, (_, index) => index),
    );
    assert.equal(socket.writes.length, 16);
    bench.stop();
  });

  it('a flow that becomes full is told to the hub before the next slice', () => {
    const bench = new Bench({ unsentBytesMax: 1, commandsPerSliceMax: 500 });
    const full: LinkCommand = { kind: 'writable', writable: false };
    bench.react = ({ kind }) => {
      if (kind === 'bytes') return [{ kind: 'commands', commands: batch }];
      if (kind === 'socket-full') return [{ kind: 'commands', commands: [full] }];
      return kind === 'events' ? [{ kind: 'write', bytes: Buffer.from('e') }] : [];
    };
    const publisher = bench.connect();
    const slow = bench.connect();
    slow.socket.unsentBytes = 1;
    bench.hub.react = (input) => {
      bench.hub.hasMuchToSay = input.kind === 'link' && input.flow === publisher.id;
      if (bench.hub.hasMuchToSay) bench.hub.send(slow.id, accepted);
    };
    publisher.socket.receive('x');
    assert.deepEqual(
      bench.hub.inputs.map((input) => input.kind === 'link' && input.flow),
      [publisher.id, slow.id, publisher.id],
    );
    assert.deepEqual(bench.hub.commandsOf(slow.id), [full]);
    bench.stop();
  });

  it("a flow's own commands, and its end, come after the rest of its batch", () => {
    const bench = new Bench({ unsentBytesMax: 1, unsentBytesFatal: 0 });
    bench.react = ({ kind }) => {
      if (kind === 'bytes') return [{ kind: 'commands', commands: [openCommand, ...batch] }];
      if (kind === 'socket-full') return [{ kind: 'commands', commands: [publish(2_000)] }];
      return kind === 'events' ? [{ kind: 'write', bytes: Buffer.from('e') }] : [];
    };
    const { id, socket } = bench.connect();
    socket.unsentBytes = 1;
    bench.hub.hasMuchToSay = true;
    let answers = 2;
    bench.hub.react = () => {
      if (answers > 0) bench.hub.send(id, accepted);
      answers -= 1;
    };
    socket.receive('x');
    assert.equal(socket.isDestroyed, true);
    assert.deepEqual(bench.hub.commandsOf(id), [openCommand, ...batch, publish(2_000), lost]);
    bench.stop();
  });

  it('commands without much to say are drained once, at the end of the turn', async () => {
    const bench = new Bench();
    bench.react = ({ kind }) => (kind === 'bytes' ? [{ kind: 'commands', commands: batch }] : []);
    let drains = 0;
    bench.hub.onDrained = () => {
      drains += 1;
    };
    bench.connect().socket.receive('x');
    assert.equal(drains, 0);
    await bench.turn();
    assert.equal(drains, 1);
    bench.stop();
  });
});

describe('pump: commits and requests', () => {
  it('a commit is answered with committed, and one that fails with commit-failed and a log line', async () => {
    const durations: number[] = [];
    const bench = new Bench({}, { onCommitted: (durationMs) => durations.push(durationMs) });
    bench.hub.outputs.push({ kind: 'commit', changes: [] });
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    await bench.turn();
    bench.clock.nowMs += 7;
    bench.store.commits[0]!.resolve();
    await bench.turn();
    assert.deepEqual(durations, [7]);
    assert.equal(bench.hub.inputs.at(-1)!.kind, 'committed');
    bench.hub.outputs.push({ kind: 'commit', changes: [] });
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    await bench.turn();
    bench.store.commits[1]!.reject(new Error('no space'));
    await bench.turn();
    assert.equal(bench.hub.inputs.at(-1)!.kind, 'commit-failed');
    assert.equal(bench.driver.commitFailures, 1);
    assert.match(bench.log.errors[0]!.message, /commit failed/);
    bench.stop();
  });

  it('a request resolves with the reply to its ticket', async () => {
    const bench = new Bench();
    bench.hub.react = (input) => {
      if (input.kind !== 'request') return;
      bench.hub.outputs.push({ kind: 'reply', reply: { kind: 'done', ticket: input.request.ticket } });
    };
    const replies = await Promise.all([
      bench.pump.request({ kind: 'delete-device', deviceId: 'a' }),
      bench.pump.request({ kind: 'delete-device', deviceId: 'b' }),
    ]);
    assert.deepEqual(
      replies.map((reply) => reply.kind),
      ['done', 'done'],
    );
    assert.notEqual(replies[0].ticket, replies[1].ticket);
    bench.stop();
  });

  it('requests beyond the limit are refused with quota-exceeded, and unanswered ones at the stop', async () => {
    const bench = new Bench({ requestsWaitingMax: 1 });
    const waiting = bench.pump.request({ kind: 'list-tokens' });
    const over = await bench.pump.request({ kind: 'list-tokens' });
    assert.equal(over.kind === 'refused' && over.reason, 'quota-exceeded');
    bench.stop();
    const reply = await waiting;
    assert.equal(reply.kind === 'refused' && reply.reason, 'draining');
  });
});

describe('pump: back-pressure', () => {
  it('while the hub is congested reads and requests are held, in order, and the socket is paused', async () => {
    const bench = new Bench();
    const { socket, session } = bench.connect();
    bench.hub.isCongested = true;
    socket.receive('one');
    socket.receive('two');
    void bench.pump.request({ kind: 'list-tokens' });
    await bench.turn();
    assert.equal(session.inputs.length, 0);
    assert.equal(socket.isPaused, true);
    assert.equal(bench.hub.inputs.length, 0);
    bench.hub.isCongested = false;
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    await bench.turn();
    const texts = session.inputs.map((input) =>
      input.kind === 'bytes' ? Buffer.from(input.chunk).toString() : '',
    );
    assert.deepEqual(texts, ['one', 'two']);
    assert.equal(socket.isPaused, false);
    assert.equal(bench.hub.inputs.filter((input) => input.kind === 'request').length, 1);
    bench.stop();
  });

  it('held bytes are handed over before the close', () => {
    const bench = new Bench();
    const { socket, session } = bench.connect();
    bench.hub.isCongested = true;
    socket.receive('last words');
    socket.destroy();
    assert.deepEqual(session.kinds(), ['bytes', 'socket-closed']);
    bench.stop();
  });

  it('a session that does not want input is not read', async () => {
    const bench = new Bench();
    const { socket, session } = bench.connect();
    session.wantsInput = false;
    socket.receive('x');
    assert.equal(socket.isPaused, true);
    session.wantsInput = true;
    bench.hub.send(1, accepted);
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    await bench.turn();
    assert.equal(socket.isPaused, false);
    bench.stop();
  });

  it('a slow reader is told to its session, and ended when it takes nothing for stallMs', () => {
    const bench = new Bench({ unsentBytesMax: 100, stallMs: 5_000 });
    const { socket, session } = bench.connect();
    session.react = (input) => (input.kind === 'bytes' ? [{ kind: 'write', bytes: Buffer.alloc(1) }] : []);
    socket.unsentBytes = 100;
    socket.receive('x');
    assert.deepEqual(session.kinds(), ['bytes', 'socket-full']);
    bench.clock.nowMs += 4_000;
    socket.progress = 1;
    bench.pump.sweep();
    bench.clock.nowMs += 4_000;
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, false);
    bench.clock.nowMs += 1_000;
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, true);
    assert.equal(bench.pump.counters.flowsStalled, 1);
    bench.stop();
  });

  it('a peer that says no more and takes nothing does not stay', () => {
    const bench = new Bench();
    const { socket } = bench.connect();
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, false);
    socket.hasPeerEnded = true;
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, true);
    bench.stop();
  });

  it('a drained socket is told to its session once', () => {
    const bench = new Bench({ unsentBytesMax: 100 });
    const { socket, session } = bench.connect();
    session.react = (input) => (input.kind === 'bytes' ? [{ kind: 'write', bytes: Buffer.alloc(1) }] : []);
    socket.unsentBytes = 100;
    socket.receive('x');
    socket.receiver!.handleSocketDrained();
    socket.receiver!.handleSocketDrained();
    assert.deepEqual(session.kinds(), ['bytes', 'socket-full', 'socket-drained']);
    bench.stop();
  });

  it('far too much on top of a full socket ends the flow at once; the burst that filled it does not', () => {
    const bench = new Bench({ unsentBytesMax: 100, unsentBytesFatal: 1_000 });
    const { socket, session } = bench.connect();
    session.react = (input) => (input.kind === 'bytes' ? [{ kind: 'write', bytes: Buffer.alloc(1) }] : []);
    socket.unsentBytes = 5_000;
    socket.receive('x');
    socket.unsentBytes = 5_999;
    socket.receive('x');
    assert.equal(socket.isDestroyed, false);
    socket.unsentBytes = 6_000;
    socket.receive('x');
    assert.equal(socket.isDestroyed, true);
    bench.stop();
  });
});

describe('pump: a hub that is away', () => {
  it('[LI-7] a flow of which too much waits is not read; the others are', () => {
    const bench = new Bench();
    const full = new Set<number>();
    let isAway = true;
    const hub = {
      isCongested: false,
      hasMuchToSay: false,
      get isAway() {
        return isAway;
      },
      isFlowCongested: (flow: number) => full.has(flow),
      giveCommands() {},
      giveRequest() {},
      letOut() {},
      scheduleTurn() {},
    };
    const pump = new Pump({
      hub,
      clock: bench.clock.read,
      limits: runtimeLimits,
      log: bench.log,
      createSession: () => {
        const session = new FakeSession();
        bench.sessions.push(session);
        return session;
      },
      authenticate: () => ({ kind: 'authenticated', identity: { kind: 'anonymous' } }),
      identifyAgent,
    });
    const [one, other] = [new FakeSocket(), new FakeSocket()];
    full.add(pump.attach(one));
    pump.attach(other);
    one.receive('a');
    other.receive('b');
    const [first, second] = bench.sessions;
    assert.deepEqual(first!.kinds(), []);
    assert.equal(one.isPaused, true);
    assert.deepEqual(second!.kinds(), ['bytes']);
    pump.beginTurn(bench.clock.read());
    assert.deepEqual(first!.kinds(), [], 'it is held as long as the hub is away');
    isAway = false;
    pump.beginTurn(bench.clock.read());
    assert.deepEqual(first!.kinds(), ['bytes']);
    assert.equal(one.isPaused, false);
    pump.stop();
    bench.stop();
  });
});

describe('pump: time', () => {
  it('a session gets its timeout once it is due, from the sweep', () => {
    const bench = new Bench();
    const { session } = bench.connect();
    session.timeoutMs = bench.clock.nowMs + 1_500;
    bench.pump.sweep();
    assert.equal(session.timeouts, 0);
    bench.clock.nowMs += 1_500;
    bench.pump.sweep();
    assert.equal(session.timeouts, 1);
    bench.stop();
  });

  it('the hub gets its timeout in a turn', async () => {
    const bench = new Bench();
    bench.hub.timeoutMs = bench.clock.nowMs;
    bench.driver.tell({ kind: 'disk', appendsAllowed: true });
    await bench.turn();
    assert.equal(bench.hub.timeouts, 1);
    bench.stop();
  });

  it('a farewell that takes too long ends in a destroyed socket', () => {
    const bench = new Bench({ lingerMs: 5_000 });
    const { socket, session } = bench.connect();
    session.react = () => [{ kind: 'close', reason: undefined }];
    socket.receive('x');
    assert.equal(socket.isEnded, true);
    bench.clock.nowMs += 4_999;
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, false);
    bench.clock.nowMs += 1;
    bench.pump.sweep();
    assert.equal(socket.isDestroyed, true);
    bench.stop();
  });
});

describe('pump: faults', () => {
  it('a session that throws costs its own flow, and the hub hears that the device is gone', () => {
    const bench = new Bench();
    const { id, socket, session } = bench.connect();
    const other = bench.connect();
    session.react = () => [{ kind: 'commands', commands: [openCommand] }];
    socket.receive('x');
    session.react = () => {
      throw new InvariantError('broken');
    };
    socket.receive('y');
    assert.equal(socket.isDestroyed, true);
    assert.deepEqual(bench.hub.commandsOf(id), [openCommand, lost]);
    assert.equal(bench.pump.counters.flowsFailed, 1);
    assert.match(bench.log.errors[0]!.message, /session failed/);
    other.socket.receive('z');
    assert.equal(other.session.inputs.length, 1);
    assert.deepEqual(bench.failures, []);
    bench.stop();
  });

  it('no second close is sent when the session or the hub has ended the flow', async () => {
    const bench = new Bench();
    const own = bench.connect();
    own.session.react = (input) =>
      input.kind === 'bytes' ? [{ kind: 'commands', commands: [openCommand, closeCommand] }] : [];
    own.socket.receive('x');
    own.socket.destroy();
    assert.deepEqual(bench.hub.commandsOf(own.id), [openCommand, closeCommand]);
    const ended = bench.connect();
    ended.session.react = (input) =>
      input.kind === 'bytes' ? [{ kind: 'commands', commands: [openCommand] }] : [];
    ended.socket.receive('x');
    bench.hub.send(ended.id, { kind: 'end', reason: 'session-taken-over' });
    await bench.turn();
    ended.socket.destroy();
    assert.deepEqual(bench.hub.commandsOf(ended.id), [openCommand]);
    bench.stop();
  });

  it('a hub that throws stops the pump: sockets are closed and the failure is told once', async () => {
    const bench = new Bench();
    const { socket, session } = bench.connect();
    session.react = () => [{ kind: 'commands', commands: [openCommand] }];
    bench.hub.react = () => {
      throw new InvariantError('inbox');
    };
    socket.receive('x');
    socket.receive('y');
    await bench.turn();
    assert.equal(socket.isDestroyed, true);
    assert.equal(bench.failures.length, 1);
    const reply = await bench.pump.request({ kind: 'list-tokens' });
    assert.equal(reply.kind, 'refused');
  });
});

describe('pump: credentials', () => {
  const ask = { kind: 'authenticate', clientId: 'd', username: undefined, password: undefined } as const;

  it('a late decision reaches its session, and none when the flow is gone', async () => {
    const decisions: ((decision: Decision) => void)[] = [];
    const bench = new Bench({}, { authenticate: () => new Promise((resolve) => decisions.push(resolve)) });
    bench.react = (input) => (input.kind === 'bytes' ? [ask] : []);
    const here = bench.connect();
    const gone = bench.connect();
    here.socket.receive('x');
    gone.socket.receive('x');
    gone.socket.destroy();
    for (const decide of decisions) decide({ kind: 'denied', reason: 'bad-credentials' });
    await bench.turn();
    assert.deepEqual(here.session.kinds(), ['bytes', 'denied']);
    assert.deepEqual(gone.session.kinds(), ['bytes', 'socket-closed']);
    bench.stop();
  });

  it('what the session says about an immediate decision reaches the hub in the same read', () => {
    const bench = new Bench();
    bench.react = (input) => {
      if (input.kind === 'bytes') return [ask];
      return input.kind === 'authenticated' ? [{ kind: 'commands', commands: [openCommand] }] : [];
    };
    const { id, socket } = bench.connect();
    socket.receive('x');
    assert.deepEqual(bench.hub.commandsOf(id), [openCommand]);
    bench.stop();
  });
});

describe('pump: user agents', () => {
  const secret = '0123456789abcdef'.repeat(2);

  for (const [what, presented, sha256] of [
    ['a secret', secret, createHash('sha256').update(secret).digest('hex')],
    ['what is none', 'x', undefined],
    ['nothing', undefined, undefined],
  ] as const) {
    it(`[WP-1] of ${what} the hash is told, and a fresh secret is made for each`, () => {
      const bench = new Bench();
      bench.react = (input) =>
        input.kind === 'bytes' ? [{ kind: 'authenticate-agent', secret: presented }] : [];
      const fresh = [1, 2].map(() => {
        const { socket, session } = bench.connect();
        socket.receive('x');
        const answer = session.inputs.at(-1);
        assert.ok(answer?.kind === 'authenticated' && answer.identity.kind === 'agent');
        assert.equal(answer.identity.sha256, sha256);
        assert.match(answer.freshSecret!, /^[0-9a-f]{32}$/);
        const hash = createHash('sha256').update(answer.freshSecret!).digest('hex');
        assert.equal(answer.identity.freshSha256, hash);
        return answer.freshSecret;
      });
      assert.notEqual(fresh[0], fresh[1]);
      bench.stop();
    });
  }

  it('[WP-15] pings and pongs are carried between session and socket, and a farewell is said', () => {
    const bench = new Bench();
    const farewell = { code: 4774, text: 'stay away' };
    bench.react = (input) => {
      if (input.kind === 'bytes') return [{ kind: 'ping' }];
      return input.kind === 'pong' ? [{ kind: 'close', reason: undefined, farewell }] : [];
    };
    const { socket, session } = bench.connect();
    socket.receive('x');
    assert.equal(socket.pings, 1);
    socket.receiver?.handleSocketPong();
    assert.deepEqual(session.kinds(), ['bytes', 'pong']);
    assert.deepEqual(socket.farewell, farewell);
    socket.receiver?.handleSocketPong();
    assert.deepEqual(session.kinds(), ['bytes', 'pong'], 'nothing is given to a session that has ended');
    bench.stop();
  });
});

describe('pump: leaving', () => {
  it('sessions say goodbye; idle and empty are told', async () => {
    const bench = new Bench();
    bench.react = (input) => (input.kind === 'shutdown' ? [{ kind: 'close', reason: 'draining' }] : []);
    const { socket } = bench.connect();
    bench.hub.isPending = true;
    const idle = bench.driver.whenIdle();
    const empty = bench.pump.whenEmpty();
    bench.pump.shutDownSessions();
    assert.equal(socket.isEnded, true);
    socket.destroy();
    await empty;
    bench.hub.isPending = false;
    bench.driver.tell({ kind: 'drain' });
    await idle;
    bench.stop();
    bench.stop();
  });

  it('while reading is paused nothing reaches a session', async () => {
    const bench = new Bench();
    const { socket, session } = bench.connect();
    bench.pump.pauseReading();
    socket.receive('x');
    await bench.turn();
    assert.equal(session.inputs.length, 0);
    bench.stop();
  });
});
