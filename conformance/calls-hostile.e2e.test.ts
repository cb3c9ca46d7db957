/**
 * Everything hostile at once, by UDP, TCP and WebSocket, from many addresses and from an insider with a password, while
 * ordinary users call each other all the time: each of their calls is answered and hung up, the server stays in bounds, and
 * nothing of the abuse is left when it is over.
 *
 * Short by default; WAKELINE_LONG=1 makes it three minutes (WAKELINE_SECONDS). WAKELINE_SEED says what is sent,
 * WAKELINE_ATTACKS which (a regular expression on their names).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Prng } from '@wakeline/core/base';
import { percentile, residentMiB } from './program.js';
import { ackOf, authorize, RawSip, token } from './raw-sip.js';
import type { RawMessage, RawRequest } from './raw-sip.js';
import { makeAttacks } from './sip-attacks.js';
import { SipStage } from './sip-stage.js';
import { sleep, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const SECONDS = Number(process.env['WAKELINE_SECONDS'] ?? (isLong ? 180 : 15));
const GROWTH_MIB_MAX = 200;
/** Between two ordinary calls. */
const CALL_EVERY_MS = isLong ? 1_000 : 500;
/** Between two rounds of an attack: a machine that does more than this test is not to be brought to its knees. */
const ROUND_PAUSE_MS = isLong ? 0 : 25;
const RESEND_MS = 500;
/** Times that an answer is sent again while its ACK does not come. RFC 3261 §13.3.1.4: for 64 times T1. */
const ANSWERS_MAX = 64;

const CALLERS = ['alice', 'anna', 'udo'];
const CALLEES = ['bob', 'bert', 'ulf'];
/** Those that speak UDP. */
const onDatagrams = new Set(['udo', 'ulf']);

/** The torture messages of core's tests, by what they are compiled to. */
async function oddMessages(): Promise<Uint8Array[]> {
  const url = new URL('../../packages/core/dist/test/wire/sip/torture.js', import.meta.url);
  const { tortureMessages } = (await import(url.href)) as { tortureMessages: { bytes: Uint8Array }[] };
  return tortureMessages.map(({ bytes }) => bytes);
}

/** An ordinary phone: it sends again what it sent by datagram, and answers what comes. */
class Ordinary {
  readonly user: string;
  readonly #raw: RawSip;
  /** By Call-ID: what sends a 200 again. */
  readonly #answering = new Map<string, NodeJS.Timeout>();

  private constructor(user: string, raw: RawSip) {
    this.user = user;
    this.#raw = raw;
    raw.onRequest = (request) => this.#handle(request);
  }

  static async open(user: string, stage: SipStage): Promise<Ordinary> {
    const { udpPort, tcpPort } = stage.server;
    const raw = stage.keep(await (onDatagrams.has(user) ? RawSip.udp(udpPort) : RawSip.tcp(tcpPort)));
    assert.equal((await raw.register(user, '', 3_600)).status, 200);
    return new Ordinary(user, raw);
  }

  get isClosed(): boolean {
    return this.#raw.isClosed;
  }

  /** Calls, waits for the answer, and hangs up. How long INVITE to 200 took, ms. */
  async call(to: string): Promise<number> {
    const callId = token();
    const request: RawRequest = { from: this.user, to, callId };
    const startMs = performance.now();
    const challenge = await this.#ask('INVITE', { ...request, cseq: 1 });
    assert.equal(challenge.status, 407, `${this.user} calls ${to}: ${challenge.answer}`);
    const proof = authorize(challenge, this.user, 'INVITE', `sip:${to}@home.test`);
    const answer = await this.#ask('INVITE', { ...request, cseq: 2, headers: [proof] });
    assert.equal(answer.status, 200, `${this.user} calls ${to}: ${answer.answer}`);
    const tookMs = performance.now() - startMs;
    const [uri = ''] = /sip:[^>]*/.exec(answer.header('Contact')) ?? [];
    const toTag = /;tag=(.*)$/.exec(answer.header('To'))?.[1];
    assert.ok(toTag !== undefined);
    const routes = answer.all('Record-Route').toReversed();
    const inDialog = { ...request, uri, toTag, headers: [`Route: ${routes.join(', ')}`] };
    this.#raw.send(this.#raw.request('ACK', { ...inDialog, cseq: 2 }));
    const bye = await this.#ask('BYE', { ...inDialog, cseq: 3 });
    assert.equal(bye.status, 200, `${this.user} hangs up on ${to}: ${bye.answer}`);
    const { received } = this.#raw;
    received.splice(0, received.length, ...received.filter((one) => one.header('Call-ID') !== callId));
    return tookMs;
  }

  async #ask(method: string, request: RawRequest): Promise<RawMessage> {
    const raw = this.#raw;
    const { callId = '', cseq = 1 } = request;
    const text = raw.request(method, request);
    raw.send(text);
    const resend = raw.transport === 'UDP' ? setInterval(() => raw.send(text), RESEND_MS) : undefined;
    try {
      const answer = await raw.final(callId, method, cseq);
      if (method === 'INVITE' && answer.status >= 300) raw.send(ackOf(text, answer));
      return answer;
    } finally {
      clearInterval(resend);
    }
  }

  #handle(request: RawMessage): void {
    const callId = request.header('Call-ID');
    if (request.method !== 'INVITE') this.#stopAnswering(callId);
    if (request.method === 'ACK') return;
    if (request.method === 'INVITE') this.#raw.respond(request, 180, 'Ringing');
    this.#raw.respond(request, 200, 'OK');
    if (request.method !== 'INVITE' || this.#answering.has(callId)) return;
    // What answers an INVITE is sent until it is acknowledged: either may be lost, and nobody else repeats it.
    let times = 0;
    const timer = setInterval(() => {
      this.#raw.respond(request, 200, 'OK');
      if (++times === ANSWERS_MAX) this.#stopAnswering(callId);
    }, RESEND_MS);
    this.#answering.set(callId, timer);
  }

  #stopAnswering(callId: string): void {
    clearInterval(this.#answering.get(callId));
    this.#answering.delete(callId);
  }

  close(): void {
    for (const callId of this.#answering.keys()) this.#stopAnswering(callId);
  }
}

/** User and system time of a process, ms. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

test('everything hostile at once: ordinary calls go on, memory is bounded, and nothing is left of it', async (t) => {
  const seed = Number(process.env['WAKELINE_SEED'] ?? 1);
  t.diagnostic(`WAKELINE_SEED=${seed}`);
  const prng = new Prng(seed);
  const stage = await SipStage.open({
    users: [...CALLERS, ...CALLEES, 'mallory', 'sleeper'],
    // Longer than a busy machine takes for a call.
    park: '60s',
  });
  const { server } = stage;
  let attacks: Awaited<ReturnType<typeof makeAttacks>> = [];
  const phones: Ordinary[] = [];
  try {
    const callers = await Promise.all(CALLERS.map((user) => Ordinary.open(user, stage)));
    const callees = await Promise.all(CALLEES.map((user) => Ordinary.open(user, stage)));
    phones.push(...callers, ...callees);
    const connections = await server.metric('wakeline_sip_connections');
    for (const caller of callers) await caller.call(CALLEES[0]!);
    const before = residentMiB(server.pid).now;
    const wanted = new RegExp(process.env['WAKELINE_ATTACKS'] ?? '');
    const all = await makeAttacks({
      ...server,
      tcpPort: server.tcpPort,
      udpPort: server.udpPort,
      httpPort: server.httpPort,
      random: () => prng.nextUint32() / 0x1_0000_0000,
      oddMessages: await oddMessages(),
      insider: 'mallory',
      victims: [...CALLERS, ...CALLEES],
    });
    attacks = all.filter(({ name }) => wanted.test(name));
    let isOver = false;
    const counts = new Map<string, number>();
    const work = attacks.map(async (attack) => {
      while (!isOver) {
        const count = await attack.round().catch((error: unknown) => {
          throw new Error(`${attack.name}: ${String(error)}; ${server.tell()}`, { cause: error });
        });
        counts.set(attack.name, (counts.get(attack.name) ?? 0) + count);
        await sleep(ROUND_PAUSE_MS);
      }
    });
    const failed = Promise.all(work);
    failed.catch(() => (isOver = true));
    const processorStartMs = processorMs(server.pid);
    const startMs = performance.now();
    const tookMs: number[] = [];
    const faults: string[] = [];
    const under: Promise<void>[] = [];
    let lagMs = 0;
    while (!isOver && performance.now() - startMs < SECONDS * 1_000) {
      const number = under.length;
      const caller = callers[number % callers.length]!;
      const callee = callees[Math.floor(number / callers.length) % callees.length]!;
      under.push(
        caller.call(callee.user).then(
          (ms) => void tookMs.push(ms),
          (error: unknown) => void faults.push(String(error)),
        ),
      );
      lagMs = Math.max(lagMs, 1_000 * (await server.metric('nodejs_eventloop_lag_p99_seconds')));
      await sleep(CALL_EVERY_MS);
    }
    await Promise.all(under);
    const seconds = (performance.now() - startMs) / 1_000;
    const load = (processorMs(server.pid) - processorStartMs) / seconds / 10;
    isOver = true;
    await failed;
    for (const attack of attacks.splice(0)) attack.end();
    const line =
      `${under.length} ordinary calls in ${seconds.toFixed(0)} s, answered after ${percentile(tookMs, 0.5).toFixed(0)} ms ` +
      `(median), ${Math.max(...tookMs).toFixed(0)} ms at most; ${before} MiB before, ${residentMiB(server.pid).now} after, ` +
      `${residentMiB(server.pid).highest} at most; ${load.toFixed(0)} % of a processor, event loop late by ${lagMs.toFixed(0)} ms (p99)`;
    t.diagnostic(line);
    process.stdout.write(`${line}\n${JSON.stringify(Object.fromEntries(counts))}\n`);
    assert.deepEqual(faults, [], server.tell());
    assert.ok(under.length > 0 && tookMs.length === under.length);
    assert.ok(
      phones.every(({ isClosed }) => !isClosed),
      'nobody lost a connection',
    );
    assert.ok(residentMiB(server.pid).highest - before < GROWTH_MIB_MAX, line);
    await until(
      async () => (await server.metric('wakeline_sip_connections')) === connections,
      120_000,
      () => 'the connections of the attackers are gone',
    );
    await until(
      async () => (await server.metric('wakeline_calls_active')) === 0,
      120_000,
      () => 'no call is left',
    );
    // Error and fatal.
    assert.doesNotMatch(server.log, /"level":[56]0|"level":"(?:error|fatal)"/);
    for (const caller of callers) await caller.call(CALLEES[2]!);
  } finally {
    for (const attack of attacks) attack.end();
    for (const phone of phones) phone.close();
    await stage.close();
  }
});
