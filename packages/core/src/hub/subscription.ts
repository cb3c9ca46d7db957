/** One subscription of a session. */
import type { Qos } from '../domain/message.js';

/** A subscription as the tree sees it. `holder` is whose it is; the tree does not look inside. */
export interface Subscription<Holder> {
  readonly holder: Holder;
  readonly filter: string;
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  /** 0: none. */
  readonly subscriptionId: number;
}
