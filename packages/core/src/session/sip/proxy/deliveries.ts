/** MESSAGEs of ours that carry what the hub kept for a device (RFC 3428): the device's 2xx is its acknowledgement. */
import type { InstantMs } from '../../../base/index.js';
import type { CallEvent } from '../../../domain/index.js';
import { buildRequest, type SipResponse } from '../../../wire/sip/index.js';
import type { ClientOwner, StackContext } from '../context.js';
import type { TransactionKey } from '../edge-types.js';
import { viaOf } from '../messages.js';

type Delivery = Extract<CallEvent, { kind: 'deliver-message' }>;

export class Deliveries implements ClientOwner {
  readonly #context: StackContext;
  readonly #underWay = new Map<TransactionKey, Delivery>();

  constructor(context: StackContext) {
    this.#context = context;
  }

  deliver(now: InstantMs, delivery: Delivery): void {
    const { target, callerUri, contentType, body, expiresSeconds } = delivery;
    const { edge } = this.#context;
    if (edge.flowInfo(target.flow) === undefined) {
      this.#report(delivery, undefined);
      return;
    }
    const branch = `z9hG4bK-${this.#context.randomHex()}`;
    const bytes = buildRequest({
      method: 'MESSAGE',
      uri: target.contact,
      vias: [viaOf(edge.sentBy(target.flow), branch)],
      from: `<${callerUri}>;tag=${this.#context.randomHex().slice(0, 16)}`,
      to: `<sip:${target.aor}>`,
      callId: this.#context.randomHex(),
      cseq: 1,
      routes: target.path,
      headers: expiresSeconds === undefined ? [] : [['Expires', String(expiresSeconds)]],
      body,
      contentType,
    });
    const { flow } = target;
    const transaction = edge.request(now, { method: 'MESSAGE', branch, bytes, flow, outlivesFlow: false });
    if (transaction === undefined) {
      this.#report(delivery, undefined);
      return;
    }
    this.#underWay.set(transaction, delivery);
    this.#context.clientOwners.set(transaction, this);
  }

  handleResponse(_now: InstantMs, transaction: TransactionKey, response: SipResponse): void {
    if (response.status >= 200) this.#end(transaction, response.status);
  }

  handleFailure(_now: InstantMs, transaction: TransactionKey): void {
    this.#end(transaction, undefined);
  }

  handleClientEnd(_now: InstantMs, transaction: TransactionKey): void {
    this.#end(transaction, undefined);
  }

  #end(transaction: TransactionKey, status: number | undefined): void {
    const delivery = this.#underWay.get(transaction);
    if (delivery === undefined) return;
    this.#underWay.delete(transaction);
    this.#report(delivery, status);
  }

  #report({ target, sequence }: Delivery, status: number | undefined): void {
    const { aor, instance } = target;
    this.#context.putCommand({ kind: 'message-result', aor, instance, sequence, status });
  }
}
