/** The public shapes of Web Push to a device: senders reach a channel of it with any Web Push library. */
import type { PushFailure } from './decrypt.js';

/** What a sender needs, in the shape that Web Push libraries take. Who has it may push: it is a secret of its owner and senders. */
export interface PushSubscription {
  readonly endpoint: string;
  readonly expirationTime: null;
  readonly keys: {
    /** The device's public key, base64url. */
    readonly p256dh: string;
    /** The authentication secret, base64url. */
    readonly auth: string;
  };
}

export interface PushSubscribeOptions {
  /** The VAPID public key of the only sender that may push, base64url. Default: whoever knows the endpoint may. */
  readonly applicationServerKey?: string;
  /** Makes a new endpoint and new keys even if there are some; the older endpoint ends. Default: false. */
  readonly renew?: boolean;
  /** No longer waited for. */
  readonly signal?: AbortSignal;
}

/** The channels of a device that have an endpoint. */
export interface PushChannels {
  /**
   * The subscription of a channel, made unless there is one for the same `applicationServerKey`. Its messages come as those of the
   * inbox do, with this `channel`, decrypted. Waits for a connection. Rejects with REFUSED (`refusal` says why), CRYPTO_MISSING,
   * STORAGE_FAILED, TOO_MANY, CLOSED, or the signal's reason.
   */
  subscribe(channel: string, options?: PushSubscribeOptions): Promise<PushSubscription>;
  /** Ends the channel's endpoint. What is on its way comes still. Rejects as {@link PushChannels.subscribe} does. */
  unsubscribe(channel: string, options?: Pick<PushSubscribeOptions, 'signal'>): Promise<void>;
}

/** `opened`: the body is what the sender wrote. Else why it could not be, and the body is as it came. */
export type PushOutcome = 'opened' | PushFailure;
