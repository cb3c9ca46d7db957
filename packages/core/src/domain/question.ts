/**
 * What a device asks of the server on its line (`$line/alive`, `$line/network`, `$line/call`), beside endpoints, and
 * the answers. Protocols give them their form.
 */
import type { CallId } from './call.js';
import type { Refusal } from './device.js';

/** What the user of a device decided about a call, before any SIP message of its phone says so. */
export const callIntents = ['answer', 'decline'] as const;
export type CallIntent = (typeof callIntents)[number];

/**
 * What became of an intent. `done`: it is on disk and in force. `over`: the call had ended. `unknown`: there is no such
 * call, or it is none of a user of this device; which of the two is not told.
 */
export type CallIntentOutcome = 'done' | 'over' | 'unknown';

/** A device's newest canary since its main connection came, as the server knows it. */
export interface CanaryView {
  /** As the device asked for, ms. */
  readonly silenceMs: number;
  /** The push was written to the connection: if the device has not read it, the path lost it. */
  readonly isSent: boolean;
  readonly isOpen: boolean;
}

/** Hides a device's name for a network: its SHA-256, hex. Given by the host, since core has no hash of its own. */
export type HashNetwork = (network: string) => string;

export type Question =
  /** What is live for the device. */
  | { readonly about: 'alive' }
  | {
      /** What others on this network found; with what the device itself found, if it says it. */
      readonly about: 'network';
      /** SHA-256 of the device's name for the network, hex: the hub never sees the name. */
      readonly networkSha256: string;
      /** The longest silence after which the device was still reached there, ms; undefined: it only asks. */
      readonly lowMs: number | undefined;
    }
  | { readonly about: 'call'; readonly call: CallId; readonly intent: CallIntent };

export type Answer =
  | { readonly about: 'alive'; readonly canary: CanaryView | undefined }
  /** `hintMs` undefined: too few others have said anything. */
  | { readonly about: 'network'; readonly hintMs: number | undefined }
  | { readonly about: 'call'; readonly outcome: CallIntentOutcome }
  /** Nothing of what was asked took effect. */
  | { readonly about: 'refused'; readonly reason: Refusal };
