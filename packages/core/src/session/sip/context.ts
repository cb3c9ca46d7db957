/**
 * What the parts of the SIP stack share: the edge, the way to the hub, tokens, tickets and the names of refusals.
 *
 * It decides nothing. Owners are how the stack finds, for an event of the edge, the part that began the transaction.
 */
import type { InstantMs } from '../../base/index.js';
import type { CallCommand, SipFlow } from '../../domain/index.js';
import type { HeaderList, SipRequest, SipResponse } from '../../wire/sip/index.js';
import type { Edge, Origin, TransactionKey } from './edge-types.js';
import type { SipLimits } from './limits.js';
import type { SipStackOptions } from './options.js';
import type { PlaceTokens } from './proxy/place.js';
import type { RefusalDetail, SipRefusal } from './screening/refusals.js';

/** Who answers a request. */
export interface ServerOwner {
  /** The INVITE is no longer wanted; the CANCEL has been answered. */
  handleCancel?(now: InstantMs, cancel: SipRequest): void;
  /** A response could not be sent anywhere. */
  handleUnsent?(now: InstantMs): void;
  /** A final response was never acknowledged. */
  handleAckTimeout?(now: InstantMs): void;
  /** The last word on the transaction: its key is free. */
  handleServerEnd?(now: InstantMs): void;
}

/** Who sent a request. */
export interface ClientOwner {
  handleResponse(now: InstantMs, transaction: TransactionKey, response: SipResponse, origin: Origin): void;
  /** No final response came. `timer-c`: it was cancelled, and ends later. */
  handleFailure(
    now: InstantMs,
    transaction: TransactionKey,
    why: 'timeout' | 'transport-error' | 'timer-c',
  ): void;
  /** Its flow is gone, and it waits for another. */
  handleDetached?(now: InstantMs, transaction: TransactionKey): void;
  handleClientEnd?(now: InstantMs, transaction: TransactionKey): void;
}

/** What a request is answered with besides status and phrase. */
export interface AnswerExtras {
  readonly headers?: HeaderList;
}

export interface StackContext {
  readonly options: SipStackOptions;
  readonly limits: SipLimits;
  readonly edge: Edge<SipRequest, SipResponse>;
  readonly tokens: PlaceTokens;
  /** Names this life of the process. */
  readonly life: string;
  readonly serverOwners: Map<TransactionKey, ServerOwner>;
  readonly clientOwners: Map<TransactionKey, ClientOwner>;

  putCommand(command: CallCommand): void;
  /** A number that no other question to the hub or the edge has. */
  takeTicket(): number;
  /** Calls back when the edge has found a flow to somewhere, with undefined if there is none. */
  onRouted(ticket: number, handle: (now: InstantMs, flow: SipFlow | undefined) => void): void;
  /** Calls back after so many ms; cannot be taken back. */
  after(now: InstantMs, ms: number, handle: (now: InstantMs) => void): void;
  /** 32 hex digits. */
  randomHex(): string;
  /** Answers a request with a response of ours. */
  answer(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    status: number,
    phrase: string,
    extras?: AnswerExtras,
  ): void;
  /** Counts a refusal, and answers with its status. `detail` takes the place of its phrase. */
  refuse(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
    refusal: SipRefusal,
    detail?: string,
    extras?: AnswerExtras,
  ): void;
  /** The same for whoever has proved nothing: answered once and forgotten. */
  reject(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
    refusal: SipRefusal,
    detail?: string,
    extras?: AnswerExtras,
  ): void;
  /** Answers whoever has proved nothing, for which the core has more to say than a refusal's name. */
  challenge(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    status: number,
    phrase: string,
    extras?: AnswerExtras,
  ): void;
  /** Counts a refusal that has no answer, or one of its own. @param detail for logs, never for who was refused */
  note(refusal: SipRefusal, origin: Origin, detail?: RefusalDetail): void;
}
