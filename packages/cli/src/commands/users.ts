/** `wakeline users …`: who may make calls and be called, and where their phones are. */
import { createApiClient } from '../api-client.js';
import type { ClientOptions } from '../api-client.js';
import { CliError } from '../errors.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable, printable } from '../io.js';
import type { CliIo } from '../io.js';
import { chosenAlgorithms } from './password.js';

export interface UsersOptions extends ClientOptions {
  readonly json?: boolean;
}

export interface AddUserOptions extends UsersOptions {
  readonly md5?: boolean;
  readonly both?: boolean;
  readonly device?: readonly string[];
}

interface User {
  readonly address: string;
  readonly devices: readonly string[];
  readonly algorithms: readonly string[];
  /** What phones are asked for and the password was made without. */
  readonly missingAlgorithms: readonly string[];
  readonly configured: boolean;
  readonly bindings: number;
  readonly liveBindings: number;
}

interface Binding {
  readonly instance: string;
  readonly contact: string;
  readonly connected: boolean;
  readonly expiresAt: string;
  readonly push: string | null;
  readonly userAgent: string | null;
}

const PAGE_USERS = 1_000;

/** Page by page; as JSON one user a line. */
export async function listUsers(options: UsersOptions, io: CliIo): Promise<number> {
  const client = await createApiClient(options, io);
  const heading = ['ADDRESS', 'PHONES', 'CONNECTED', 'DEVICES', 'PASSWORD', 'FROM'];
  let after: string | undefined;
  do {
    const query = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = (await client.call('GET', `/v1/users?count=${PAGE_USERS}${query}`)) as {
      users: readonly User[];
      next: string | null;
    };
    if (options.json === true) for (const user of page.users) io.stdout.write(`${JSON.stringify(user)}\n`);
    else if (page.users.length > 0) io.stdout.write(formatTable(heading, page.users.map(userRow)));
    else if (after === undefined)
      io.stdout.write('no users yet; make one with: wakeline users add ADDRESS\n');
    after = page.next ?? undefined;
  } while (after !== undefined);
  return exitCodes.ok.code;
}

function userRow(user: User): readonly string[] {
  return [
    user.address,
    String(user.bindings),
    String(user.liveBindings),
    user.devices.join(' ') || '-',
    passwordText(user),
    user.configured ? 'configuration' : 'wakeline users',
  ];
}

/** The algorithms of a password, and those that are wanting. */
function passwordText({ algorithms, missingAlgorithms }: User): string {
  const has = algorithms.join(' ');
  return missingAlgorithms.length === 0 ? has : `${has}, no ${missingAlgorithms.join(' ')}`;
}

/** The password goes to standard output alone, so that `$(wakeline users add ADDRESS)` is the password. */
export async function addUser(address: string, options: AddUserOptions, io: CliIo): Promise<number> {
  const path = pathOf(address);
  const client = await createApiClient(options, io);
  const body = {
    ...((options.md5 === true || options.both === true) && { algorithms: chosenAlgorithms(options) }),
    ...(options.device !== undefined && { devices: options.device }),
  };
  const made = (await client.call('PUT', path, body)) as User & { readonly password: string };
  io.stdout.write(`${options.json === true ? JSON.stringify(made) : made.password}\n`);
  if (options.json !== true) {
    const told = made.devices.length === 0 ? 'No device is' : `${printable(made.devices.join(', '))}:`;
    io.stderr.write(
      `The phone's password: keep it, it is not shown again. An older one has ended.\n` +
        `${told} told of calls at $line/inbox/calls.\n`,
    );
  }
  return exitCodes.ok.code;
}

export async function removeUser(address: string, options: UsersOptions, io: CliIo): Promise<number> {
  const path = pathOf(address);
  const client = await createApiClient(options, io);
  await client.call('DELETE', path);
  io.stdout.write(
    options.json === true
      ? `${JSON.stringify({ address, removed: true })}\n`
      : `${printable(address)} removed\n`,
  );
  return exitCodes.ok.code;
}

/** A user as the list has it, and its phones. As JSON: one object, with `phones`. */
export async function showUser(address: string, options: UsersOptions, io: CliIo): Promise<number> {
  const path = pathOf(address);
  const client = await createApiClient(options, io);
  const user = (await client.call('GET', path)) as User;
  const { bindings } = (await client.call('GET', `${path}/bindings`)) as { bindings: readonly Binding[] };
  if (options.json === true) {
    io.stdout.write(`${JSON.stringify({ ...user, phones: bindings })}\n`);
    return exitCodes.ok.code;
  }
  const rows = [
    ['address', user.address],
    ['password', passwordText(user)],
    ['told of calls', user.devices.join(' ') || '-'],
    ['made in', user.configured ? 'the configuration' : 'wakeline users'],
  ];
  io.stdout.write(rows.map(([name, value]) => `${name.padEnd(14)} ${printable(value)}\n`).join(''));
  if (user.missingAlgorithms.length > 0) {
    const names = user.missingAlgorithms.join(' or ');
    io.stdout.write(
      `\nA phone that logs in by ${names} is refused: the password was made without it, and phones are asked for it.\n` +
        `Make it again: wakeline users add ${printable(user.address)}\n`,
    );
  }
  io.stdout.write(`\n${phonesText(bindings)}`);
  return exitCodes.ok.code;
}

export async function showBindings(address: string, options: UsersOptions, io: CliIo): Promise<number> {
  const path = pathOf(address);
  const client = await createApiClient(options, io);
  const { bindings } = (await client.call('GET', `${path}/bindings`)) as { bindings: readonly Binding[] };
  if (options.json === true) for (const binding of bindings) io.stdout.write(`${JSON.stringify(binding)}\n`);
  else io.stdout.write(phonesText(bindings));
  return exitCodes.ok.code;
}

function phonesText(bindings: readonly Binding[]): string {
  if (bindings.length === 0) return 'no phone has registered\n';
  const heading = ['PHONE', 'STATE', 'WAKE', 'EXPIRES', 'INSTANCE', 'CONTACT'];
  return formatTable(heading, bindings.map(bindingRow));
}

function bindingRow({
  instance,
  contact,
  connected,
  expiresAt,
  push,
  userAgent,
}: Binding): readonly string[] {
  const expires = expiresAt.slice(0, 19).replace('T', ' ');
  return [userAgent ?? '-', connected ? 'connected' : 'absent', push ?? '-', expires, instance, contact];
}

/** @throws CliError for what is no address of a user */
function pathOf(address: string): string {
  if (/^[^\s@]+@[^\s@]+$/.test(address)) return `/v1/users/${encodeURIComponent(address)}`;
  throw new CliError('usage', `"${address}" is no address of a user`, {
    hint: 'write it like alice@example.org',
  });
}
