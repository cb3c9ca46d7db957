/** A hub that serves calls, with scripted phones and callers: what it says to the SIP stack, event by event. */
import assert from 'node:assert/strict';
import { encodeUtf8 } from '../../../src/base/index.js';
import type {
  BindingChange,
  CallCommand,
  CallDetail,
  CallEvent,
  RestoredCall,
  SipUser,
  WakeOutcome,
  WakeRequest,
} from '../../../src/domain/index.js';
import type { CallOptions, HubOptions } from '../../../src/hub/index.js';
import { World, text } from '../world.js';
import type { TestFlow } from '../world.js';

export const ALICE = 'alice@home.test';
export const BOB = 'bob@home.test';
export const PUSH = 'https://push.example/wp/1';
export const OTHER_PUSH = 'https://push.example/wp/2';

/** 32 hex digits. */
export const callId = (digit: string): string => digit.repeat(32);
export const CALL = callId('c');

export function userOf(aor: string, devices: readonly string[] = []): SipUser {
  return { aor, devices, ha1: { 'sha-256': 'ab' } };
}

export interface PhoneOptions {
  readonly aor?: string;
  readonly instance?: string;
  readonly regId?: number;
  readonly contact?: string;
  readonly run?: string;
  readonly cseq?: number;
  readonly flow?: number;
  readonly push?: string | undefined;
  readonly place?: string | undefined;
  readonly expiresSeconds?: number;
}

export interface CallerOptions {
  readonly aor?: string;
  readonly expiresSeconds?: number | undefined;
  readonly from?: string;
}

type EventOf<K extends CallEvent['kind']> = Extract<CallEvent, { readonly kind: K }>;

export class CallWorld extends World {
  /** Everything said to the SIP stack, oldest first. */
  events: CallEvent[] = [];
  wakes: WakeRequest[] = [];
  #nextTicket = 1;
  #nextFlow = 1;
  #cseq = 1;

  constructor(calls: Partial<CallOptions> = {}, options: Partial<HubOptions> = {}, seed = 1) {
    super(seed, { ...options, calls: { users: [userOf(ALICE), userOf(BOB)], parkMs: 45_000, ...calls } });
    this.drain();
  }

  override start(): void {
    this.events = [];
    this.wakes = [];
    this.onCalls = (output) => {
      if (output.kind === 'wake') this.wakes.push(output.wake);
      // Another turn may reuse what it names.
      else this.events.push(...structuredClone(output.events));
    };
    super.start();
  }

  say(...commands: CallCommand[]): void {
    this.input({ kind: 'calls', commands });
  }

  ticket(): number {
    return this.#nextTicket++;
  }

  flow(): number {
    return this.#nextFlow++;
  }

  cseq(): number {
    return this.#cseq++;
  }

  all<K extends CallEvent['kind']>(kind: K): EventOf<K>[] {
    return this.events.filter((event) => event.kind === kind) as EventOf<K>[];
  }

  last<K extends CallEvent['kind']>(kind: K): EventOf<K> {
    const event = this.all(kind).at(-1);
    assert(event !== undefined, `there is a ${kind} among ${this.kinds.join(' ')}`);
    return event;
  }

  /** In short, what was said since the last look. */
  take(): string[] {
    const lines = this.events.map(lineOf);
    this.events = [];
    return lines;
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  /** A REGISTER; the flow it came on. */
  register(options: PhoneOptions = {}): number {
    const flow = options.flow ?? this.flow();
    this.say(this.bindOf({ ...options, flow }));
    return flow;
  }

  bindOf(options: PhoneOptions): CallCommand & { readonly kind: 'bind' } {
    const {
      aor = BOB,
      instance = 'urn:uuid:1',
      regId = 1,
      run = 'run-1',
      cseq = this.#cseq++,
      flow = 0,
      push,
      place,
    } = options;
    const change: BindingChange = {
      instance,
      regId,
      contact: options.contact ?? `sip:phone@192.0.2.1:${5000 + flow}`,
      path: [],
      hasInstanceId: true,
      push: push === undefined ? undefined : { provider: 'webpush', resource: push },
      userAgent: 'test/1',
      place,
      expiresSeconds: options.expiresSeconds ?? 3_600,
    };
    return { kind: 'bind', ticket: this.ticket(), aor, run, cseq, flow, changes: [change], removeAll: false };
  }

  async phone(options: PhoneOptions = {}): Promise<number> {
    const flow = this.register(options);
    await this.sync();
    return flow;
  }

  /** A phone that is registered and away. */
  async sleeper(options: PhoneOptions = {}): Promise<void> {
    const flow = await this.phone(options);
    this.say({ kind: 'flow-lost', flow });
    await this.sync();
    this.take();
  }

  lose(flow: number): void {
    this.say({ kind: 'flow-lost', flow });
  }

  invite(call = CALL, options: CallerOptions = {}): void {
    const { aor = BOB, from = ALICE } = options;
    this.say({
      kind: 'call',
      call,
      aor,
      caller: { uri: `sip:${from}`, displayName: undefined, aor: from, trunk: undefined },
      sipCallId: `sip-${call}`,
      offer: encodeUtf8(`INVITE sip:${aor} ${call}`),
      callerPlace: 'place',
      callerAddress: '192.0.2.9',
      expiresSeconds: options.expiresSeconds,
    });
  }

  provisional(status: number, leg = 1, attempt = 1, call = CALL): void {
    this.say({ kind: 'leg-provisional', call, leg, attempt, status });
  }

  answered(leg = 1, attempt = 1, call = CALL): void {
    this.say({ kind: 'leg-answered', call, leg, attempt, status: 200 });
  }

  refused(status: number, leg = 1, attempt = 1, call = CALL): void {
    this.say({ kind: 'leg-refused', call, leg, attempt, status, reason: 'no' });
  }

  unreachable(reason: 'no-flow' | 'transport' | 'timeout', leg = 1, attempt = 1, call = CALL): void {
    this.say({ kind: 'leg-unreachable', call, leg, attempt, reason });
  }

  wakeResult(outcome: WakeOutcome, wake = this.wakes.at(-1)!): void {
    this.input({ kind: 'wake-result', ticket: wake.ticket, outcome });
  }

  async detail(call = CALL): Promise<CallDetail> {
    const reply = await this.request({ kind: 'get-call', call });
    assert(reply.kind === 'call', JSON.stringify(reply));
    return reply.call;
  }

  /** The server dies, what was under way being lost, and starts again. Returns what it gives back. */
  async restart(keepsCommit = false): Promise<readonly RestoredCall[]> {
    await this.crash(keepsCommit);
    const restored = this.all('restored');
    assert.equal(restored.length, 1);
    assert.equal(this.events[0], restored[0]);
    this.events = [];
    return restored[0]!.calls;
  }

  reachable(call = CALL, isReachable = true): void {
    this.say({ kind: 'caller', call, isReachable });
  }

  /** Time passes, and whatever it causes is synced. */
  async pass(ms: number): Promise<void> {
    this.advance(ms);
    await this.sync();
  }
}

/** A Wakeline device that takes its inbox. */
export async function inboxOf(world: World, deviceId: string): Promise<TestFlow> {
  const flow = await world.connect(deviceId);
  flow.subscribe('$line/inbox/#');
  await world.sync();
  return flow;
}

export interface Notice {
  readonly call: string;
  readonly state: string;
  readonly from?: string;
  readonly sipCallId?: string;
  readonly deadlineMs?: number;
  readonly instance?: string;
  readonly reason?: string;
}

export function noticesOf(flow: TestFlow): Notice[] {
  return flow.deliveries
    .filter(({ topic }) => text(topic) === '$line/inbox/calls')
    .map(({ body }) => JSON.parse(text(body)) as Notice);
}

function lineOf(event: CallEvent): string {
  switch (event.kind) {
    case 'bind-refused':
      return `bind-refused ${event.reason}`;
    case 'offer':
      return `offer ${event.leg}.${event.attempt} ${event.mode} flow ${event.target.flow}`;
    case 'cancel-leg':
      return `cancel-leg ${event.leg}.${event.attempt} ${event.reason}`;
    case 'answer':
      return `answer ${event.leg}.${event.attempt}`;
    case 'finish':
      return `finish ${event.status}${event.best ? ' best' : ''}`;
    case 'message-stored':
      return `message-stored ${event.reason ?? 'safe'}`;
    case 'deliver-message':
      return `deliver-message ${text(event.body)} flow ${event.target.flow}`;
    default:
      return event.kind;
  }
}
