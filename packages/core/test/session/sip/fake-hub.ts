/**
 * A hub of few words for tests of the SIP stack: binds what it is told, offers a call to whoever is there, lets the first
 * answer win. It keeps nothing and wakes nobody.
 */
import type { Binding, BindingTarget, CallCommand, CallEvent, CallId } from '../../../src/domain/index.js';

interface Leg {
  readonly leg: number;
  attempt: number;
  target: BindingTarget;
  state: 'asleep' | 'offered' | 'refused' | 'answered';
}

interface FakeCall {
  readonly id: CallId;
  readonly aor: string;
  readonly legs: Leg[];
  isOver: boolean;
}

type CommandOf<Kind extends CallCommand['kind']> = Extract<CallCommand, { kind: Kind }>;

export class FakeHub {
  /** Everything that the stack said. */
  readonly commands: CallCommand[] = [];
  readonly bindings: Binding[] = [];
  readonly calls = new Map<CallId, FakeCall>();
  readonly held: CommandOf<'reach'>[] = [];
  /** False: it answers nothing by itself. */
  isTalking = true;
  readonly #wallMs: () => number;
  #sequence = 0;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  take<Kind extends CallCommand['kind']>(kind: Kind): CommandOf<Kind>[] {
    const found = this.commands.filter((command) => command.kind === kind) as CommandOf<Kind>[];
    const rest = this.commands.filter((command) => command.kind !== kind);
    this.commands.splice(0, this.commands.length, ...rest);
    return found;
  }

  handle(command: CallCommand): CallEvent[] {
    this.commands.push(command);
    if (!this.isTalking) return [];
    switch (command.kind) {
      case 'bind':
        return this.#bind(command);
      case 'flow-lost':
        return this.#lose(command.flow);
      case 'call':
        return this.#call(command);
      case 'leg-answered':
        return this.#answered(command);
      case 'leg-refused':
        return this.#refused(command);
      case 'cancel':
        return this.#finish(command.call, 487, 'caller-cancelled', false);
      case 'reach':
        this.held.push(command);
        return [];
      case 'message':
        return this.#message(command);
      default:
        return [];
    }
  }

  #bind(command: CommandOf<'bind'>): CallEvent[] {
    const { aor, run, cseq, flow, ticket } = command;
    const isStale = this.bindings.some(
      (binding) => binding.aor === aor && binding.run === run && binding.cseq >= cseq,
    );
    if (isStale) return [{ kind: 'bind-refused', ticket, reason: 'stale' }];
    const drop = (isDropped: (binding: Binding) => boolean) => {
      for (let index = this.bindings.length - 1; index >= 0; index--) {
        if (isDropped(this.bindings[index]!)) this.bindings.splice(index, 1);
      }
    };
    if (command.removeAll) drop((binding) => binding.aor === aor);
    for (const { expiresSeconds, ...change } of command.changes) {
      drop(
        (binding) =>
          binding.aor === aor && binding.instance === change.instance && binding.regId === change.regId,
      );
      if (expiresSeconds === 0) continue;
      const expiresMs = this.#wallMs() + expiresSeconds * 1_000;
      this.bindings.push({ ...change, aor, run, cseq, flow, expiresMs });
    }
    const bound: CallEvent = {
      kind: 'bound',
      ticket,
      bindings: this.bindings.filter((binding) => binding.aor === aor),
    };
    return [bound, ...this.#wakeUp(aor)];
  }

  /** What has waited for the user's devices goes to them. */
  #wakeUp(aor: string): CallEvent[] {
    const events: CallEvent[] = [];
    for (const call of this.calls.values()) {
      if (call.aor !== aor || call.isOver) continue;
      for (const binding of this.bindings.filter((each) => each.aor === aor && each.flow !== 0)) {
        const leg = this.#legOf(call, binding);
        if (leg.state !== 'asleep') continue;
        leg.state = 'offered';
        leg.attempt += 1;
        leg.target = binding;
        events.push(this.#offer(call, leg));
      }
    }
    for (const held of this.held.splice(0)) {
      const target = this.bindings.find(
        ({ aor: owner, instance, flow }) => owner === held.aor && instance === held.instance && flow !== 0,
      );
      if (target === undefined) this.held.push(held);
      else events.push({ kind: 'reached', ticket: held.ticket, target });
    }
    return events;
  }

  #legOf(call: FakeCall, target: BindingTarget): Leg {
    const known = call.legs.find((leg) => leg.target.instance === target.instance);
    if (known !== undefined) return known;
    const leg: Leg = { leg: call.legs.length + 1, attempt: 0, target, state: 'asleep' };
    call.legs.push(leg);
    return leg;
  }

  #offer(call: FakeCall, { leg, attempt, target }: Leg): CallEvent {
    const deadlineMs = this.#wallMs() + 45_000;
    return { kind: 'offer', call: call.id, leg, attempt, mode: 'new', target, deadlineMs };
  }

  #lose(flow: number): CallEvent[] {
    for (const [index, binding] of this.bindings.entries()) {
      if (binding.flow === flow) this.bindings[index] = { ...binding, flow: 0 };
    }
    for (const call of this.calls.values()) {
      for (const leg of call.legs) {
        if (leg.target.flow === flow && leg.state === 'offered') leg.state = 'asleep';
      }
    }
    return [];
  }

  #call(command: CommandOf<'call'>): CallEvent[] {
    const call: FakeCall = { id: command.call, aor: command.aor, legs: [], isOver: false };
    this.calls.set(call.id, call);
    return [{ kind: 'journaled', call: call.id }, ...this.#wakeUp(call.aor)];
  }

  #answered({ call: id, leg, attempt }: CommandOf<'leg-answered'>): CallEvent[] {
    const call = this.calls.get(id);
    if (call === undefined || call.isOver) return [];
    call.isOver = true;
    const others = call.legs.filter((each) => each.leg !== leg && each.state === 'offered');
    return [
      { kind: 'answer', call: id, leg, attempt },
      ...others.map((each) => cancelLeg(id, each, 'answered-elsewhere')),
    ];
  }

  #refused({ call: id, leg, status }: CommandOf<'leg-refused'>): CallEvent[] {
    const call = this.calls.get(id);
    if (call === undefined || call.isOver) return [];
    for (const each of call.legs) if (each.leg === leg) each.state = 'refused';
    if (status === 603) return this.#finish(id, 603, 'declined-elsewhere', true);
    if (call.legs.some((each) => each.state !== 'refused')) return [];
    return this.#finish(id, 480, 'expired', true);
  }

  #finish(
    id: CallId,
    status: number,
    why: 'caller-cancelled' | 'declined-elsewhere' | 'expired',
    best: boolean,
  ): CallEvent[] {
    const call = this.calls.get(id);
    if (call === undefined || call.isOver) return [];
    call.isOver = true;
    const offered = call.legs.filter((leg) => leg.state === 'offered');
    return [
      ...offered.map((leg) => cancelLeg(id, leg, why)),
      { kind: 'finish', call: id, status, best, retryAfterSeconds: undefined },
    ];
  }

  #message(command: CommandOf<'message'>): CallEvent[] {
    const events: CallEvent[] = [{ kind: 'message-stored', ticket: command.ticket, reason: undefined }];
    for (const target of this.bindings.filter(({ aor, flow }) => aor === command.aor && flow !== 0)) {
      const { contentType, body, expiresSeconds, caller } = command;
      const sequence = (this.#sequence += 1);
      events.push({
        kind: 'deliver-message',
        sequence,
        target,
        callerUri: caller.uri,
        contentType,
        body,
        expiresSeconds,
      });
    }
    return events;
  }
}

function cancelLeg(
  call: CallId,
  { leg, attempt }: Leg,
  reason: 'answered-elsewhere' | 'caller-cancelled' | 'declined-elsewhere' | 'expired',
): CallEvent {
  return { kind: 'cancel-leg', call, leg, attempt, reason };
}
