/** One call of the phone, incoming or outgoing, from INVITE to BYE. */
import { responseTo, parameter, token, uriOf, Message } from './message.mjs';
import { Voice } from './voice.mjs';

/** How long a 200 is sent again while no ACK comes, ms, and the first and longest pause (RFC 3261 §13.3.1.4). */
const ANSWER_MS_MAX = 32_000;
const T1_MS = 500;
const T2_MS = 4_000;

export class Call {
  id;
  #phone;
  #tag = token();
  #voice;
  #invite;
  /** The last answer to each INVITE, by branch: sent again when the INVITE comes again. */
  #answers = new Map();
  #isAnswered = false;
  #isOver = false;
  #againTimer;
  #answerTimer;
  /** Of the dialog: the other end's URI, header, and the proxies on the way. */
  #remote = { target: '', header: '', routes: [] };
  #localHeader = '';
  #cseq = 0;
  #ended;

  constructor(phone, id) {
    this.#phone = phone;
    this.id = id;
  }

  // ---- incoming --------------------------------------------------------------------------------------------

  async ring(invite) {
    this.#invite = invite;
    this.#remote = {
      target: uriOf(invite.get('contact')),
      header: invite.get('from'),
      routes: routesOf(invite),
    };
    this.#localHeader = `${invite.get('to')};tag=${this.#tag}`;
    this.#reply(invite, 180, 'Ringing', { headers: [['contact', this.#phone.contact]] });
    this.#phone.tell('ringing', { from: uriOf(invite.get('from')), callId: this.id });
    this.#voice = await Voice.open(this.#phone.localAddress);
    if (this.#isOver) this.#voice.stop();
    else if (this.#phone.answerAfterMs !== Infinity) {
      this.#answerTimer = setTimeout(() => this.answer(), this.#phone.answerAfterMs);
    }
  }

  /** The user takes the call. */
  answer() {
    if (this.#invite === undefined || this.#isAnswered || this.#isOver) return;
    this.#isAnswered = true;
    this.#phone.tell('answered', { callId: this.id });
    this.#voice.start(this.#invite.body);
    const startMs = Date.now();
    let pauseMs = T1_MS;
    const again = () => {
      this.#reply(this.#invite, 200, 'OK', {
        headers: [
          ['contact', this.#phone.contact],
          ['content-type', 'application/sdp'],
        ],
        body: this.#voice.sdp,
      });
      if (Date.now() - startMs > ANSWER_MS_MAX) return this.#end('no ACK came');
      this.#againTimer = setTimeout(again, pauseMs);
      pauseMs = Math.min(pauseMs * 2, T2_MS);
      return undefined;
    };
    again();
  }

  handleRequest(request) {
    switch (request.method) {
      case 'ACK':
        clearTimeout(this.#againTimer);
        return;
      case 'INVITE':
        this.#handleInvite(request);
        return;
      case 'CANCEL':
        this.#phone.send(responseTo(request, 200, 'OK', { tag: this.#tag }));
        if (this.#isAnswered || this.#invite === undefined) return;
        this.#reply(this.#invite, 487, 'Request Terminated');
        this.#end('cancelled');
        return;
      case 'BYE':
        this.#phone.send(responseTo(request, 200, 'OK', { tag: this.#tag }));
        this.#end('hung up by the other end');
        return;
      default:
        this.#phone.send(responseTo(request, 200, 'OK', { tag: this.#tag }));
    }
  }

  #handleInvite(request) {
    const answer = this.#answers.get(request.branch);
    if (answer !== undefined) {
      this.#phone.send(answer);
      return;
    }
    if (parameter(request.get('to'), 'tag') === '') {
      // Another branch of the INVITE that rings here already (RFC 3261 §8.2.2.2).
      this.#reply(request, 482, 'Loop Detected');
      return;
    }
    this.#reply(request, 200, 'OK', {
      headers: [
        ['contact', this.#phone.contact],
        ['content-type', 'application/sdp'],
      ],
      body: this.#voice.sdp,
    });
  }

  #reply(request, status, reason, more = {}) {
    const response = responseTo(request, status, reason, { tag: this.#tag, ...more });
    this.#answers.set(request.branch, response);
    this.#phone.send(response);
  }

  // ---- outgoing --------------------------------------------------------------------------------------------

  /** Calls; when it is answered, hangs up after the time. Resolves with whether it was answered. */
  async dial(address, talkMs) {
    this.#voice = await Voice.open(this.#phone.localAddress);
    const { user, domain } = this.#phone;
    this.#localHeader = `<sip:${user}@${domain}>;tag=${this.#tag}`;
    const to = `<sip:${address}>`;
    this.#phone.tell('calling', { address, callId: this.id });
    const ended = new Promise((resolve) => (this.#ended = resolve));
    this.#phone.request(
      'INVITE',
      `sip:${address}`,
      [
        ['from', this.#localHeader],
        ['to', to],
        ['call-id', this.id],
        ['contact', this.#phone.contact],
        ['content-type', 'application/sdp'],
      ],
      () => ++this.#cseq,
      (response, invite) => this.#handleAnswer(response, invite, talkMs),
      { body: this.#voice.sdp },
    );
    return ended;
  }

  #handleAnswer(response, invite, talkMs) {
    if (response.status < 200) {
      this.#phone.tell('progress', { status: response.status, reason: response.reason });
      return;
    }
    if (response.status >= 300) {
      this.#phone.tell('failed', { status: response.status, reason: response.reason });
      this.#end('not answered');
      return;
    }
    // Each 200 has its ACK, also when it is the same one again (RFC 3261 §13.2.2.4).
    this.#remote = {
      target: uriOf(response.get('contact')),
      header: response.get('to'),
      routes: routesOf(response).toReversed(),
    };
    this.#phone.send(this.#inDialog('ACK', Number(invite.get('cseq').split(' ')[0])));
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#phone.tell('answered', { callId: this.id });
    this.#voice.start(response.body);
    setTimeout(() => this.hangUp(), talkMs);
  }

  #inDialog(method, cseq) {
    return new Message(`${method} ${this.#remote.target} SIP/2.0`, [
      ['via', `SIP/2.0/TCP ${this.#phone.sentBy};branch=z9hG4bK${token()};rport;alias`],
      ['max-forwards', '70'],
      ...this.#remote.routes.map((route) => ['route', route]),
      ['from', this.#localHeader],
      ['to', this.#remote.header],
      ['call-id', this.id],
      ['cseq', `${cseq} ${method}`],
    ]);
  }

  hangUp() {
    if (this.#isOver) return;
    const { target, header, routes } = this.#remote;
    this.#phone.request(
      'BYE',
      target,
      [
        ['from', this.#localHeader],
        ['to', header],
        ['call-id', this.id],
      ],
      () => ++this.#cseq,
      (response) => response.status >= 200 && this.#end('hung up'),
      { routes },
    );
  }

  #end(why) {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#againTimer);
    clearTimeout(this.#answerTimer);
    const { sentPackets = 0, receivedPackets = 0 } = this.#voice ?? {};
    this.#phone.tell('over', { why, sentPackets, receivedPackets, callId: this.id });
    this.#voice?.stop();
    // Repeated requests of this call are still known for a while.
    setTimeout(() => this.#phone.forget(this), ANSWER_MS_MAX).unref();
    this.#ended?.(this.#isAnswered);
  }
}

/** The proxies that want to stay on the way, first the one next to whoever answered. */
function routesOf(message) {
  return message.all('record-route').flatMap((value) => value.split(/,\s*(?=<)/));
}
