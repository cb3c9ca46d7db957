/**
 * The torture messages of RFC 4475 and RFC 5118, with what the RFCs say that a parser, a proxy and a registrar make
 * of them. For the tests of all of these.
 */
import { applicationMessages } from './torture-application.js';
import { invalidMessages } from './torture-invalid.js';
import { ipv6Messages } from './torture-ipv6.js';
import type { TortureMessage } from './torture-message.js';
import { validMessages } from './torture-valid.js';

export type { Expectation, TortureMessage } from './torture-message.js';

export const tortureMessages: readonly TortureMessage[] = [
  ...validMessages,
  ...invalidMessages,
  ...applicationMessages,
  ...ipv6Messages,
];
