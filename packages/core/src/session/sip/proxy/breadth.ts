/** How much a request may still be forked (Max-Breadth, RFC 5393 §5.3). */
import type { SipRequest } from '../../../wire/sip/index.js';

/** Into how many parts what is left is divided: a user's other devices may come much later. */
const SHARES = 8;

/** What is left for branches at the same time. Each gets its share as it begins and gives it back as it ends. */
export class Breadth {
  #left: number;

  /** @param breadthMax what a request that says nothing may have. */
  constructor(request: SipRequest, breadthMax: number) {
    const text = request.header('Max-Breadth');
    const said = text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : breadthMax;
    this.#left = Math.min(said, breadthMax);
  }

  /** The Max-Breadth of one more branch; 0: it may not be. Others may follow, so each gets a part of what is left. */
  take(): number {
    if (this.#left === 0) return 0;
    const share = Math.max(1, Math.floor(this.#left / SHARES));
    this.#left -= share;
    return share;
  }

  give(share: number): void {
    this.#left += share;
  }
}
