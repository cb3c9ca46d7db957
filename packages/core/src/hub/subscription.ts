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

const QOS_MASK = 3;
const NO_LOCAL = 4;
const RETAIN_AS_PUBLISHED = 8;

/** A subscription as sessions keep it: of the four fields that most have at their defaults, three are one number. */
export class HeldSubscription<Holder> implements Subscription<Holder> {
  readonly holder: Holder;
  readonly filter: string;
  readonly subscriptionId: number;
  readonly #options: number;

  constructor(holder: Holder, asked: Omit<Subscription<Holder>, 'holder'>) {
    this.holder = holder;
    this.filter = asked.filter;
    this.subscriptionId = asked.subscriptionId;
    this.#options =
      asked.qos | (asked.noLocal ? NO_LOCAL : 0) | (asked.retainAsPublished ? RETAIN_AS_PUBLISHED : 0);
  }

  get qos(): Qos {
    return (this.#options & QOS_MASK) as Qos;
  }

  get noLocal(): boolean {
    return (this.#options & NO_LOCAL) !== 0;
  }

  get retainAsPublished(): boolean {
    return (this.#options & RETAIN_AS_PUBLISHED) !== 0;
  }
}
