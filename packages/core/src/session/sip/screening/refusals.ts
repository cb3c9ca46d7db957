/** Everything that a request is refused for before anybody is asked, by name: for answers, counters and logs. */

import type { Aor, PasswordAlgorithm } from '../../../domain/index.js';

/** Name to meaning. docs/errors.md carries the same table; a test compares the two both ways. */
export const sipRefusals = {
  'sip-asserted-identity': 'a P-Asserted-Identity that is not from a trunk was taken out of the request',
  'sip-bad-extension': 'the request requires an extension that is not supported here',
  'sip-bad-request': 'the request is not as RFC 3261 wants it',
  'sip-brief-registration': 'the registration is shorter than the shortest allowed',
  'sip-draining': 'the server is leaving',
  'sip-echo-too-large': 'what every answer to the request repeats would make it too large to be read',
  'sip-foreign-route': 'the Route names somebody else: this is no open relay',
  'sip-from-mismatch': 'the From is not an address of the user whose password was given',
  'sip-invite-rate': 'too many INVITEs to one user, from one caller or in all, within a minute',
  'sip-login-algorithm':
    'the answer to a challenge is by an algorithm that the password of the user was made without',
  'sip-login-failed': 'the answer to a challenge is wrong, or there is no such user',
  'sip-login-rate': 'too many wrong answers to challenges from this address within a minute',
  'sip-loop': 'the request has been here before, as it is',
  'sip-merged': 'the request is here already, by another path',
  'sip-not-served': 'the target is neither a user here nor one of a trunk that is to be used',
  'sip-outbound-hops': 'the first hop of the registration does not support outbound',
  'sip-overloaded': 'too much is under way',
  'sip-push-service': 'the push service that the registration names is not supported',
  'sip-scheme': 'the scheme of the Request-URI is not supported',
  'sip-third-party': 'a user may register only itself',
  'sip-token': 'the Route was not signed by this server for this call',
  'sip-too-many-hops': 'the request has no hops left',
  'sip-trunks-only': 'the listener is for trunks, and the sender is none',
  'sip-unknown-dialog': 'the request names a call or dialog that is not known here',
  'sip-unknown-user': 'there is no such user',
} as const;

export type SipRefusal = keyof typeof sipRefusals;

/** Whose password was made without which algorithm: for logs, never for who was refused. */
export interface RefusalDetail {
  readonly user: Aor;
  readonly algorithm: PasswordAlgorithm;
}

export interface RefusalAnswer {
  readonly status: number;
  /** Reason phrase. */
  readonly phrase: string;
}

const answers: Readonly<Record<SipRefusal, RefusalAnswer>> = {
  // Never answered: the request goes on without it.
  'sip-asserted-identity': { status: 403, phrase: 'P-Asserted-Identity Not From A Trunk' },
  'sip-bad-extension': { status: 420, phrase: 'Bad Extension' },
  'sip-bad-request': { status: 400, phrase: 'Bad Request' },
  'sip-brief-registration': { status: 423, phrase: 'Interval Too Brief' },
  'sip-draining': { status: 503, phrase: 'Server Is Leaving' },
  'sip-echo-too-large': { status: 513, phrase: 'Too Much To Repeat' },
  'sip-foreign-route': { status: 403, phrase: 'Route Not Ours' },
  'sip-from-mismatch': { status: 403, phrase: 'From Is Not Yours' },
  'sip-invite-rate': { status: 486, phrase: 'Too Many Calls' },
  // Unknown and wrong user answer alike, whatever is kept of the password, and all as a first request does.
  'sip-login-algorithm': { status: 401, phrase: 'Unauthorized' },
  'sip-login-failed': { status: 401, phrase: 'Unauthorized' },
  'sip-login-rate': { status: 403, phrase: 'Too Many Failed Logins' },
  'sip-loop': { status: 482, phrase: 'Loop Detected' },
  'sip-merged': { status: 482, phrase: 'Merged Request' },
  'sip-not-served': { status: 403, phrase: 'Target Not Served' },
  'sip-outbound-hops': { status: 439, phrase: 'First Hop Lacks Outbound Support' },
  'sip-overloaded': { status: 503, phrase: 'Overloaded' },
  'sip-push-service': { status: 555, phrase: 'Push Notification Service Not Supported' },
  'sip-scheme': { status: 416, phrase: 'Unsupported URI Scheme' },
  'sip-third-party': { status: 403, phrase: 'Not Your Address' },
  'sip-token': { status: 403, phrase: 'Route Token Not Ours' },
  'sip-too-many-hops': { status: 483, phrase: 'Too Many Hops' },
  'sip-trunks-only': { status: 403, phrase: 'Listener For Trunks Only' },
  'sip-unknown-dialog': { status: 481, phrase: 'Call/Transaction Does Not Exist' },
  'sip-unknown-user': { status: 404, phrase: 'Not Found' },
};

/** What whoever sent the request is told. */
export function answerTo(refusal: SipRefusal): RefusalAnswer {
  return answers[refusal];
}
