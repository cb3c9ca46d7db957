/**
 * The commands a program may send over its control socket, checked: a request becomes an input of the box
 * machine, or an error with a code. Pure.
 */
import type { BoxInput } from './box-types.js';
import { formatDuration, parseDuration } from './durations.js';
import { SleepboxError } from './errors.js';
import type { Request } from './line-server.js';
import { limits } from './limits.js';
import { nearestName } from './nearest-name.js';
import type { Mark } from './sockets.js';

/** Names of the commands, for help and for the nearest known name. */
export const controlCommands = ['mark', 'unmark', 'keepalive', 'done', 'notify', 'audio', 'state'] as const;

/** `state` is answered by the box itself. */
export type ControlCommand = BoxInput | { readonly type: 'state' };

const fieldsOf: Record<(typeof controlCommands)[number], readonly string[]> = {
  mark: ['localPort', 'peer'],
  unmark: ['localPort', 'peer'],
  keepalive: ['timeoutMs', 'timeout', 'off'],
  done: [],
  notify: ['title', 'body'],
  audio: ['on'],
  state: [],
};

/**
 * @throws SleepboxError UNKNOWN_COMMAND, BAD_ARGUMENT, BELOW_FLOOR
 */
export function parseControlCommand(request: Request, keepaliveMsMin: number): ControlCommand {
  const name = request['cmd'];
  if (typeof name !== 'string') throw bad('"cmd" must be a string');
  const known = controlCommands.find((command) => command === name);
  if (known === undefined) {
    const near = nearestName(name, controlCommands);
    throw new SleepboxError(
      'UNKNOWN_COMMAND',
      `"${name}" is unknown${near ? `; did you mean "${near}"?` : ''}`,
    );
  }
  const allowed = ['cmd', 'id', ...fieldsOf[known]];
  const stranger = Object.keys(request).find((field) => !allowed.includes(field));
  if (stranger !== undefined)
    throw bad(`"${known}" has no field "${stranger}"; it has ${fieldsOf[known].join(', ') || 'none'}`);
  switch (known) {
    case 'mark':
      return { type: 'mark', mark: parseMark(request) };
    case 'unmark':
      if (request['localPort'] === undefined && request['peer'] === undefined) return { type: 'unmark' };
      return { type: 'unmark', mark: parseMark(request) };
    case 'keepalive':
      return parseKeepalive(request, keepaliveMsMin);
    case 'notify':
      return {
        type: 'notify',
        title: parseText(request['title'], 'title', limits.notificationTitleMax),
        body: parseText(request['body'] ?? '', 'body', limits.notificationBodyMax),
      };
    case 'audio':
      if (typeof request['on'] !== 'boolean') throw bad('"on" must be true or false');
      return { type: 'audio', on: request['on'] };
    case 'done':
    case 'state':
      return { type: known };
  }
}

function parseMark(request: Request): Mark {
  const { localPort, peer } = request;
  if (localPort === undefined && peer === undefined) throw bad('"localPort" or "peer" is needed');
  if (localPort !== undefined && !isPort(localPort)) throw bad('"localPort" must be a port number');
  if (
    peer !== undefined &&
    (typeof peer !== 'string' || !/^(\d+(\.\d+){3}|\[[0-9a-f:.]+\]):\d{1,5}$/i.test(peer))
  ) {
    throw bad('"peer" must be like "192.0.2.1:1883" or "[2001:db8::1]:1883"');
  }
  return {
    ...(localPort !== undefined && { localPort: localPort as number }),
    ...(peer !== undefined && { peer: peer as string }),
  };
}

function parseKeepalive(request: Request, keepaliveMsMin: number): ControlCommand {
  if (request['off'] === true) return { type: 'keepalive' };
  let timeoutMs = request['timeoutMs'];
  if (typeof request['timeout'] === 'string') {
    try {
      timeoutMs = parseDuration(request['timeout'], { min: 0, max: limits.keepaliveMsMax }, 'timeout');
    } catch (error) {
      throw bad((error as Error).message);
    }
  }
  if (typeof timeoutMs !== 'number' || !Number.isFinite(timeoutMs) || timeoutMs > limits.keepaliveMsMax) {
    throw bad('"timeoutMs" (a number), "timeout" (like "600s") or "off": true is needed');
  }
  if (timeoutMs < keepaliveMsMin) {
    throw new SleepboxError(
      'BELOW_FLOOR',
      `the shortest keep-alive timeout is ${formatDuration(keepaliveMsMin)}`,
    );
  }
  return { type: 'keepalive', timeoutMs };
}

function parseText(value: unknown, field: string, max: number): string {
  if (typeof value !== 'string' || value.length > max)
    throw bad(`"${field}" must be a string of at most ${max} characters`);
  return value;
}

function isPort(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) < 65_536;
}

function bad(message: string): SleepboxError {
  return new SleepboxError('BAD_ARGUMENT', message);
}
