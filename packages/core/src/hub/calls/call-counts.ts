/** What is counted of calls, users and bindings since the start, for the statistics. */
import type { Statistics } from '../../domain/control.js';

type CallStatistics = Pick<
  Statistics,
  | 'users'
  | 'bindings'
  | 'bindingsLive'
  | 'callsActive'
  | 'callsAccepted'
  | 'callsAnswered'
  | 'callsRejected'
  | 'callsCancelled'
  | 'callsExpired'
  | 'callsMissed'
  | 'callOffers'
  | 'callWakes'
  | 'sipMessagesWaiting'
>;

export class CallCounts {
  users = 0;
  bindings = 0;
  bindingsLive = 0;
  active = 0;
  accepted = 0;
  answered = 0;
  rejected = 0;
  cancelled = 0;
  expired = 0;
  missed = 0;
  offers = 0;
  wakes = 0;
  messagesWaiting = 0;

  statistics(): CallStatistics {
    return {
      users: this.users,
      bindings: this.bindings,
      bindingsLive: this.bindingsLive,
      callsActive: this.active,
      callsAccepted: this.accepted,
      callsAnswered: this.answered,
      callsRejected: this.rejected,
      callsCancelled: this.cancelled,
      callsExpired: this.expired,
      callsMissed: this.missed,
      callOffers: this.offers,
      callWakes: this.wakes,
      sipMessagesWaiting: this.messagesWaiting,
    };
  }
}
