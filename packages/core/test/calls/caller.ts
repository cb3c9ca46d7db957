/**
 * A simulated caller: behind a trunk on UDP, with all its retransmissions; or a user of ours on TCP, registered or not.
 */
import {
  buildAck,
  buildCancel,
  buildRequest,
  buildResponse,
  parseMessage,
  type SipRequest,
  type SipResponse,
} from '../../src/wire/sip/index.js';
import type { Stream } from './network.js';
import { DOMAIN } from './sim-server.js';
import { UserAgent, type AgentOptions } from './user-agent.js';

export type CallerKind = 'udp-trunk' | 'tcp-registered' | 'tcp-stranger';

/** What a caller knows of one call, for the checker. */
export interface OutgoingCall {
  readonly sipCallId: string;
  readonly callee: string;
  readonly startedMs: number;
  /** Final responses to the INVITE, each once; of 2xx one for each To-tag. */
  readonly finals: { readonly atMs: number; readonly status: number; readonly tag: string }[];
  cancelledMs: number | undefined;
  /** It gave up, or its INVITE was lost with its stream. */
  failedMs: number | undefined;
  provisionals: number;
}

interface Transaction {
  readonly call: OutgoingCall;
  readonly invite: Uint8Array;
  readonly parsed: SipRequest;
  state: 'calling' | 'proceeding' | 'done';
  wantsCancel: boolean;
  cancel: Uint8Array | undefined;
  isCancelAnswered: boolean;
  readonly routes: Map<
    string,
    { readonly uri: string; readonly routes: readonly string[]; readonly to: string }
  >;
}

const TRANSACTION_MS = 32_000;
const T1_MS = 500;

export class SimCaller extends UserAgent {
  readonly kind: CallerKind;
  readonly calls: OutgoingCall[] = [];
  readonly #transactions = new Map<string, Transaction>();
  #unsent: Uint8Array[] = [];
  #count = 0;
  #cseq = 10;
  /** How long a call lasts once it is answered, ms. */
  readonly #talkMs: number;

  constructor(options: AgentOptions, kind: CallerKind, talkMs: number) {
    super(options);
    this.kind = kind;
    this.#talkMs = talkMs;
  }

  get isDone(): boolean {
    return [...this.#transactions.values()].every(({ state }) => state === 'done');
  }

  get #from(): string {
    return this.kind === 'udp-trunk' ? `${this.options.user}@pbx.test` : this.aor;
  }

  override connect(): void {
    if (this.kind !== 'udp-trunk') super.connect();
  }

  override start(): void {
    super.start();
    if (this.kind === 'udp-trunk') this.options.network.listenForDatagrams(this);
  }

  protected override handleConnected(): void {
    if (this.kind === 'tcp-stranger') this.#flush();
  }

  protected override handleRegistered(): void {
    this.#flush();
  }

  #flush(): void {
    for (const bytes of this.#unsent.splice(0)) this.write(bytes);
  }

  protected override via(branch: string): string {
    const { address, port } = this.address;
    return this.kind === 'udp-trunk'
      ? `SIP/2.0/UDP ${address}:${port};rport;branch=${branch}`
      : super.via(branch);
  }

  protected override write(bytes: Uint8Array): boolean {
    if (this.kind !== 'udp-trunk') return super.write(bytes);
    this.options.network.sendToServer(this, 2, bytes);
    return true;
  }

  get #isReady(): boolean {
    return (
      this.kind === 'udp-trunk' || (this.isConnected && (this.isRegistered || this.kind === 'tcp-stranger'))
    );
  }

  #send(bytes: Uint8Array): void {
    if (this.#isReady) this.write(bytes);
    else this.#unsent.push(bytes);
  }

  // ---- calling ----

  /** @param user whom. */
  invite(user: string): OutgoingCall {
    const call: OutgoingCall = {
      sipCallId: `call-${this.options.user}-${this.address.port}-${(this.#count += 1)}`,
      callee: user,
      startedMs: this.nowMs,
      finals: [],
      cancelledMs: undefined,
      failedMs: undefined,
      provisionals: 0,
    };
    this.calls.push(call);
    this.#sendInvite(call, undefined);
    return call;
  }

  #sendInvite(call: OutgoingCall, authorization: string | undefined): void {
    const uri = `sip:${call.callee}@${DOMAIN}`;
    const branch = this.nextBranch();
    const { address, port } = this.address;
    const transport = this.kind === 'udp-trunk' ? 'udp' : 'tcp';
    const invite = buildRequest({
      method: 'INVITE',
      uri,
      vias: [this.via(branch)],
      from: `<sip:${this.#from}>;tag=f${call.sipCallId}`,
      to: `<${uri}>`,
      callId: call.sipCallId,
      cseq: (this.#cseq += 1),
      headers: [
        ['Contact', `<sip:${this.options.user}@${address}:${port};transport=${transport}>`],
        ...(authorization === undefined ? [] : [['Proxy-Authorization', authorization] as const]),
      ],
    });
    const transaction: Transaction = {
      call,
      invite,
      parsed: parseMessage(invite) as SipRequest,
      state: 'calling',
      wantsCancel: call.cancelledMs !== undefined,
      cancel: undefined,
      isCancelAnswered: false,
      routes: new Map(),
    };
    this.#transactions.set(branch, transaction);
    this.#send(invite);
    if (this.kind === 'udp-trunk') this.#repeat(transaction, T1_MS);
    this.timer(TRANSACTION_MS, () => {
      if (transaction.state !== 'calling') return;
      transaction.state = 'done';
      call.failedMs = this.nowMs;
    });
  }

  #repeat(transaction: Transaction, ms: number): void {
    this.timer(ms, () => {
      if (transaction.state !== 'calling') return;
      this.write(transaction.invite);
      this.#repeat(transaction, ms * 2);
    });
  }

  /** The same INVITE once more, as if every answer had been lost. */
  retransmit(call: OutgoingCall): void {
    const transaction = this.#of(call);
    if (transaction !== undefined && transaction.state !== 'done') this.#send(transaction.invite);
  }

  cancel(call: OutgoingCall): void {
    if (call.cancelledMs !== undefined || call.finals.length > 0 || call.failedMs !== undefined) return;
    call.cancelledMs = this.nowMs;
    const transaction = this.#of(call);
    if (transaction === undefined) return;
    transaction.wantsCancel = true;
    // RFC 3261 §9.1
    if (transaction.state === 'proceeding') this.#sendCancel(transaction);
  }

  #sendCancel(transaction: Transaction): void {
    if (transaction.cancel !== undefined) return;
    transaction.cancel = buildCancel(transaction.parsed);
    this.#send(transaction.cancel);
    if (this.kind === 'udp-trunk') this.#repeatCancel(transaction, T1_MS, this.nowMs + TRANSACTION_MS);
  }

  #repeatCancel(transaction: Transaction, ms: number, endMs: number): void {
    this.timer(ms, () => {
      if (transaction.isCancelAnswered || transaction.state === 'done' || this.nowMs > endMs) return;
      this.write(transaction.cancel!);
      this.#repeatCancel(transaction, Math.min(ms * 2, 4_000), endMs);
    });
  }

  #of(call: OutgoingCall): Transaction | undefined {
    return [...this.#transactions.values()].findLast((transaction) => transaction.call === call);
  }

  protected override handleStreamLost(): void {
    for (const transaction of this.#transactions.values()) {
      if (transaction.state === 'done') continue;
      // A request of which nothing was heard is lost with its stream; a caller without registration cannot be found again.
      if (transaction.state === 'calling' || this.kind === 'tcp-stranger') {
        transaction.state = 'done';
        transaction.call.failedMs ??= this.nowMs;
      } else if (transaction.cancel !== undefined && !transaction.isCancelAnswered)
        this.#unsent.push(transaction.cancel);
    }
  }

  protected handleResponse(response: SipResponse): void {
    const transaction = this.#transactions.get(response.topVia.branch ?? '');
    if (transaction === undefined) return;
    if (response.cseq.method === 'CANCEL') {
      transaction.isCancelAnswered = true;
      return;
    }
    if (response.cseq.method !== 'INVITE') return;
    const { call } = transaction;
    const { status } = response;
    if (status < 200) {
      call.provisionals += 1;
      if (transaction.state !== 'calling') return;
      transaction.state = 'proceeding';
      if (transaction.wantsCancel) this.#sendCancel(transaction);
      return;
    }
    if (status < 300) return this.#handleAnswer(transaction, response);
    this.#send(buildAck(transaction.parsed, response));
    if (status === 407) {
      if (transaction.state === 'done') return;
      transaction.state = 'done';
      const nonce = this.nonceOf(response, 'Proxy-Authenticate');
      this.#sendInvite(call, this.credentials('INVITE', transaction.parsed.uri, nonce));
      return;
    }
    this.#noteFinal(transaction, status, response.to.tag ?? '');
  }

  #noteFinal(transaction: Transaction, status: number, tag: string): boolean {
    const { finals } = transaction.call;
    if (finals.some((final) => final.status === status && final.tag === tag)) return false;
    finals.push({ atMs: this.nowMs, status, tag });
    transaction.state = 'done';
    return true;
  }

  #handleAnswer(transaction: Transaction, response: SipResponse): void {
    const { call } = transaction;
    const tag = response.to.tag ?? '';
    const isNew = this.#noteFinal(transaction, 200, tag);
    const { contacts } = response;
    const contact = contacts === undefined || contacts === '*' ? undefined : contacts[0];
    transaction.routes.set(tag, {
      uri: contact!.uriText,
      routes: response.headers('Record-Route').toReversed(),
      to: response.to.text,
    });
    this.#send(this.#inDialog(transaction, tag, 'ACK', transaction.parsed.cseq.number));
    if (!isNew) return;
    // A second dialog, or one that is not wanted any more, is ended at once.
    const isWanted =
      call.finals[0]!.tag === tag && call.cancelledMs === undefined && call.failedMs === undefined;
    this.timer(isWanted ? this.#talkMs : 10, () =>
      this.#bye(this.#inDialog(transaction, tag, 'BYE', transaction.parsed.cseq.number + 1)),
    );
  }

  #bye(bytes: Uint8Array): void {
    this.#send(bytes);
  }

  #inDialog(transaction: Transaction, tag: string, method: 'ACK' | 'BYE', cseq: number): Uint8Array {
    const { uri, routes, to } = transaction.routes.get(tag)!;
    return buildRequest({
      method,
      uri,
      vias: [this.via(this.nextBranch())],
      from: transaction.parsed.from.text,
      to,
      callId: transaction.call.sipCallId,
      cseq,
      routes,
    });
  }

  protected handleRequest(request: SipRequest, _stream: Stream | undefined): void {
    if (request.method === 'ACK') return;
    this.#send(buildResponse(request, request.method === 'BYE' ? 200 : 405, 'OK', { toTag: 'caller' }));
  }
}
