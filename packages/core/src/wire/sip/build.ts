/** Messages of our own: responses to a request, requests, and the ACK and CANCEL that belong to an INVITE. */
import { encodeUtf8 } from '../../base/index.js';
import { HeaderId } from './header-names.js';
import { concatenate, headerLine, lineBytes } from './lines.js';
import type { SipRequest, SipResponse } from './message.js';

/** Further headers in their order. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

const noBody = new Uint8Array(0);

export interface ResponseOptions {
  /** Added to To if the request has none there; not in a 100 (RFC 3261 §8.2.6.2). */
  readonly toTag?: string | undefined;
  readonly headers?: HeaderList | undefined;
  readonly body?: Uint8Array | undefined;
  readonly contentType?: string | undefined;
}

const echoed: ReadonlySet<number> = new Set([
  HeaderId.via,
  HeaderId.recordRoute,
  HeaderId.from,
  HeaderId.to,
  HeaderId.callId,
  HeaderId.cseq,
]);

/** Requests whose responses make a dialog: they carry Record-Route back, RFC 3261 §12.1.1. */
const dialogMethods = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'NOTIFY']);

/**
 * A response to `request`, which may be that of a fault: Via, From, To, Call-ID and CSeq as they came (RFC 3261
 * §8.2.6.2), Timestamp in a 100, Record-Route where it makes a dialog.
 */
export function buildResponse(
  request: SipRequest,
  status: number,
  reason: string,
  options: ResponseOptions = {},
): Uint8Array {
  const { head } = request;
  const parts = [lineBytes(`SIP/2.0 ${status} ${reason}`)];
  const hasRoutes = status > 100 && status < 300 && dialogMethods.has(request.method);
  for (let line = 0; line < head.lineCount; line += 1) {
    const raw = head.bytes.subarray(head.startAt(line), head.endAt(line));
    switch (head.idAt(line)) {
      case HeaderId.via:
      case HeaderId.from:
      case HeaderId.callId:
      case HeaderId.cseq:
        parts.push(raw);
        break;
      case HeaderId.to:
        if (options.toTag === undefined || status === 100 || request.readTo()?.params.has('tag') === true)
          parts.push(raw);
        else parts.push(raw.subarray(0, raw.length - 2), lineBytes(`;tag=${options.toTag}`));
        break;
      case HeaderId.recordRoute:
        if (hasRoutes) parts.push(raw);
        break;
      case HeaderId.timestamp:
        if (status === 100) parts.push(raw);
        break;
      default:
    }
  }
  return finish(parts, options);
}

/** What a response to `request` repeats of it when it makes a dialog. */
export function echoOf({ head }: SipRequest): { readonly bytes: number; readonly lines: number } {
  let bytes = 0;
  let lines = 0;
  for (let line = 0; line < head.lineCount; line += 1) {
    if (!echoed.has(head.idAt(line))) continue;
    bytes += head.endAt(line) - head.startAt(line);
    lines += 1;
  }
  return { bytes, lines };
}

export interface RequestOptions {
  readonly method: string;
  readonly uri: string;
  /** From the top. */
  readonly vias: readonly string[];
  /** Values with their tags. */
  readonly from: string;
  readonly to: string;
  readonly callId: string;
  readonly cseq: number;
  /** Default: 70, as RFC 3261 §8.1.1.6 has it. */
  readonly maxForwards?: number | undefined;
  readonly routes?: readonly string[] | undefined;
  readonly headers?: HeaderList | undefined;
  readonly body?: Uint8Array | undefined;
  readonly contentType?: string | undefined;
}

/** A request from its parts, which are written as they are. */
export function buildRequest(options: RequestOptions): Uint8Array {
  const { method, uri } = options;
  const parts = [lineBytes(`${method} ${uri} SIP/2.0`)];
  for (const via of options.vias) parts.push(headerLine('Via', via));
  parts.push(headerLine('Max-Forwards', String(options.maxForwards ?? 70)));
  for (const route of options.routes ?? []) parts.push(headerLine('Route', route));
  parts.push(
    headerLine('From', options.from),
    headerLine('To', options.to),
    headerLine('Call-ID', options.callId),
    headerLine('CSeq', `${options.cseq} ${method}`),
  );
  return finish(parts, options);
}

/**
 * The ACK for a response other than 2xx to `invite`, as it was sent (RFC 3261 §17.1.1.3): To of the response, all
 * else of the INVITE, its top Via alone.
 */
export function buildAck(invite: SipRequest, response: SipResponse): Uint8Array {
  const to = rawLine(response, response.head.find(HeaderId.to));
  return buildOfInvite(invite, 'ACK', to, []);
}

/** The CANCEL of `invite`, as it was sent (RFC 3261 §9.1); `headers` for a Reason. */
export function buildCancel(invite: SipRequest, headers: HeaderList = []): Uint8Array {
  return buildOfInvite(invite, 'CANCEL', rawLine(invite, invite.head.find(HeaderId.to)), headers);
}

function buildOfInvite(invite: SipRequest, method: string, to: Uint8Array, headers: HeaderList): Uint8Array {
  const { head } = invite;
  const parts = [
    lineBytes(`${method} ${invite.uri} SIP/2.0`),
    headerLine('Via', invite.topVia.text),
    headerLine('Max-Forwards', '70'),
  ];
  for (let line = 0; line < head.lineCount; line += 1) {
    const id = head.idAt(line);
    if (id === HeaderId.route || id === HeaderId.from || id === HeaderId.callId)
      parts.push(rawLine(invite, line));
  }
  parts.push(to, headerLine('CSeq', `${invite.cseq.number} ${method}`));
  return finish(parts, { headers });
}

function rawLine({ head }: SipRequest | SipResponse, line: number): Uint8Array {
  return head.bytes.subarray(head.startAt(line), head.endAt(line));
}

function finish(
  parts: Uint8Array[],
  { headers, body = noBody, contentType }: Pick<ResponseOptions, 'headers' | 'body' | 'contentType'>,
): Uint8Array {
  for (const [name, value] of headers ?? []) parts.push(headerLine(name, value));
  if (contentType !== undefined) parts.push(headerLine('Content-Type', contentType));
  parts.push(encodeUtf8(`Content-Length: ${body.length}\r\n\r\n`), body);
  return concatenate(parts);
}
