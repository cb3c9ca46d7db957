/** Both ends of the link, joined by a real Unix socket, with a scripted hub behind one and a scripted pump at the other. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { InstantMs } from '@wakeline/core/base';
import { noBytes } from '@wakeline/core/domain';
import type { ControlReply, ControlRequest, FlowId, LinkCommand, LinkEvent } from '@wakeline/core/domain';
import { encodeCommand } from '../../src/lines/command-codec.js';
import { HubLink } from '../../src/lines/hub-link.js';
import { LineLinks } from '../../src/lines/line-links.js';
import { FrameKind, linkProtocolVersion } from '../../src/lines/link-frames.js';
import { LinkSocket } from '../../src/lines/link-socket.js';
import type { HubClient, HubPort } from '../../src/runtime/hub-port.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import type { RuntimeLimits } from '../../src/runtime/limits.js';
import { FakeLog, openCommand, openedEvent } from '../runtime/fakes.js';

const now: InstantMs = { monotonic: 1, wall: 1 };
const clock = (): InstantMs => ({ monotonic: performance.now(), wall: Date.now() });

/** What was given to the hub, in order. */
class ScriptedHub implements HubPort {
  isCongested = false;
  hasMuchToSay = false;
  readonly isAway = false;
  readonly given: { readonly flow: FlowId; readonly command: LinkCommand }[] = [];
  readonly requests: ControlRequest[] = [];
  client: HubClient | undefined;

  isFlowCongested(): boolean {
    return false;
  }
  giveCommands(_now: InstantMs, flow: FlowId, commands: readonly LinkCommand[]): void {
    // Bodies are views of the frame.
    for (const command of commands) this.given.push({ flow, command: structuredClone(command) });
  }
  giveRequest(_now: InstantMs, request: ControlRequest): void {
    this.requests.push(request);
  }
  letOut(): void {}
  scheduleTurn(): void {
    setImmediate(() => {
      this.client?.beginTurn(now);
      this.client?.endEvents(now);
    });
  }
  say(flow: FlowId, ...events: LinkEvent[]): void {
    this.client?.handleEvents(now, flow, events);
    this.client?.endEvents(now);
  }
  kinds(flow: FlowId): string[] {
    return this.given.filter((one) => one.flow === flow).map(({ command }) => command.kind);
  }
}

/** What came to the sessions. */
class ScriptedPump implements HubClient {
  readonly events = new Map<FlowId, LinkEvent[]>();
  readonly replies: ControlReply[] = [];
  turns = 0;

  beginTurn(): void {
    this.turns += 1;
  }
  handleEvents(_now: InstantMs, flow: FlowId, events: readonly LinkEvent[]): void {
    this.events.set(flow, [...(this.events.get(flow) ?? []), ...structuredClone(events)]);
  }
  handleReply(reply: ControlReply): void {
    this.replies.push(reply);
  }
  endEvents(): void {}
  kinds(flow: FlowId): string[] {
    return (this.events.get(flow) ?? []).map(({ kind }) => kind);
  }
}

class LinkBench {
  readonly directory = mkdtempSync(join(tmpdir(), 'wakeline-link-'));
  readonly path = join(this.directory, 'hub.sock');
  readonly log = new FakeLog();
  readonly limits: RuntimeLimits;
  readonly lines: HubLink[] = [];
  hub = new ScriptedHub();
  links: LineLinks | undefined;
  foreignHubs = 0;

  constructor(t: TestContext, limits: Partial<RuntimeLimits> = {}) {
    this.limits = { ...runtimeLimits, linkRetryMs: 5, ...limits };
    t.after(() => {
      for (const line of this.lines) line.stop();
      this.links?.stop();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** A hub process begins, with nothing of an earlier one. */
  async startHub(): Promise<ScriptedHub> {
    const hub = new ScriptedHub();
    const { limits, log } = this;
    const links = new LineLinks({ hub, version: '1', clock, limits, log, answer: (what) => `hub: ${what}` });
    hub.client = links;
    this.hub = hub;
    this.links = links;
    rmSync(this.path, { force: true });
    await links.listen(this.path);
    return hub;
  }

  /** It is gone as a killed process is: without a word. */
  killHub(): void {
    this.links?.stop();
    this.links = undefined;
  }

  line(name = 'line-1'): { link: HubLink; pump: ScriptedPump } {
    const { path, limits, log } = this;
    const pump = new ScriptedPump();
    const link = new HubLink({
      path,
      name,
      version: '1',
      clock,
      limits,
      log,
      answer: (what) => `${name}: ${what}`,
      onForeignHub: () => (this.foreignHubs += 1),
    });
    this.lines.push(link);
    link.start(pump);
    return { link, pump };
  }

  /** A line with a hub, and a flow on it that is open. */
  async opened(): Promise<{ hub: ScriptedHub; link: HubLink; pump: ScriptedPump; flow: FlowId }> {
    const hub = await this.startHub();
    const { link, pump } = this.line();
    await link.whenJoined();
    const flow = 1;
    const id = await this.open(hub, link, flow);
    hub.say(id, openedEvent);
    await until(() => pump.kinds(flow).length === 1);
    return { hub, link, pump, flow };
  }

  async open(hub: ScriptedHub, link: HubLink, flow: FlowId): Promise<FlowId> {
    const before = hub.given.length;
    give(link, flow, openCommand);
    await until(() => hub.given.length > before);
    return hub.given.at(-1)!.flow;
  }
}

function give(link: HubLink, flow: FlowId, ...commands: LinkCommand[]): void {
  link.giveCommands(clock(), flow, commands);
  link.scheduleTurn();
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function publish(packetId: number, bodyBytes = 3, qos: 0 | 1 = 1): LinkCommand {
  const body = new Uint8Array(bodyBytes).fill(7);
  const rest = { retain: false, expirySeconds: undefined, urgency: 2, replaceKey: undefined } as const;
  return { kind: 'publish', packetId, publication: { topic: 't', body, properties: noBytes, qos, ...rest } };
}

function deliver(sequence: number, bodyBytes = 3): LinkEvent {
  const body = new Uint8Array(bodyBytes);
  const rest = { retain: false, duplicate: false, properties: noBytes, expirySeconds: undefined } as const;
  const topic = new Uint8Array(1);
  return { kind: 'deliver', delivery: { sequence, qos: 1, topic, body, subscriptionIds: [], ...rest } };
}

const accepted: LinkEvent = { kind: 'accepted', packetId: 1, qos: 1, reason: undefined, matched: true };

describe('link: a hub that is there', () => {
  test('commands go in order, events come back, and flows of two lines have numbers of their own', async (t) => {
    const bench = new LinkBench(t);
    const hub = await bench.startHub();
    assert.equal(statSync(bench.path).mode & 0o777, 0o600, 'the socket is for its user alone');
    const one = bench.line('line-1');
    const two = bench.line('line-2');
    await Promise.all([one.link.whenJoined(), two.link.whenJoined()]);
    const first = await bench.open(hub, one.link, 1);
    const second = await bench.open(hub, two.link, 1);
    assert.notEqual(first, second);
    hub.say(second, openedEvent, deliver(1));
    hub.say(first, openedEvent);
    give(one.link, 1, publish(1), publish(2));
    await until(() => hub.kinds(first).length === 3 && two.pump.kinds(1).length === 2);
    assert.deepEqual(hub.kinds(first), ['open', 'publish', 'publish']);
    assert.deepEqual(one.pump.kinds(1), ['opened']);
    assert.deepEqual(two.pump.events.get(1), [openedEvent, deliver(1)]);
  });

  test('after the end of a flow what crossed it is dropped, on both sides', async (t) => {
    const bench = new LinkBench(t);
    const { hub, link, pump, flow } = await bench.opened();
    const id = hub.given[0]!.flow;
    hub.say(id, { kind: 'end', reason: 'session-taken-over' });
    give(link, flow, publish(1));
    await until(() => pump.kinds(flow).includes('end'));
    give(link, flow, publish(2));
    const other = await bench.open(hub, link, 2);
    assert.deepEqual(hub.kinds(id), ['open'], 'nothing reached the hub after the end');
    give(link, 2, { kind: 'close', publishWill: true, sessionExpirySeconds: undefined });
    await until(() => hub.kinds(other).includes('close'));
    hub.say(other, deliver(1));
    await bench.open(hub, link, 3);
    assert.deepEqual(pump.kinds(2), []);
  });

  test('requests keep their tickets, and each process answers the other', async (t) => {
    const bench = new LinkBench(t);
    const hub = await bench.startHub();
    const { link, pump } = bench.line();
    await link.whenJoined();
    link.giveRequest(now, { kind: 'list-tokens', ticket: 77 });
    await until(() => hub.requests.length === 1);
    hub.client!.handleReply({ kind: 'tokens', ticket: hub.requests[0]!.ticket, tokens: [] });
    await until(() => pump.replies.length === 1);
    assert.deepEqual(pump.replies[0], { kind: 'tokens', ticket: 77, tokens: [] });
    assert.equal(await link.ask('find-token'), 'hub: find-token');
    assert.deepEqual(await bench.links!.askAll('metrics', 5_000), ['line-1: metrics']);
  });

  test('a line that is gone has lost its flows; their wills wait', async (t) => {
    const bench = new LinkBench(t);
    const { hub, link } = await bench.opened();
    link.stop();
    await until(() => hub.given.length === 2);
    assert.deepEqual(hub.given[1]!.command, {
      kind: 'close',
      publishWill: 'after-grace',
      sessionExpirySeconds: undefined,
    });
  });

  test('a line that retires tells of closed connections as lost by the server', async (t) => {
    const bench = new LinkBench(t);
    const { hub, link, flow } = await bench.opened();
    link.retire();
    give(link, flow, { kind: 'close', publishWill: true, sessionExpirySeconds: undefined });
    await until(() => hub.given.length === 2);
    const last = hub.given[1]!.command;
    assert(last.kind === 'close');
    assert.equal(last.publishWill, 'after-grace');
  });

  test('a hub of another protocol is told once, and nothing is said to it', async (t) => {
    const bench = new LinkBench(t);
    const server = createServer((socket) => {
      const handlers = {
        handleFrame: () => true,
        handleReadEnd() {},
        handleDrained() {},
        handleClosed() {},
      };
      const link = new LinkSocket(socket, handlers, 1_000, 1_000);
      link.send(FrameKind.hello, { protocol: linkProtocolVersion + 1, version: '9', pid: 1 });
    });
    server.listen(bench.path);
    t.after(() => server.close());
    const { link } = bench.line();
    await until(() => bench.foreignHubs === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(bench.foreignHubs, 1);
    assert.equal(link.isJoined, false);
  });
});

describe('link: back-pressure', () => {
  test('while the hub is congested commands wait, and a line with much to say reads no more', async (t) => {
    const bench = new LinkBench(t, { linkUnsentBytesMax: 64 * 1024 });
    const { hub, link, pump, flow } = await bench.opened();
    hub.isCongested = true;
    let sent = 0;
    await until(() => {
      if (!link.isCongested) give(link, flow, publish(++sent % 0xffff, 4_096));
      return link.isCongested;
    });
    assert.equal(hub.given.length, 1, 'nothing of it reached the hub');
    const { turns } = pump;
    hub.isCongested = false;
    hub.scheduleTurn();
    await until(() => hub.given.length === sent + 1 && !link.isCongested);
    assert(pump.turns > turns, 'the pump was told');
    const bodies = hub.given
      .slice(1)
      .map(({ command }) => (command.kind === 'publish' ? command.packetId : -1));
    assert.deepEqual(
      bodies,
      Array.from({ length: sent }, (_, index) => index + 1),
      'in order',
    );
  });

  test('a line that takes nothing: its flows are not writable, and it is cut off in the end', async (t) => {
    const bench = new LinkBench(t, { linkUnsentBytesMax: 256 * 1024, stallMs: 0 });
    const hub = await bench.startHub();
    const silent = await SilentLine.join(bench.path);
    t.after(() => silent.destroy());
    silent.open(1);
    silent.open(2);
    await until(() => hub.given.length === 2);
    const [first, second] = [hub.given[0]!.flow, hub.given[1]!.flow];
    silent.pause();
    let sequence = 0;
    await until(() => {
      if (hub.given.length === 2) hub.say(first, deliver(++sequence, 32 * 1024));
      return hub.given.length > 2;
    });
    assert.deepEqual(
      hub.given.slice(2).map(({ flow, command }) => [flow, command]),
      [first, second].map((flow) => [flow, { kind: 'writable', writable: false }]),
    );
    bench.links!.sweep();
    bench.links!.sweep();
    await until(() => hub.kinds(second).includes('close'));
    assert.deepEqual(hub.kinds(first), ['open', 'writable', 'close']);
  });

  test('a line that takes it all later: its flows are writable again, but not one whose device is full', async (t) => {
    const bench = new LinkBench(t, { linkUnsentBytesMax: 256 * 1024 });
    const hub = await bench.startHub();
    const slow = await SilentLine.join(bench.path);
    t.after(() => slow.destroy());
    slow.open(1);
    slow.open(2);
    slow.give(2, { kind: 'writable', writable: false });
    await until(() => hub.given.length === 3);
    const [first, second] = [hub.given[0]!.flow, hub.given[1]!.flow];
    slow.pause();
    let sequence = 0;
    await until(() => {
      if (hub.given.length === 3) hub.say(first, deliver(++sequence, 32 * 1024));
      return hub.given.length > 3;
    });
    slow.resume();
    await until(() => hub.given.some(({ command }) => command.kind === 'writable' && command.writable));
    const states = (flow: FlowId): boolean[] =>
      hub.given.flatMap((one) =>
        one.flow === flow && one.command.kind === 'writable' ? one.command.writable : [],
      );
    assert.deepEqual(states(first), [false, true]);
    assert.deepEqual(states(second), [false, false]);
  });
});

describe('link: a hub that goes', () => {
  test('[LI-6] idle flows stay, those whose device waits for an answer are ended', async (t) => {
    const bench = new LinkBench(t);
    const { hub, link, pump } = await bench.opened();
    const asking = await bench.open(hub, link, 2);
    hub.say(asking, openedEvent);
    const answered = await bench.open(hub, link, 3);
    hub.say(answered, openedEvent);
    await bench.open(hub, link, 4);
    give(link, 2, publish(1));
    give(link, 3, publish(1), publish(2, 3, 0));
    await until(() => hub.given.length === 7);
    hub.say(answered, accepted);
    await until(() => pump.kinds(3).length === 2);
    bench.killHub();
    await until(() => pump.kinds(4).length === 1);
    const ended = [{ kind: 'end', reason: 'hub-away' }];
    assert.deepEqual(pump.events.get(2)!.slice(1), ended, 'its publication was not answered');
    assert.deepEqual(pump.events.get(4), ended, 'it was not let in yet');
    assert.deepEqual(pump.kinds(1), ['opened'], 'it had nothing under way');
    assert.deepEqual(pump.kinds(3), ['opened', 'accepted'], 'it had its answer; QoS 0 has none');
    assert.equal(link.counters.flowsEndedByLoss, 2);
  });

  test('[LI-6] the next hub is told of each flow first, and then gets what waited', async (t) => {
    const bench = new LinkBench(t);
    const { hub: old, link, pump, flow } = await bench.opened();
    const id = old.given[0]!.flow;
    old.say(id, deliver(1), deliver(2), deliver(3));
    await until(() => pump.kinds(flow).length === 4);
    const state = { activity: 'asleep', windowMs: 10_000, network: undefined } as const;
    give(link, flow, { kind: 'state', state, qos: 0, packetId: 0 });
    give(link, flow, { kind: 'acknowledge', sequence: 2 }, { kind: 'writable', writable: false });
    await until(() => old.given.length === 4);
    bench.killHub();
    await until(() => link.isAway);
    give(link, flow, publish(9), { kind: 'acknowledge', sequence: 1 });
    give(link, 7, { ...openCommand, clientId: 'newcomer' } as LinkCommand);
    // Nobody will ever have heard of it.
    give(link, 8, openCommand, { kind: 'close', publishWill: true, sessionExpirySeconds: undefined });
    const hub = await bench.startHub();
    await until(() => hub.given.length === 5);
    const [resume, writable, publication, acknowledge, open] = hub.given.map(({ command }) => command);
    assert.deepEqual(resume, {
      kind: 'resume',
      link: 'mqtt',
      peer: openCommand.kind === 'open' && openCommand.peer,
      identity: { kind: 'anonymous' },
      deviceId: 'd',
      epoch: new Uint8Array(8),
      receiveMaximum: 10,
      lastSequence: 3,
      sent: [1, 3],
      released: [],
      acknowledged: [2],
      completed: [],
      state: { activity: 'asleep', windowMs: 10_000, network: undefined },
    });
    assert.deepEqual(writable, { kind: 'writable', writable: false });
    assert(publication!.kind === 'publish' && publication.packetId === 9);
    assert.deepEqual(acknowledge, { kind: 'acknowledge', sequence: 1 });
    assert(open!.kind === 'open' && open.clientId === 'newcomer');
    assert.deepEqual(
      pump.kinds(flow),
      ['opened', 'deliver', 'deliver', 'deliver'],
      'the device was told nothing',
    );
    // The hub that is there now answers to the same flow of the line.
    hub.say(hub.given[0]!.flow, { ...accepted, packetId: 9 } as LinkEvent);
    await until(() => pump.kinds(flow).length === 5);
  });

  test('[LI-1] [KA-21] a canary is taken up with how long it has been silent, and whether it had its push', async (t) => {
    const bench = new LinkBench(t);
    const { hub: old, link, pump } = await bench.opened();
    const canary: LinkCommand = {
      kind: 'canary',
      link: 'mqtt',
      peer: '192.0.2.1:1',
      identity: { kind: 'anonymous' },
      clientId: 'd',
      silenceMs: 5_000,
    };
    const startMs = performance.now();
    give(link, 21, canary);
    give(link, 22, canary);
    give(link, 23, canary);
    await until(() => old.given.length === 4);
    const [, silent, pushed] = old.given.map(({ flow }) => flow);
    old.say(silent!, openedEvent);
    old.say(pushed!, openedEvent, { kind: 'canary-due', silenceMs: 5_000 });
    await until(() => pump.kinds(22).length === 2);
    const seenMs = performance.now();
    bench.killHub();
    await until(() => link.isAway);
    const awayMs = performance.now();
    assert.deepEqual(pump.kinds(23), ['end'], 'its CONNECT was not answered');
    const hub = await bench.startHub();
    await until(() => hub.given.length === 3);
    const resumed = hub.given
      .map(({ command }) => command)
      .filter((command) => command.kind === 'canary')
      .map((command) => {
        const { elapsedMs, isSent } = command.resumed!;
        assert.deepEqual({ ...command, resumed: undefined }, { ...canary, resumed: undefined });
        assert(elapsedMs >= awayMs - seenMs && elapsedMs <= performance.now() - startMs);
        return isSent;
      });
    assert.deepEqual(resumed, [false, true]);
  });

  test('[LI-6] a connection that closes meanwhile is told with its farewell', async (t) => {
    const bench = new LinkBench(t);
    const { link, flow } = await bench.opened();
    bench.killHub();
    await until(() => link.isAway);
    const close: LinkCommand = { kind: 'close', publishWill: false, sessionExpirySeconds: 60 };
    give(link, flow, close);
    const hub = await bench.startHub();
    await until(() => hub.given.length === 2);
    assert.equal(hub.given[0]!.command.kind, 'resume');
    assert.deepEqual(hub.given[1]!.command, close);
  });

  test('[LI-7] what waits is bounded, of each flow and of all', async (t) => {
    const bench = new LinkBench(t, { linkAwayFlowBytesMax: 10_000, linkAwayBytesMax: 25_000 });
    const { hub, link, pump, flow } = await bench.opened();
    hub.say(await bench.open(hub, link, 2), openedEvent);
    hub.say(await bench.open(hub, link, 3), openedEvent);
    await until(() => pump.kinds(2).length === 1 && pump.kinds(3).length === 1);
    bench.killHub();
    await until(() => link.isAway);
    give(link, flow, publish(1, 9_000));
    assert.equal(link.isFlowCongested(flow), false);
    give(link, flow, publish(2, 1_000));
    assert.equal(link.isFlowCongested(flow), true);
    assert.equal(link.isFlowCongested(2), false);
    assert.equal(link.isCongested, false);
    give(link, 2, publish(1, 9_500));
    give(link, 3, publish(1, 9_500));
    assert.equal(link.isCongested, true);
    const next = await bench.startHub();
    await until(() => next.given.length === 7);
    assert.equal(link.isCongested, false);
    assert.equal(link.isFlowCongested(flow), false);
  });

  test('[LI-8] a hub that leaves on purpose answers everything first, and nobody is ended', async (t) => {
    const bench = new LinkBench(t);
    const { hub, link, pump, flow } = await bench.opened();
    give(link, flow, publish(1));
    await until(() => hub.given.length === 2);
    give(link, flow, publish(2));
    await bench.links!.leave();
    assert.equal(hub.given.length, 3, 'everything that was said has come');
    give(link, flow, publish(3));
    hub.say(hub.given[0]!.flow, accepted, { ...accepted, packetId: 2 } as LinkEvent);
    bench.killHub();
    const next = await bench.startHub();
    await until(() => next.given.length === 2);
    assert.deepEqual(
      next.given.map(({ command }) => command.kind),
      ['resume', 'publish'],
    );
    assert.deepEqual(pump.kinds(flow), ['opened', 'accepted', 'accepted']);
    assert.equal(link.counters.flowsEndedByLoss, 0);
  });

  test('[LI-9] requests under way are refused, further ones wait a while and are refused then', async (t) => {
    const bench = new LinkBench(t, { linkAwayRequestMs: 100 });
    const hub = await bench.startHub();
    const { link, pump } = bench.line();
    await link.whenJoined();
    link.giveRequest(now, { kind: 'list-tokens', ticket: 1 });
    await until(() => hub.requests.length === 1);
    bench.killHub();
    await until(() => pump.replies.length === 1);
    assert.deepEqual(pump.replies[0], { kind: 'refused', ticket: 1, reason: 'hub-away' });
    link.giveRequest(now, { kind: 'list-tokens', ticket: 2 });
    const asked = link.ask('find-token');
    await assert.rejects(asked, { code: 'hub-away' });
    assert.deepEqual(pump.replies[1], { kind: 'refused', ticket: 2, reason: 'hub-away' });
    link.giveRequest(now, { kind: 'list-tokens', ticket: 3 });
    assert.equal(pump.replies.length, 3, 'refused at once');
    const next = await bench.startHub();
    await until(() => link.isJoined);
    link.giveRequest(now, { kind: 'list-tokens', ticket: 4 });
    await until(() => next.requests.length === 1);
  });

  test('[LI-9] a request that has waited not too long is asked of the next hub', async (t) => {
    const bench = new LinkBench(t);
    const { link } = bench.line();
    link.giveRequest(now, { kind: 'list-tokens', ticket: 2 });
    const asked = link.ask('find-token');
    const hub = await bench.startHub();
    await until(() => hub.requests.length === 1);
    assert.equal(await asked, 'hub: find-token');
  });
});

/** A line without a pump, that reads when told. */
class SilentLine {
  readonly #link: LinkSocket;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const handlers = { handleFrame: () => true, handleReadEnd() {}, handleDrained() {}, handleClosed() {} };
    this.#link = new LinkSocket(socket, handlers, 1 << 30, 1 << 16);
    this.#link.send(FrameKind.hello, { protocol: linkProtocolVersion, version: '1', pid: 1, line: 'silent' });
  }

  static async join(path: string): Promise<SilentLine> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new SilentLine(socket);
  }

  open(flow: FlowId): void {
    this.give(flow, openCommand);
  }

  give(flow: FlowId, command: LinkCommand): void {
    this.#link.open(FrameKind.commands);
    encodeCommand(this.#link.writer, flow, command);
    this.#link.flush();
  }

  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  destroy(): void {
    this.#socket.destroy();
  }
}
