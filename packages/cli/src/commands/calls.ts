/** `wakeline calls …`: which calls there were, and what became of one. */
import { createApiClient } from '../api-client.js';
import type { ApiClient, ClientOptions } from '../api-client.js';
import { ladder } from '../calls/ladder.js';
import type { CallTrace } from '../calls/ladder.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable, isColoured, printable } from '../io.js';
import type { CliIo } from '../io.js';

export interface ListCallsOptions extends ClientOptions {
  readonly json?: boolean;
  readonly missed?: boolean;
  readonly address?: string;
  readonly count?: string;
}

export interface ShowCallOptions extends ClientOptions {
  readonly json?: boolean;
}

interface Call {
  readonly id: string;
  readonly user: string;
  readonly caller: { readonly uri: string; readonly user: string | null };
  readonly state: string;
  readonly missed: boolean;
  readonly startedAt: string;
  readonly status: number | null;
  readonly reason: string | null;
  readonly wakes: number;
}

const COUNT_DEFAULT = 50;
const PAGE_CALLS = 1_000;
/** Of an id, in the list; more than enough to name one of those that are kept. */
const SHOWN_DIGITS = 12;

/** The newest calls; as JSON one a line. */
export async function listCalls(options: ListCallsOptions, io: CliIo): Promise<number> {
  const wanted = countOf(options.count);
  const client = await createApiClient(options, io);
  let left = wanted;
  let after: string | undefined;
  const rows: (readonly string[])[] = [];
  do {
    const page = await pageOf(client, options, Math.min(left, PAGE_CALLS), after);
    for (const call of page.calls) {
      if (options.json === true) io.stdout.write(`${JSON.stringify(call)}\n`);
      else rows.push(rowOf(call));
    }
    left -= page.calls.length;
    after = page.next ?? undefined;
  } while (after !== undefined && left > 0);
  if (options.json === true) return exitCodes.ok.code;
  if (rows.length === 0) io.stdout.write(`${noneText(options)}\n`);
  else {
    io.stdout.write(formatTable(['CALL', 'STARTED', 'FROM', 'TO', 'STATE', 'STATUS', 'WAKES', 'WHY'], rows));
    if (after !== undefined) io.stderr.write(`These are the newest ${wanted}; more with --count N.\n`);
  }
  return exitCodes.ok.code;
}

function noneText({ missed, address }: ListCallsOptions): string {
  const whose = address === undefined ? '' : ` to ${printable(address)}`;
  return missed === true ? `no missed calls${whose}` : `no calls${whose} yet`;
}

function countOf(text: string | undefined): number {
  if (text === undefined) return COUNT_DEFAULT;
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new CliError('usage', `--count must be from 1 to 999999, not "${text}"`);
}

async function pageOf(
  client: ApiClient,
  { address, missed }: Pick<ListCallsOptions, 'address' | 'missed'>,
  count: number,
  after: string | undefined,
): Promise<{ readonly calls: readonly Call[]; readonly next: string | null }> {
  const query = new URLSearchParams({ count: String(count) });
  if (address !== undefined) query.set('address', address);
  if (missed === true) query.set('missed', 'true');
  if (after !== undefined) query.set('after', after);
  const page = await client.call('GET', `/v1/calls?${query.toString()}`);
  return page as { calls: readonly Call[]; next: string | null };
}

function rowOf(call: Call): readonly string[] {
  const { id, startedAt, caller, user, state, missed, status, wakes, reason } = call;
  return [
    id.slice(0, SHOWN_DIGITS),
    startedAt.slice(0, 19).replace('T', ' '),
    caller.user ?? caller.uri,
    user,
    missed ? `${state}, missed` : state,
    status === null ? '-' : String(status),
    String(wakes),
    reason ?? '-',
  ];
}

/** A ladder: who said what to whom, and when. The last line says how it ended, and why. */
export async function showCall(id: string, options: ShowCallOptions, io: CliIo): Promise<number> {
  if (!/^[0-9a-f]{4,32}$/.test(id)) {
    throw new CliError('usage', `"${id}" is no id of a call`, {
      hint: 'take it from: wakeline calls; its first digits are enough',
    });
  }
  const client = await createApiClient(options, io);
  const whole = id.length === 32 ? id : await findCall(client, id);
  const call = (await client.call('GET', `/v1/calls/${whole}`)) as CallTrace;
  if (options.json === true) io.stdout.write(`${JSON.stringify(call)}\n`);
  else io.stdout.write(ladder(call, isColoured(io.stdout, io.environment)));
  return exitCodes.ok.code;
}

/** The one call whose id begins so. @throws CliError when there is none, or more than one */
async function findCall(client: ApiClient, beginning: string): Promise<string> {
  const found: string[] = [];
  let after: string | undefined;
  do {
    const page = await pageOf(client, {}, PAGE_CALLS, after);
    found.push(...page.calls.map((call) => call.id).filter((id) => id.startsWith(beginning)));
    after = page.next ?? undefined;
  } while (after !== undefined && found.length < 2);
  const [first, second] = found;
  if (first === undefined) {
    throw new CliError('failure', `no such call, or it is no longer kept: ${beginning}`, {
      code: 'unknown-call',
      hint: 'wakeline calls shows those that are kept',
    });
  }
  if (second === undefined) return first;
  throw new CliError('usage', `several calls begin with ${beginning}`, { hint: 'give more digits' });
}
