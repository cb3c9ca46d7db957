/** `wakeline send` and `wakeline message`: hands a message over and says what became of it. */
import { readFileSync } from 'node:fs';
import { checkDeviceId, parseDuration } from '../arguments.js';
import { createApiClient } from '../api-client.js';
import type { ApiClient, ClientOptions } from '../api-client.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable, printable } from '../io.js';
import type { CliIo } from '../io.js';

export interface SendOptions extends ClientOptions {
  readonly device?: string;
  readonly topic?: string;
  readonly channel?: string;
  readonly ttl?: string;
  readonly urgency?: string;
  readonly replace?: string;
  readonly qos?: string;
  readonly retain?: boolean;
  readonly contentType?: string;
  readonly property?: readonly string[];
  readonly idempotencyKey?: string;
  readonly file?: string;
  readonly wait?: string;
  readonly timeout: string;
  readonly json?: boolean;
}

interface Recipient {
  readonly device: string;
  readonly sequence: number;
  readonly stage: string;
  readonly reason: string | null;
}

interface Message {
  readonly id: string;
  readonly topic: string;
  readonly acceptedAt: string;
  readonly expiresAt: string | null;
  readonly recipientCount: number;
  readonly recipients: readonly Recipient[];
}

/** Far above any server's limit: keeps a mistaken `--file` from filling the memory. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;

const POLL_MS_FIRST = 50;
const POLL_MS_MAX = 1_000;

export async function runSend(text: string | undefined, options: SendOptions, io: CliIo): Promise<number> {
  checkTarget(options);
  const timeoutMs = await parseDuration('timeout', options.timeout, '30s');
  const stage = options.wait === undefined ? undefined : parseStage(options.wait);
  const { ttl, urgency, replace, channel, retain, contentType } = options;
  const isTtlSeconds = ttl !== undefined && /^\d+$/.test(ttl);
  if (ttl !== undefined && !isTtlSeconds) await parseDuration('ttl', ttl, '10s, 5m or 24h');
  const body = {
    ...(await readBody(text, options, io)),
    ...(ttl === undefined ? {} : { ttl: isTtlSeconds ? Number(ttl) : ttl }),
    urgency,
    replace,
    channel,
    retain,
    contentType,
    qos: options.qos === undefined ? undefined : Number(options.qos),
    properties: properties(options.property),
  };
  const client = await createApiClient(options, io);
  const [kind, name] =
    options.device === undefined ? ['topics', options.topic!] : ['devices', options.device];
  const headers: Record<string, string> =
    options.idempotencyKey === undefined ? {} : { 'idempotency-key': JSON.stringify(options.idempotencyKey) };
  const path = `/v1/${kind}/${encodeURIComponent(name)}/messages`;
  const sent = (await client.call('POST', path, body, headers)) as { id: string; recipients: number };
  if (stage === undefined || sent.recipients === 0) {
    io.stdout.write(`${options.json === true ? JSON.stringify(sent) : acceptedLine(sent, options)}\n`);
    if (stage === undefined) return exitCodes.ok.code;
    throw new CliError('unfinished', 'the message has no recipient: there is nobody to wait for');
  }
  return waitFor(client, sent.id, stage, timeoutMs, options.json === true, io);
}

/** Says no more than the server did: what was sent with QoS 0 is not stored for its recipients. */
function acceptedLine(
  { id, recipients }: { readonly id: string; readonly recipients: number },
  { topic, retain }: SendOptions,
): string {
  if (recipients === 0 && topic !== undefined)
    return `${printable(id)} accepted; nobody is subscribed to it${retain === true ? ' yet' : ''}`;
  return `${printable(id)} accepted, ${recipients} recipient${recipients === 1 ? '' : 's'}`;
}

/** @throws CliError unless the message has one place to go to, and only flags that belong to it */
function checkTarget({ device, topic, channel, retain }: SendOptions): void {
  const hint = 'wakeline send --device phone-1 "Hello"';
  if (device === undefined && topic === undefined)
    throw new CliError('usage', 'say where to: --device ID or --topic T', { hint });
  if (device !== undefined && topic !== undefined)
    throw new CliError('usage', '--device and --topic: give one, not both', { hint });
  if (topic !== undefined && channel !== undefined)
    throw new CliError('usage', '--channel is for devices; a topic has none', {
      hint: 'leave --channel out',
    });
  if (device === undefined) return;
  if (retain === true) {
    throw new CliError('usage', '--retain is for topics; a device keeps every message', {
      hint: 'leave --retain out',
    });
  }
  checkDeviceId(device);
}

export async function runMessage(
  id: string,
  options: ClientOptions & { json?: boolean },
  io: CliIo,
): Promise<number> {
  const client = await createApiClient(options, io);
  writeMessage(await getMessage(client, id), options.json === true, io);
  return exitCodes.ok.code;
}

async function getMessage(client: ApiClient, id: string): Promise<Message> {
  return (await client.call('GET', `/v1/messages/${encodeURIComponent(id)}`)) as Message;
}

function writeMessage(message: Message, isJson: boolean, io: CliIo): void {
  if (isJson) {
    io.stdout.write(`${JSON.stringify(message)}\n`);
    return;
  }
  const { id, recipientCount, recipients } = message;
  const rows = recipients.map(({ device, sequence, stage, reason }) => [
    device,
    String(sequence),
    stage,
    reason ?? '',
  ]);
  io.stdout.write(`${id} accepted ${message.acceptedAt}, expires ${message.expiresAt ?? 'never'}\n`);
  io.stdout.write(formatTable(['DEVICE', 'NUMBER', 'STAGE', 'REASON'], rows));
  if (recipientCount > rows.length) io.stdout.write(`and ${recipientCount - rows.length} more\n`);
}

/** In the order in which a message goes through them. */
const progressStages = ['stored', 'wake sent', 'woken', 'delivered', 'acknowledged', 'shown'] as const;
/** Those that can be waited for. The answer to the sending says `stored` already; no server tells the others yet. */
const waitStages = { 'wake-sent': 'wake sent', acknowledged: 'acknowledged' } as const;
type WaitStage = (typeof waitStages)[keyof typeof waitStages];
const waitTexts: Readonly<Record<WaitStage, string>> = {
  'wake sent': 'handed to',
  acknowledged: 'acknowledged by',
};
const endedStages = ['expired', 'replaced', 'dropped', 'failed'];

/** @throws CliError for a stage that no message comes to, or that is an end */
function parseStage(text: string): WaitStage {
  const name = text.trim().replaceAll(' ', '-');
  if (Object.hasOwn(waitStages, name)) return waitStages[name as keyof typeof waitStages];
  const spaced = name.replaceAll('-', ' ');
  const hint = `wait for one of: ${Object.keys(waitStages).join(', ')}`;
  if (spaced === 'stored') {
    throw new CliError('usage', '--wait: "stored" needs no waiting: send ends when the message is stored', {
      hint: `leave --wait out, or ${hint}`,
    });
  }
  const why = endedStages.includes(spaced)
    ? 'is how a message ends undelivered; --wait says so when it happens'
    : (progressStages as readonly string[]).includes(spaced)
      ? 'is not told by any device yet'
      : 'is no stage';
  throw new CliError('usage', `--wait: "${text}" ${why}`, { hint });
}

/** Asks until every recipient is there, one can no longer be, or time is up. */
async function waitFor(
  client: ApiClient,
  id: string,
  stage: WaitStage,
  timeoutMs: number,
  isJson: boolean,
  io: CliIo,
): Promise<number> {
  const reached: readonly string[] = progressStages.slice(progressStages.indexOf(stage));
  const endMs = performance.now() + timeoutMs;
  for (let pauseMs = POLL_MS_FIRST; ; pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX)) {
    const message = await getMessage(client, id);
    if (message.recipients.length === 0) {
      writeMessage(message, isJson, io);
      throw new CliError('unfinished', 'nothing is kept about its recipients (QoS 0): nothing to wait for');
    }
    const isThere = message.recipients.every((one) => reached.includes(one.stage));
    const hasEnded = message.recipients.some((one) => endedStages.includes(one.stage));
    const leftMs = endMs - performance.now();
    if (isThere || hasEnded || leftMs <= 0) {
      writeMessage(message, isJson, io);
      if (isThere) return exitCodes.ok.code;
      const what = waitTexts[stage];
      const why = hasEnded
        ? `the message will not be ${what} every device`
        : `not ${what} every device in time`;
      throw new CliError('unfinished', why, { hint: `look again with: wakeline message ${id}` });
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, leftMs)));
  }
}

async function readBody(
  text: string | undefined,
  options: SendOptions,
  io: CliIo,
): Promise<{ readonly body: string } | { readonly bodyBase64: string }> {
  if (text !== undefined && options.file !== undefined) {
    throw new CliError('usage', 'give the message as TEXT or with --file, not both');
  }
  if (text !== undefined && text !== '-') return { body: text };
  if (text === undefined && options.file === undefined)
    throw new CliError('usage', 'no message: give TEXT, --file FILE or - for standard input');
  const bytes = options.file !== undefined && options.file !== '-' ? readFile(options.file) : undefined;
  return { bodyBase64: (bytes ?? (await readAll(io.stdin))).toString('base64') };
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new CliError('usage', `--file: cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Everything until the end of the stream. */
export async function readAll(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const buffer = Buffer.from(chunk);
    bytes += buffer.length;
    if (bytes > BODY_BYTES_MAX)
      throw new CliError('failure', 'standard input is larger than any message may be');
    chunks.push(buffer);
  }
  return Buffer.concat(chunks);
}

function properties(pairs: readonly string[] | undefined): Record<string, string[]> | undefined {
  if (pairs === undefined) return undefined;
  const result = new Map<string, string[]>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1)
      throw new CliError('usage', `--property: "${pair}" has no name`, { hint: 'write it like name=value' });
    const name = pair.slice(0, at);
    result.set(name, [...(result.get(name) ?? []), pair.slice(at + 1)]);
  }
  return Object.fromEntries(result);
}
