#!/usr/bin/env node
/**
 * A small SIP phone for a terminal, in Node and nothing else: registers over one TCP connection, answers calls (or
 * makes one), sends and counts voice by UDP. It knows nothing of sleep: put it in `wakeline sleepbox` as it is.
 *
 *     node phone.mjs --address bob@home.test --password secret --server 127.0.0.1:5060
 *     node phone.mjs --address ann@home.test --password secret --server 127.0.0.1:5060 --call bob@home.test --for 5
 *
 * What happens is told on standard output, a line each (`--json`: as JSON). Exit code 0 after a call that it made and
 * that was answered, 1 when it was not.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { Call } from './call.mjs';
import { authorization, Message, parameter, Reader, responseTo, token } from './message.mjs';

const { values: options } = parseArgs({
  options: {
    address: { type: 'string' },
    password: { type: 'string', default: '' },
    /** HOST:PORT of the registrar. */
    server: { type: 'string' },
    /** Tells the devices of one user apart. */
    device: { type: 'string', default: hostname() },
    /** Seconds of ringing before it answers by itself; `never`: SIGUSR1 answers. */
    'answer-after': { type: 'string', default: '0' },
    call: { type: 'string' },
    /** Seconds until it hangs up a call that it made. */
    for: { type: 'string', default: '5' },
    /** Seconds that a registration is asked to last. */
    expires: { type: 'string', default: '3600' },
    json: { type: 'boolean', default: false },
  },
});
if (options.address === undefined || options.server === undefined) {
  console.error('phone: give --address USER@DOMAIN and --server HOST:PORT');
  process.exit(2);
}

const [user, domain] = options.address.split('@');
const [, host, port] = /^(.*):(\d+)$/.exec(options.server);
/** One for each installed app, the same after each start: what the server knows the device by (RFC 5626 §4.1). */
const instance = uuidOf(`${options.address} ${options.device}`);
/** One for each life of this process. */
const registrationCallId = token();

/** Between a lost connection and the next attempt, ms. */
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 2_000;

let socket;
let reconnectMs = RECONNECT_MS_MIN;
let registrationCseq = 0;
let refreshTimer;
let hasDialled = false;
/** Requests of ours without a final answer, by branch: they outlive the connection they were sent on. */
const waiting = new Map();
/** Calls by Call-ID. */
const calls = new Map();

/** What a call needs of its phone. */
const phone = {
  user,
  domain,
  get contact() {
    return `<sip:${user}@${socket.localAddress}:${socket.localPort};transport=tcp;ob>`;
  },
  get localAddress() {
    return socket.localAddress;
  },
  get sentBy() {
    return `${socket.localAddress}:${socket.localPort}`;
  },
  answerAfterMs: options['answer-after'] === 'never' ? Infinity : Number(options['answer-after']) * 1_000,
  send: (message) => socket.write(message.toString()),
  request,
  tell,
  forget: (call) => calls.delete(call.id),
};

process.on('SIGUSR1', () => {
  for (const call of calls.values()) call.answer();
});
process.on('SIGTERM', () => process.exit(0));
open();

function open() {
  socket = connect({ host, port: Number(port), noDelay: true });
  const reader = new Reader();
  socket.on('connect', () => {
    reconnectMs = RECONNECT_MS_MIN;
    register();
  });
  socket.on('data', (chunk) => {
    for (const message of reader.push(chunk)) handle(message);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    tell('disconnected', { againMs: reconnectMs });
    setTimeout(open, reconnectMs);
    reconnectMs = Math.min(reconnectMs * 2, RECONNECT_MS_MAX);
  });
}

function register() {
  const uri = `sip:${domain}`;
  const contact = `${phone.contact};reg-id=1;+sip.instance="<urn:uuid:${instance}>"`;
  request(
    'REGISTER',
    uri,
    [
      ['from', `<sip:${options.address}>;tag=${token()}`],
      ['to', `<sip:${options.address}>`],
      ['call-id', registrationCallId],
      ['contact', contact],
      ['expires', options.expires],
      ['supported', 'path, outbound'],
    ],
    () => ++registrationCseq,
    (response) => {
      if (response.status < 200) return;
      if (response.status === 423) {
        options.expires = response.get('min-expires');
        register();
        return;
      }
      if (response.status >= 300) {
        tell('refused', { status: response.status, reason: response.reason });
        return;
      }
      const own = response.all('contact').find((each) => each.includes(instance)) ?? '';
      const seconds = Number(parameter(own, 'expires') || response.get('expires') || options.expires);
      tell('registered', { seconds });
      clearTimeout(refreshTimer);
      refreshTimer = setTimeout(register, Math.max(seconds - 60, seconds / 2) * 1_000);
      if (options.call !== undefined && !hasDialled) dial();
    },
  );
}

function dial() {
  hasDialled = true;
  const call = new Call(phone, token());
  calls.set(call.id, call);
  void call.dial(options.call, Number(options.for) * 1_000).then((isAnswered) => {
    process.exitCode = isAnswered ? 0 : 1;
    // What was just written has to leave first.
    socket.end(() => process.exit());
  });
}

/** Sends a request, once more with credentials when they are asked for, and hands over each response to it. */
function request(
  method,
  uri,
  headers,
  nextCseq,
  onResponse,
  { routes = [], body = '', isRetry = false } = {},
) {
  const cseq = nextCseq();
  const branch = `z9hG4bK${token()}`;
  const message = new Message(
    `${method} ${uri} SIP/2.0`,
    [
      ['via', `SIP/2.0/TCP ${phone.sentBy};branch=${branch};rport;alias`],
      ['max-forwards', '70'],
      ['user-agent', 'small-phone'],
      ...routes.map((route) => ['route', route]),
      ...headers,
      ['cseq', `${cseq} ${method}`],
    ],
    body,
  );
  waiting.set(branch, (response) => {
    if (response.status >= 200 && method !== 'INVITE') waiting.delete(branch);
    if (response.status >= 300 && method === 'INVITE') acknowledgeRefusal(message, response);
    const challenge = response.get('www-authenticate') || response.get('proxy-authenticate');
    const isChallenge = response.status === 401 || response.status === 407;
    if (!isChallenge || isRetry) return onResponse(response, message);
    waiting.delete(branch);
    const name = response.status === 401 ? 'authorization' : 'proxy-authorization';
    const credentials = authorization(challenge, { method, uri, user, password: options.password });
    return request(method, uri, [...headers, [name, credentials]], nextCseq, onResponse, {
      routes,
      body,
      isRetry: true,
    });
  });
  socket.write(message.toString());
  return message;
}

/** A refusal of an INVITE has an ACK on the same branch (RFC 3261 §17.1.1.3). */
function acknowledgeRefusal(invite, response) {
  const copied = invite.headers.filter(([name]) =>
    ['via', 'max-forwards', 'route', 'from', 'call-id'].includes(name),
  );
  const cseq = invite.get('cseq').split(' ')[0];
  socket.write(
    new Message(invite.startLine.replace('INVITE', 'ACK'), [
      ...copied,
      ['to', response.get('to')],
      ['cseq', `${cseq} ACK`],
    ]).toString(),
  );
}

function handle(message) {
  if (message.isResponse) {
    // By branch alone: an answer may come on another connection than the request went out on.
    waiting.get(message.branch)?.(message);
    return;
  }
  const call = calls.get(message.get('call-id'));
  if (call !== undefined) {
    call.handleRequest(message);
    return;
  }
  switch (message.method) {
    case 'ACK':
      return;
    case 'INVITE': {
      const incoming = new Call(phone, message.get('call-id'));
      calls.set(incoming.id, incoming);
      void incoming.ring(message);
      return;
    }
    case 'OPTIONS':
      phone.send(responseTo(message, 200, 'OK', { tag: token() }));
      return;
    case 'MESSAGE':
      tell('message', { from: message.get('from'), text: message.body });
      phone.send(responseTo(message, 200, 'OK', { tag: token() }));
      return;
    default:
      phone.send(responseTo(message, 481, 'Call Does Not Exist', { tag: token() }));
  }
}

function tell(what, details = {}) {
  if (options.json) {
    console.log(JSON.stringify({ atMs: Date.now(), what, ...details }));
    return;
  }
  const told = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  console.log([what, ...told].join(', '));
}

function uuidOf(text) {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
