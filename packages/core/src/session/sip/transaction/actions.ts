/** What a transaction tells the layer around it to do, in this order. It holds no message itself. */
export type ClientAction =
  /** Send the request, or send it again. */
  | 'send-request'
  /** Send the ACK for the final response that was just handled (RFC 3261 §17.1.1.3). */
  | 'send-ack'
  /** Send a CANCEL for the request. */
  | 'send-cancel'
  /** Give the response that was just handled to the core. */
  | 'pass-response'
  /** Timer C fired: nothing was heard of a ringing phone for long. A CANCEL follows by itself. */
  | 'timer-c'
  /** Nothing, or nothing final, came in time. */
  | 'timeout'
  /** The flow is gone; the transaction waits to be attached to another, or for what comes on others. */
  | 'flow-lost'
  /** The flow is gone, and with it the transaction. */
  | 'transport-error'
  | 'terminated';

export type ServerAction =
  /** Send the last response, or send it again. */
  | 'send-response'
  /** Make a 100 and send it. */
  | 'send-trying'
  /** Give the ACK that was just handled to the core: it acknowledges a 2xx (RFC 6026 §7.1). */
  | 'pass-ack'
  /** No ACK came for a final response other than 2xx. */
  | 'ack-timeout'
  /** The core did not answer in time. */
  | 'unanswered'
  | 'terminated';
