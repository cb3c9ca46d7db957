/** What the HTTP API and the command line ask about calls, users and bindings. */
import { passwordAlgorithms } from '../../domain/call.js';
import type { Aor, CallId, SipUser } from '../../domain/call.js';
import type { UserSummary } from '../../domain/call-view.js';
import type { ControlReply, ControlRequest, RequestRefusal } from '../../domain/control.js';
import type { Refusal } from '../../domain/device.js';
import type { CallIntent, CallIntentOutcome } from '../../domain/question.js';
import type { HubCore } from '../hub-core.js';
import type { Bindings } from './bindings.js';
import { bindingSummary } from './bindings.js';
import type { Call } from './call.js';
import type { CallBook } from './call-book.js';
import type { Calls } from './calls.js';
import { isAor } from './users.js';
import type { Users } from './users.js';

/** Most things in one page of a listing. */
const PAGE_MAX = 1_000;

const requestKinds = [
  'list-calls',
  'get-call',
  'call-intent',
  'list-users',
  'get-user',
  'put-user',
  'delete-user',
  'list-bindings',
] as const;
export type CallRequest = ControlRequest & { readonly kind: (typeof requestKinds)[number] };

export interface CallRequestsOptions {
  readonly core: HubCore;
  readonly book: CallBook;
  readonly bindings: Bindings;
  readonly users: Users;
  readonly calls: Calls;
}

export class CallRequests {
  readonly #core: HubCore;
  readonly #book: CallBook;
  readonly #bindings: Bindings;
  readonly #users: Users;
  readonly #calls: Calls;

  constructor(options: CallRequestsOptions) {
    this.#core = options.core;
    this.#book = options.book;
    this.#bindings = options.bindings;
    this.#users = options.users;
    this.#calls = options.calls;
  }

  handle(request: CallRequest): void {
    const { ticket } = request;
    switch (request.kind) {
      case 'list-calls': {
        const { aor, isMissed, after } = request;
        const page = this.#book.list(aor, isMissed, after, countOf(request.count));
        return this.#replyWhenSynced({ kind: 'calls', ticket, ...page });
      }
      case 'get-call': {
        const call = this.#book.detail(request.call);
        if (call === undefined) return this.#refuse(ticket, 'unknown-call');
        return this.#replyWhenSynced({ kind: 'call', ticket, call });
      }
      case 'call-intent':
        return this.#intend(ticket, request.call, request.deviceId, request.intent);
      case 'list-users':
        return this.#listUsers(ticket, request.after, countOf(request.count));
      case 'get-user': {
        const user = this.#users.find(request.aor);
        if (user === undefined) return this.#refuse(ticket, 'unknown-user');
        return this.#replyWhenSynced({ kind: 'user', ticket, user: this.#summary(user) });
      }
      case 'put-user':
        return this.#putUser(ticket, request.user);
      case 'delete-user':
        return this.#deleteUser(ticket, request.aor);
      case 'list-bindings': {
        const bindings = this.#bindings.targets(request.aor, this.#core.now).map(bindingSummary);
        if (bindings.length === 0 && this.#users.find(request.aor) === undefined)
          return this.#refuse(ticket, 'unknown-user');
        return this.#replyWhenSynced({ kind: 'bindings', ticket, bindings });
      }
    }
  }

  #refuse(ticket: number, reason: Refusal | RequestRefusal): void {
    this.#core.outbox.reply({ kind: 'refused', ticket, reason });
  }

  /** What is told may have been changed in a batch that is not on disk yet. */
  #replyWhenSynced(reply: ControlReply, undo?: () => void): void {
    this.#core.queue.after({
      committed: () => this.#core.outbox.reply(reply),
      ...(undo && { undo }),
      failed: () => this.#refuse(reply.ticket, 'storage-failed'),
    });
  }

  #intend(ticket: number, id: CallId, deviceId: string | undefined, intent: CallIntent): void {
    const call = this.#book.find(id);
    if (call === undefined) return this.#refuse(ticket, this.#book.has(id) ? 'call-ended' : 'unknown-call');
    if (deviceId !== undefined && !this.#isDeviceOf(call.aor, deviceId))
      return this.#refuse(ticket, 'not-authorized');
    if (call.isOver) return this.#refuse(ticket, 'call-ended');
    this.#follow(call, deviceId ?? 'an operator', intent);
    this.#replyWhenSynced({ kind: 'done', ticket });
  }

  /** A device says what its user decided. `done` is true once the batch being filled is synced. */
  intend(deviceId: string, id: CallId, intent: CallIntent): CallIntentOutcome {
    const call = this.#book.find(id);
    const aor = call?.aor ?? this.#book.detail(id)?.aor;
    if (aor === undefined || !this.#isDeviceOf(aor, deviceId)) return 'unknown';
    if (call === undefined || call.isOver) return 'over';
    this.#follow(call, deviceId, intent);
    return 'done';
  }

  #isDeviceOf(aor: Aor, deviceId: string): boolean {
    return this.#users.devicesOf(aor).includes(deviceId);
  }

  #follow(call: Call, by: string, intent: CallIntent): void {
    if (intent === 'decline') this.#calls.handleDecline(call, by);
    else this.#calls.handleAnswerIntent(call, by);
    this.#book.flush();
  }

  #listUsers(ticket: number, after: Aor | undefined, count: number): void {
    const aors = this.#users.list(after);
    const page = aors.slice(0, count);
    const users = page.map((aor) => this.#summary(this.#users.find(aor)!));
    const next = page.length < aors.length ? page.at(-1) : undefined;
    this.#replyWhenSynced({ kind: 'users', ticket, users, next });
  }

  #putUser(ticket: number, user: SipUser): void {
    const { limits } = this.#core;
    if (!isAor(user.aor, limits)) return this.#refuse(ticket, 'address-invalid');
    if (this.#users.isConfigured(user.aor)) return this.#refuse(ticket, 'user-configured');
    const isNew = this.#users.find(user.aor) === undefined;
    if ((isNew && this.#users.isFull) || user.devices.length > limits.callDevicesMax)
      return this.#refuse(ticket, 'quota-exceeded');
    const undo = this.#users.put(user);
    this.#replyWhenSynced({ kind: 'user', ticket, user: this.#summary(user) }, undo);
  }

  #deleteUser(ticket: number, aor: Aor): void {
    if (this.#users.isConfigured(aor)) return this.#refuse(ticket, 'user-configured');
    if (this.#users.find(aor) === undefined) return this.#refuse(ticket, 'unknown-user');
    const undoUser = this.#users.remove(aor);
    const undoBindings = this.#bindings.remove(this.#core.now, aor);
    this.#replyWhenSynced({ kind: 'done', ticket }, () => {
      undoBindings();
      undoUser();
    });
    this.#calls.handleBound(aor, []);
  }

  #summary({ aor, devices, ha1 }: SipUser): UserSummary {
    const bindings = this.#bindings.targets(aor, this.#core.now);
    return {
      aor,
      devices,
      algorithms: passwordAlgorithms.filter((algorithm) => ha1[algorithm] !== undefined),
      missingAlgorithms: this.#users.missingAlgorithms(aor),
      isConfigured: this.#users.isConfigured(aor),
      bindings: bindings.length,
      liveBindings: bindings.filter(({ flow }) => flow !== 0).length,
    };
  }
}

export function isCallRequest(request: ControlRequest): request is CallRequest {
  return (requestKinds as readonly string[]).includes(request.kind);
}

function countOf(count: number): number {
  return Math.max(1, Math.min(count, PAGE_MAX));
}
