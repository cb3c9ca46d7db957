/** What devices ask on their line, beside endpoints: each is answered on the connection it came by. */
import type { LinkCommand } from '../domain/link.js';
import type { Answer, CallIntent, CallIntentOutcome, Question } from '../domain/question.js';
import type { CallId } from '../domain/call.js';
import type { Device, Flow } from './device-state.js';
import type { HubCore } from './hub-core.js';
import type { Publisher } from './publisher.js';

type Ask = LinkCommand & { readonly kind: 'ask' };

/** Who takes what a user of a device decided about a call. */
export interface IntentTaker {
  /** `done` is true once the batch being filled is synced. */
  intend(deviceId: string, call: CallId, intent: CallIntent): CallIntentOutcome;
}

/** An answer; `needsSync`: it is true once the batch being filled is. */
interface Decided {
  readonly answer: Answer;
  readonly needsSync: boolean;
}

export class Questions {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #calls: IntentTaker | undefined;

  /** @param calls undefined: no SIP is spoken, and there are no calls. */
  constructor(core: HubCore, publisher: Publisher, calls: IntentTaker | undefined) {
    this.#core = core;
    this.#publisher = publisher;
    this.#calls = calls;
  }

  handle(flow: Flow, { ticket, question, qos, packetId }: Ask): void {
    const core = this.#core;
    if (!this.#publisher.mayHoldId(flow.device, qos, packetId)) {
      const answer: Answer = { about: 'refused', reason: 'quota-exceeded' };
      core.answer(flow, { kind: 'answered', ticket, answer }, false, undefined);
      return this.#publisher.endRequest(flow, qos, packetId, 'quota-exceeded', false);
    }
    // Not kept from being done twice: each question means the same when it comes again.
    const { answer, needsSync } = this.#decide(flow, question);
    const failed: Answer = { about: 'refused', reason: 'storage-failed' };
    core.answer(flow, { kind: 'answered', ticket, answer }, needsSync, {
      kind: 'answered',
      ticket,
      answer: failed,
    });
    this.#publisher.endRequest(flow, qos, packetId, undefined, needsSync);
  }

  #tellOfNetwork(device: Device, { networkSha256, lowMs }: Question & { about: 'network' }): Decided {
    const { networks, now, appendsAllowed } = this.#core;
    // While the disk is short of space nothing is added, but what is known is told.
    const mayKeep = lowMs !== undefined && appendsAllowed;
    const needsSync = mayKeep && networks.tell(now, networkSha256, device, lowMs);
    return { answer: { about: 'network', hintMs: networks.hint(now, networkSha256, device) }, needsSync };
  }

  #decide({ device }: Flow, question: Question): Decided {
    const core = this.#core;
    switch (question.about) {
      case 'alive':
        return { answer: { about: 'alive', canary: core.canaries.find(device.id) }, needsSync: false };
      case 'network':
        return this.#tellOfNetwork(device, question);
      case 'call': {
        const outcome = this.#calls?.intend(device.id, question.call, question.intent) ?? 'unknown';
        return { answer: { about: 'call', outcome }, needsSync: outcome === 'done' };
      }
    }
  }
}
