/** Pairs of SIPp scenarios, a caller and a callee, that a proxy between them has to let through. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { Sipp } from './sipp.js';
import type { SippOutcome } from './sipp.js';

export interface SippPair {
  readonly title: string;
  readonly caller: string;
  readonly callee: string;
  /** Only where the proxy itself offers the call to devices, or only where it relays it to a trunk. */
  readonly only?: 'to-user' | 'to-trunk';
  /** The caller must not be challenged by the proxy: it is SIPp's own, or has to answer the callee's challenge. */
  readonly isForTrunksOnly?: boolean;
  readonly callerReplacements?: Readonly<Record<string, string>>;
  readonly calleeReplacements?: Readonly<Record<string, string>>;
  /** Pauses of the callee, ms: how long it rings, or talks. */
  readonly calleeHoldMs?: number;
  readonly callerHoldMs?: number;
}

export const sippPairs: readonly SippPair[] = [
  {
    title: 'the stock caller and the stock callee',
    caller: 'stock:uac',
    callee: 'stock:uas',
    isForTrunksOnly: true,
  },
  { title: 'a call that the caller hangs up', caller: 'caller', callee: 'callee' },
  { title: 'a call that the callee hangs up', caller: 'caller-waits-for-bye', callee: 'callee-hangs-up' },
  { title: 'a re-INVITE in the talk', caller: 'caller-reinvites', callee: 'callee-reinvited' },
  { title: 'CANCEL while it rings', caller: 'caller-cancels', callee: 'callee-cancelled' },
  {
    title: 'CANCEL that meets the 200 of a trunk, which reaches the caller',
    caller: 'caller-cancels-late',
    callee: 'callee-answers-cancelled',
    only: 'to-trunk',
  },
  {
    title: 'CANCEL that meets the 200 of a phone: the caller has 487, the phone is hung up for them',
    caller: 'caller-cancels',
    callee: 'callee-answers-cancelled',
    only: 'to-user',
  },
  {
    title: '302 goes back to the caller',
    caller: 'caller-refused',
    callee: 'callee-refuses',
    callerReplacements: { STATUS: '302' },
    calleeReplacements: { STATUS: '302', HEADER: 'Contact: <sip:elsewhere@127.0.0.1:9>' },
  },
  {
    title: '486 goes back to the caller',
    caller: 'caller-refused',
    callee: 'callee-refuses',
    callerReplacements: { STATUS: '486' },
    calleeReplacements: { STATUS: '486', HEADER: 'Retry-After: 5' },
  },
  {
    title: 'a challenge of the callee by 401',
    caller: 'caller-authenticates',
    callee: 'callee-challenges',
    isForTrunksOnly: true,
    callerReplacements: { STATUS: '401' },
    calleeReplacements: { STATUS: '401', HEADER: 'WWW-Authenticate', ANSWER: 'Authorization' },
  },
  {
    title: 'a challenge of the callee by 407',
    caller: 'caller-authenticates',
    callee: 'callee-challenges',
    isForTrunksOnly: true,
    callerReplacements: { STATUS: '407' },
    calleeReplacements: { STATUS: '407', HEADER: 'Proxy-Authenticate', ANSWER: 'Proxy-Authorization' },
  },
  { title: 'PRACK', caller: 'caller-prack', callee: 'callee-prack' },
  { title: 'REFER and its NOTIFY', caller: 'caller-refers', callee: 'callee-referred' },
  { title: 'SUBSCRIBE and its NOTIFYs', caller: 'subscriber', callee: 'notifier' },
];

export interface PairPlaces {
  readonly directory: string;
  readonly callerTransport: 'udp' | 'tcp';
  readonly calleeTransport: 'udp' | 'tcp';
  /** HOST:PORT that the caller sends to. */
  readonly server: string;
  readonly domain: string;
  /** User part that the proxy sends to the callee. */
  readonly service: string;
  /** Undefined: the caller is not challenged by the proxy. */
  readonly credentials?: readonly [string, string];
  readonly callerAddress: string;
  readonly calleeAddress: string;
  readonly calleePort: number;
}

/** Runs one pair to the end; rejects when either side did not go as its scenario says. */
export async function runPair(
  pair: SippPair,
  places: PairPlaces,
): Promise<{ readonly caller: SippOutcome; readonly callee: SippOutcome }> {
  const directory = mkdtempSync(join(places.directory, 'pair-'));
  const callee = await Sipp.start({
    transport: places.calleeTransport,
    directory: join(directory, 'callee'),
    scenario: pair.callee,
    replacements: pair.calleeReplacements,
    localAddress: places.calleeAddress,
    localPort: places.calleePort,
    holdMs: pair.calleeHoldMs ?? 200,
  });
  await callee.listens();
  let caller: Sipp | undefined;
  try {
    caller = await Sipp.start({
      transport: places.callerTransport,
      directory: join(directory, 'caller'),
      scenario: pair.caller,
      replacements: pair.callerReplacements,
      server: places.server,
      service: places.service,
      localAddress: places.callerAddress,
      keys: { domain: places.domain, caller: 'ann' },
      credentials: places.credentials ?? (pair.isForTrunksOnly ? ['ann', 'secret'] : undefined),
      credentialsUri: `sip:${places.service}@${places.domain}`,
      holdMs: pair.callerHoldMs ?? 300,
    });
    const outcome = await caller.success().catch((error: Error) => {
      throw new Error(`${error.message}\nthe callee: ${callee.tell()}`);
    });
    return { caller: outcome, callee: await callee.success() };
  } finally {
    await caller?.end();
    await callee.end();
  }
}
