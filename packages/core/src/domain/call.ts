/**
 * Calls: what a SIP session and the hub say to each other about users, bindings, calls and their legs.
 *
 * The hub decides: which device is offered a call, when it is woken, when the call has ended and how. It knows no SIP:
 * an INVITE is bytes to it, a contact a text, a flow a number. The session (`session/sip`) speaks the protocol and
 * decides nothing that a restart would have to remember. The host carries these values in batches, in order.
 *
 * Words: a *user* is an address-of-record. A *binding* says where one *instance* (one app on one device) of a user is.
 * A *run* is one life of the phone's process, told by the Call-ID of its REGISTERs. A *leg* is what one call is to one
 * instance; it is offered in *attempts*, each of which is one client transaction, whose branch the session derives from
 * call, leg and attempt, so that it is the same after a restart.
 */

/** Address-of-record: `user@domain`, unescaped user, domain in small letters; at most `limits.aorBytesMax` bytes. */
export type Aor = string;

/** 32 hex digits, chosen at random by the session that received the INVITE. */
export type CallId = string;

/** A live path to a phone: numbers of the session's own, never reused within one life of the process; 0: none. */
export type SipFlow = number;

/** How a device is woken when it has no live flow (RFC 8599). */
export interface PushRoute {
  /** `pn-provider`. */
  readonly provider: 'webpush';
  /** `pn-prid`, unescaped: the push resource (endpoint) of RFC 8030. */
  readonly resource: string;
}

/** Where an instance is. */
export interface BindingTarget {
  readonly aor: Aor;
  /** The `+sip.instance` value without its angle brackets, or the contact URI of a phone that has none. */
  readonly instance: string;
  /** RFC 5626; 0: none. */
  readonly regId: number;
  /** The contact URI as registered, without the `pn-*` parameters. */
  readonly contact: string;
  /** Path header values, first one first (RFC 3327). */
  readonly path: readonly string[];
  /** Call-ID of the REGISTER. */
  readonly run: string;
  readonly flow: SipFlow;
}

export interface Binding extends BindingTarget {
  readonly hasInstanceId: boolean;
  readonly cseq: number;
  /** Wall-clock ms. */
  readonly expiresMs: number;
  readonly push: PushRoute | undefined;
  readonly userAgent: string | undefined;
  /**
   * The session's own name for a place that outlives a restart of the server (UDP: listener and remote address), given
   * back in `restored`; undefined: the flow ends with the process.
   */
  readonly place: string | undefined;
  /** Since when it has no flow, wall-clock ms; undefined: it has one. */
  readonly lostMs?: number | undefined;
}

/** One contact of a REGISTER. */
export interface BindingChange extends Omit<
  Binding,
  'aor' | 'run' | 'cseq' | 'flow' | 'expiresMs' | 'lostMs'
> {
  /** 0 removes it. */
  readonly expiresSeconds: number;
}

/** Who calls, as far as it is proved. */
export interface Caller {
  /** The From URI, for people; at most 256 characters. */
  readonly uri: string;
  readonly displayName: string | undefined;
  /** The user who proved to be the caller; undefined: it came by a trunk. */
  readonly aor: Aor | undefined;
  /** Name of the trunk it came by; undefined: a user of ours. */
  readonly trunk: string | undefined;
}

export type CallCommand =
  // ---- bindings ----
  | {
      /** A REGISTER. All of it or nothing takes effect. Answered by `bound` once synced, or by `bind-refused`. */
      readonly kind: 'bind';
      readonly ticket: number;
      readonly aor: Aor;
      readonly run: string;
      readonly cseq: number;
      readonly flow: SipFlow;
      /** Empty: only asks for the bindings. */
      readonly changes: readonly BindingChange[];
      /** `Contact: *` with expiry 0. */
      readonly removeAll: boolean;
    }
  | {
      /** The flow is gone. Bindings stay, without it; legs offered on it are lost, and their devices woken. */
      readonly kind: 'flow-lost';
      readonly flow: SipFlow;
    }
  | {
      /** A place given back in `restored` is usable again. */
      readonly kind: 'flow-up';
      readonly aor: Aor;
      readonly instance: string;
      readonly regId: number;
      readonly flow: SipFlow;
    }
  // ---- calls ----
  | {
      /**
       * An INVITE for a user of ours, screened. Answered by `journaled` once it is on disk with its legs, or by `finish`.
       * The hub journals before it trusts the look-up of bindings and before it wakes anybody.
       */
      readonly kind: 'call';
      readonly call: CallId;
      readonly aor: Aor;
      readonly caller: Caller;
      /** SIP's own Call-ID: what the app finds again in the INVITE. */
      readonly sipCallId: string;
      /** The INVITE as received, with `received` and `rport`; at most `limits.sipMessageBytesMax`. */
      readonly offer: Uint8Array;
      /** The session's own name for where the caller is; given back in `restored`. */
      readonly callerPlace: string;
      /** Address of the caller, for limits. */
      readonly callerAddress: string;
      /** From the Expires header; undefined: the hub's own time. */
      readonly expiresSeconds: number | undefined;
    }
  | {
      /** A leg got a provisional response, 100 … 199, other than its first of that status. Alerting from 180 on. */
      readonly kind: 'leg-provisional';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
      readonly status: number;
    }
  | {
      /** A leg got a 2xx. The first one wins: answered by `answer` once synced. */
      readonly kind: 'leg-answered';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
      readonly status: number;
    }
  | {
      /** A leg got another final response, 300 … 699. The session keeps it for the best response. */
      readonly kind: 'leg-refused';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
      readonly status: number;
      /** Reason phrase, for the trace; at most 128 characters. */
      readonly reason: string;
    }
  | {
      /** The offer could not be sent, or nothing at all came back in the transaction's time: the device is woken again. */
      readonly kind: 'leg-unreachable';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
      readonly reason: 'no-flow' | 'transport' | 'timeout';
    }
  | {
      /** The caller hung up before the answer (CANCEL). Answered by `finish` with 487, or nothing if it has ended. */
      readonly kind: 'cancel';
      readonly call: CallId;
    }
  | {
      /** For each call given back in `restored`: whether a response reaches its caller. Not offered until it is said. */
      readonly kind: 'caller';
      readonly call: CallId;
      readonly isReachable: boolean;
    }
  | {
      /** Something worth a line in the trace: retransmissions, ACK, BYE, no media relay. Costs nothing on disk of its own. */
      readonly kind: 'call-note';
      readonly call: CallId;
      readonly leg: number | undefined;
      /** A fixed text of the session with numbers in it, at most 256 characters. */
      readonly text: string;
    }
  // ---- requests that are not calls ----
  | {
      /** A request within a dialog is for an instance without a flow: wake it. Answered by `reached` or `unreached`. */
      readonly kind: 'reach';
      readonly ticket: number;
      readonly aor: Aor;
      readonly instance: string;
      /** Method, for the trace. */
      readonly method: string;
      /** 1 … 20,000. */
      readonly waitMs: number;
    }
  | {
      /** A MESSAGE (RFC 3428) for a user: one copy for each instance. Answered by `message-stored` once synced. */
      readonly kind: 'message';
      readonly ticket: number;
      readonly aor: Aor;
      readonly caller: Caller;
      /** Call-ID, CSeq and From-tag: a repeat within 64·T1, and over a restart, is stored once. */
      readonly repeatKey: string;
      readonly contentType: string;
      readonly body: Uint8Array;
      readonly expiresSeconds: number | undefined;
    }
  | {
      /** What the device answered to a `deliver-message`: its 2xx is the acknowledgement. Undefined: nothing came. */
      readonly kind: 'message-result';
      readonly aor: Aor;
      readonly instance: string;
      readonly sequence: number;
      readonly status: number | undefined;
    };

/** Why a leg is withdrawn; the session says it in the Reason header (RFC 3326). */
export type LegEnd =
  'answered-elsewhere' | 'caller-cancelled' | 'declined-elsewhere' | 'expired' | 'superseded';

export type BindRefusal = 'stale' | 'too-many-bindings' | 'too-many-users' | 'storage-failed' | 'draining';

/**
 * A call that was not over when the server stopped; or ended so shortly before that its caller may not have heard so: then
 * `finish` follows on `caller`.
 */
export interface RestoredCall {
  readonly call: CallId;
  readonly aor: Aor;
  readonly caller: Caller;
  readonly sipCallId: string;
  readonly offer: Uint8Array;
  readonly callerPlace: string;
  /** Wall-clock ms. */
  readonly deadlineMs: number;
  /**
   * Attempts that were sent and have had no final response, and the one that has answered: their transactions go on. Those that
   * were withdrawn are cancelled where their phone comes back, as it may ring yet.
   */
  readonly attempts: readonly {
    readonly leg: number;
    readonly attempt: number;
    readonly target: BindingTarget;
    readonly hadProvisional: boolean;
    readonly wasAlerting: boolean;
    readonly withdrawn: LegEnd | undefined;
  }[];
  /**
   * The leg that had answered when the server stopped: its 2xx may not have reached the caller, the phone repeats it
   * until it is acknowledged, and it is to be forwarded.
   */
  readonly answered: { readonly leg: number; readonly attempt: number } | undefined;
}

export type CallEvent =
  // ---- bindings ----
  | {
      /** Everything of the user that is bound now. Write the 2xx before anything that follows it on this flow. */
      readonly kind: 'bound';
      readonly ticket: number;
      readonly bindings: readonly Binding[];
    }
  | { readonly kind: 'bind-refused'; readonly ticket: number; readonly reason: BindRefusal }
  // ---- calls ----
  | {
      /** The call is on disk: say 100. */
      readonly kind: 'journaled';
      readonly call: CallId;
    }
  | {
      /** Send the INVITE to a device. */
      readonly kind: 'offer';
      readonly call: CallId;
      readonly leg: number;
      /** Counts from 1; the same again with `repeat`. */
      readonly attempt: number;
      /** `new`: a client transaction of its own. `repeat`: the same branch and the same bytes, on this flow. */
      readonly mode: 'new' | 'repeat';
      readonly target: BindingTarget;
      /** Wall-clock ms at which the call ends unanswered. */
      readonly deadlineMs: number;
    }
  | {
      /** The leg is no longer wanted: CANCEL it, at its first 1xx if none came yet. A later 2xx of it still goes to the caller. */
      readonly kind: 'cancel-leg';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
      readonly reason: LegEnd;
    }
  | {
      /** The call is answered, and that is on disk: forward this attempt's 2xx, and every later one. */
      readonly kind: 'answer';
      readonly call: CallId;
      readonly leg: number;
      readonly attempt: number;
    }
  | {
      /**
       * The call has ended without an answer, and that is on disk: send the caller this final response. `best`: the best
       * of those that the legs got (RFC 3261 §16.7): one with `status` if the session has it, and `status` if it has none.
       */
      readonly kind: 'finish';
      readonly call: CallId;
      readonly status: number;
      readonly best: boolean;
      readonly retryAfterSeconds: number | undefined;
    }
  // ---- requests that are not calls ----
  | { readonly kind: 'reached'; readonly ticket: number; readonly target: BindingTarget }
  | { readonly kind: 'unreached'; readonly ticket: number }
  | {
      readonly kind: 'message-stored';
      readonly ticket: number;
      /** undefined: safe. */
      readonly reason:
        'unknown-user' | 'no-devices' | 'inbox-full' | 'storage-failed' | 'draining' | undefined;
    }
  | {
      /** Send the device a MESSAGE; answered by `message-result`. One at a time for each instance. */
      readonly kind: 'deliver-message';
      readonly sequence: number;
      readonly target: BindingTarget;
      readonly callerUri: string;
      readonly contentType: string;
      readonly body: Uint8Array;
      readonly expiresSeconds: number | undefined;
    }
  // ---- start ----
  | {
      /** First event of all. Answered by `flow-up` for what is usable again, and by one `caller` for each call. */
      readonly kind: 'restored';
      /** Those with a place. */
      readonly bindings: readonly Binding[];
      readonly calls: readonly RestoredCall[];
    };

/** A wake to be sent by the host: a push without a body (RFC 8599 §12) to an endpoint that is not ours. */
export interface WakeRequest {
  /** Told back in its result. */
  readonly ticket: number;
  /** Absolute https URL, as the device gave it. */
  readonly resource: string;
  readonly ttlSeconds: number;
  /** RFC 8030 Topic: retries of one wake replace each other. 32 characters of base64url. */
  readonly topic: string;
}

/** `gone`: 404 or 410, the endpoint will not come back. `refused`: not to be tried at that address, or another 4xx. */
export type WakeOutcome = 'accepted' | 'gone' | 'refused' | 'failed';

/** Hashes of a password that digest authentication works with (RFC 7616, RFC 8760), the best first. */
export const passwordAlgorithms = ['sha-256', 'md5'] as const;
export type PasswordAlgorithm = (typeof passwordAlgorithms)[number];

/** A user as it is kept. Of the password only hashes are: HA1 of RFC 7616 for each algorithm it may be used with. */
export interface SipUser {
  readonly aor: Aor;
  /** Hex of H(user:realm:password), realm = the domain; at least one. */
  readonly ha1: { readonly [algorithm in PasswordAlgorithm]?: string };
  /** Wakeline devices that are told of the user's calls and missed calls, and woken by them. */
  readonly devices: readonly string[];
}
