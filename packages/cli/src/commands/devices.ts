/** `wakeline devices …`: who is there, and credentials for those who may come. */
import { checkDeviceId } from '../arguments.js';
import { createApiClient } from '../api-client.js';
import type { ApiClient, ClientOptions } from '../api-client.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable, printable } from '../io.js';
import type { CliIo } from '../io.js';

export interface DevicesOptions extends ClientOptions {
  readonly json?: boolean;
}

export interface AddDeviceOptions extends DevicesOptions {
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
}

export interface EndpointsOptions extends DevicesOptions {
  /** Id of the endpoint that is to end. */
  readonly end?: string;
}

interface Device {
  readonly id: string;
  readonly connected: boolean;
  readonly hasCredential: boolean;
  readonly waitingMessages: number;
  readonly waitingBytes: number;
  readonly inflightMessages: number;
}

const PAGE_DEVICES = 1_000;

/** Prints page by page, so that a million devices need no memory; as JSON one device a line. */
export async function listDevices(options: DevicesOptions, io: CliIo): Promise<number> {
  const client = await createApiClient(options, io);
  const heading = ['DEVICE', 'STATE', 'WAITING', 'BYTES', 'IN FLIGHT', 'CREDENTIAL'];
  let after: string | undefined;
  do {
    const query = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = (await client.call('GET', `/v1/devices?count=${PAGE_DEVICES}${query}`)) as {
      devices: readonly Device[];
      next: string | null;
    };
    if (options.json === true)
      for (const device of page.devices) io.stdout.write(`${JSON.stringify(device)}\n`);
    else if (page.devices.length > 0) io.stdout.write(formatTable(heading, page.devices.map(deviceRow)));
    else if (after === undefined) io.stdout.write('no devices yet; they appear when they connect\n');
    after = page.next ?? undefined;
  } while (after !== undefined);
  return exitCodes.ok.code;
}

function deviceRow(device: Device): readonly string[] {
  const { id, connected, waitingMessages, waitingBytes, inflightMessages, hasCredential } = device;
  const figures = [waitingMessages, waitingBytes, inflightMessages].map(String);
  return [id, connected ? 'connected' : 'absent', ...figures, hasCredential ? 'token' : '-'];
}

export async function showDevice(id: string, options: DevicesOptions, io: CliIo): Promise<number> {
  const path = pathOf(id);
  const client = await createApiClient(options, io);
  const device = (await client.call('GET', path)) as Record<string, unknown>;
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify(device)}\n`);
    return exitCodes.ok.code;
  }
  for (const [key, value] of Object.entries(device)) {
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    io.stdout.write(`${`${key}:`.padEnd(22)}${value === null ? '-' : printable(text)}\n`);
  }
  return exitCodes.ok.code;
}

/** The token goes to standard output alone, so that `$(wakeline devices add ID)` is the token. */
export async function addDevice(id: string, options: AddDeviceOptions, io: CliIo): Promise<number> {
  const path = pathOf(id);
  const client = await createApiClient(options, io);
  const before = options.json === true ? undefined : await findDevice(client, path);
  const { publish, subscribe } = options;
  const access = publish === undefined && subscribe === undefined ? undefined : { publish, subscribe };
  const made = (await client.call('PUT', path, { access })) as { token: string };
  io.stdout.write(`${options.json === true ? JSON.stringify(made) : made.token}\n`);
  if (options.json !== true) io.stderr.write(adviceFor(id, before, client.url.hostname));
  return exitCodes.ok.code;
}

async function findDevice(client: ApiClient, path: string): Promise<Device | undefined> {
  try {
    return (await client.call('GET', path)) as Device;
  } catch (error) {
    if (error instanceof CliError && error.code === 'unknown-device') return undefined;
    throw error;
  }
}

function adviceFor(id: string, before: Device | undefined, host: string): string {
  const quoted = /^[\w.:@-]+$/.test(id) ? id : `'${printable(id).replaceAll("'", `'\\''`)}'`;
  const lines = ['Keep it: it is not shown again.'];
  if (before?.hasCredential === true) lines.push('An older token of the device has ended.');
  else if (before?.connected === true)
    lines.push('The device was connected without a token: that has ended, and it now needs this one.');
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  lines.push(
    'To connect, with the port and TLS of your listener (-p, --cafile):',
    `  mosquitto_sub -h ${bare} -i ${quoted} -u ${quoted} -P TOKEN -c -q 1 -k 3600 -t '$line/inbox/#'`,
  );
  return `${lines.join('\n')}\n`;
}

export async function removeDevice(id: string, options: DevicesOptions, io: CliIo): Promise<number> {
  const path = pathOf(id);
  const client = await createApiClient(options, io);
  await client.call('DELETE', path);
  io.stdout.write(
    options.json === true ? `${JSON.stringify({ id, removed: true })}\n` : `${printable(id)} removed\n`,
  );
  return exitCodes.ok.code;
}

interface Endpoint {
  readonly id: string;
  readonly channel: string;
  readonly vapidKey: string | null;
  readonly createdAt: string;
}

/** Of an endpoint itself only a name is shown: who knows its URL may push. */
export async function showEndpoints(id: string, options: EndpointsOptions, io: CliIo): Promise<number> {
  const path = `${pathOf(id)}/endpoints`;
  const client = await createApiClient(options, io);
  const { end } = options;
  if (end !== undefined) {
    await client.call('DELETE', `${path}/${encodeURIComponent(end)}`);
    io.stdout.write(
      options.json === true ? `${JSON.stringify({ id: end, ended: true })}\n` : `${printable(end)} ended\n`,
    );
    return exitCodes.ok.code;
  }
  const { endpoints } = (await client.call('GET', path)) as { endpoints: readonly Endpoint[] };
  if (options.json === true)
    for (const endpoint of endpoints) io.stdout.write(`${JSON.stringify(endpoint)}\n`);
  else if (endpoints.length === 0) io.stdout.write('no endpoints\n');
  else io.stdout.write(formatTable(['ENDPOINT', 'CHANNEL', 'CREATED', 'KEY'], endpoints.map(endpointRow)));
  return exitCodes.ok.code;
}

function endpointRow({ id, channel, createdAt, vapidKey }: Endpoint): readonly string[] {
  return [id, channel, createdAt, vapidKey ?? '-'];
}

/** @throws CliError for what no device can be called */
function pathOf(id: string): string {
  checkDeviceId(id);
  return `/v1/devices/${encodeURIComponent(id)}`;
}
