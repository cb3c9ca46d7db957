/** The JSON schemas of calls, users and bindings. */
import { callEventKinds, callStates } from '@wakeline/core/domain';
import { closed, count, nullable, text, time } from './schema-parts.js';

/** Calls or users of one page. */
export const PAGE_CALLS_MAX = 1_000;

const callId = text('id of the call, 32 hex digits', { pattern: '^[0-9a-f]{32}$' });
const address = text('address of a user, user@domain');
const pageCount = text(`1 … ${PAGE_CALLS_MAX}; default: 100`, { pattern: '^[1-9][0-9]{0,3}$' });
const next = nullable(text('give it as after for the next page; null: this was the last'));
const algorithm = { type: 'string', enum: ['sha-256', 'md5'] };

const callFields = {
  id: callId,
  user: address,
  caller: closed(
    {
      uri: text('as the caller names itself'),
      displayName: nullable(text('for people')),
      user: nullable(text('the user who proved to be the caller; null: it came by a trunk')),
      trunk: nullable(text('the trunk it came by; null: a user here called')),
    },
    ['uri', 'displayName', 'user', 'trunk'],
  ),
  sipCallId: text('the Call-ID of SIP'),
  state: text('where it is, or how it ended', { enum: callStates }),
  missed: { type: 'boolean', description: 'nobody answered or declined it' },
  startedAt: time('when it came'),
  deadlineAt: nullable(time('when it ends unanswered; null: it has ended')),
  endedAt: nullable(time('when it ended; null: it goes on')),
  status: nullable({ type: 'integer', description: 'what the caller was answered; null: nothing yet' }),
  reason: nullable(text('how it ended and why, in a sentence; null: it goes on')),
  wakes: count('wakes sent for it'),
  legCount: count('instances that it was for'),
};

const leg = closed({
  leg: count('its number, as in the events'),
  instance: text('the phone: its instance id, or its contact'),
  contact: text('its latest contact'),
  userAgent: nullable(text('as the phone names itself')),
  state: text('asleep, waking, offered, ringing, lost, answered, rejected, cancelled or gone'),
  attempts: {
    type: 'array',
    items: closed({
      attempt: count('1 …'),
      mode: text('new: a transaction of its own; repeat: the same again', { enum: ['new', 'repeat'] }),
      status: nullable({ type: 'integer', description: 'provisional or final; null: nothing came back' }),
      withdrawn: nullable(text('why it was withdrawn; null: it was not')),
    }),
  },
});

const traceEvent = closed({
  atMs: { type: 'number', description: 'milliseconds since the call came' },
  kind: text('what happened', { enum: callEventKinds }),
  leg: nullable({ type: 'integer', description: 'null: of the call as a whole' }),
  attempt: nullable({ type: 'integer' }),
  status: nullable({ type: 'integer', description: 'of the SIP response' }),
  text: text('what and why, for people'),
});

const userFields = {
  address,
  devices: { type: 'array', items: text('device id'), description: 'told of calls, and woken by them' },
  algorithms: { type: 'array', items: algorithm, description: 'in which the password may be asked for' },
  missingAlgorithms: {
    type: 'array',
    items: algorithm,
    description:
      'those of sip.challenge that the password was made without: a phone that answers by one is refused; PUT the user again',
  },
  configured: { type: 'boolean', description: 'stands in the configuration, and is changed there' },
  bindings: count('places where phones of the user are'),
  liveBindings: count('those with a connection'),
};

export const callSchemas = {
  callId: closed({ id: callId }, ['id']),
  calls: closed({ calls: { type: 'array', items: closed(callFields) }, next }, ['calls', 'next']),
  call: closed({
    ...callFields,
    legs: { type: 'array', items: leg },
    events: { type: 'array', items: traceEvent, description: 'oldest first' },
    eventsDropped: count('events that found no room'),
  }),
  callsQuery: closed({
    address: { ...address, maxLength: 256 },
    missed: text('only calls that nobody answered or declined', { enum: ['true', 'false'] }),
    after: { ...callId, description: 'only calls older than this one' },
    count: pageCount,
  }),
  intent: closed({ intent: text('what the user wants', { enum: ['answer', 'decline'] }) }, ['intent']),
  address: closed({ address: text('address of the user, percent-encoded') }, ['address']),
  user: closed(userFields),
  users: closed({ users: { type: 'array', items: closed(userFields) }, next }, ['users', 'next']),
  usersQuery: closed({
    after: text('only users behind this address', { minLength: 1, maxLength: 256 }),
    count: pageCount,
  }),
  putUser: {
    ...closed({
      password: text('default: a random one, which the answer shows this once', {
        minLength: 1,
        maxLength: 256,
        pattern: '^[^\\u0000-\\u001f\\u007f]+$',
      }),
      algorithms: {
        type: 'array',
        minItems: 1,
        uniqueItems: true,
        items: algorithm,
        description: 'default: those of sip.challenge, which must be among them',
      },
      devices: {
        type: 'array',
        uniqueItems: true,
        items: text('device id', {
          minLength: 1,
          maxLength: 256,
          pattern: '^[^+#/\\u0000-\\u001f\\u007f]+$',
        }),
        description: 'default: a device named like the address',
      },
    }),
    type: ['object', 'null'],
  },
  newUser: closed({
    ...userFields,
    password: text('the password that was made; shown this once, and not at all when one was given'),
  }),
  bindings: closed(
    {
      bindings: {
        type: 'array',
        items: closed({
          instance: text('the phone: its instance id, or its contact'),
          regId: count('RFC 5626; 0: none'),
          contact: text('where requests go'),
          connected: { type: 'boolean', description: 'it has a live connection' },
          expiresAt: time('when the registration ends'),
          push: nullable(text('how it is woken when it has none: the provider; null: it cannot be')),
          userAgent: nullable(text('as the phone names itself')),
        }),
      },
    },
    ['bindings'],
  ),
};
