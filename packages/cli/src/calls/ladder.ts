/**
 * A call as a ladder diagram for the terminal: a column for the caller, the server and each phone, a line for each thing
 * that happened, with its time, its arrow and its words. The last line says how the call ended, and why.
 */
import { printable } from '../io.js';

/** What the API tells of a call; see docs/http.md. */
export interface CallTrace {
  readonly id: string;
  readonly user: string;
  readonly caller: {
    readonly uri: string;
    readonly displayName: string | null;
    readonly user: string | null;
    readonly trunk: string | null;
  };
  readonly sipCallId: string;
  readonly state: string;
  readonly missed: boolean;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly status: number | null;
  readonly reason: string | null;
  readonly wakes: number;
  readonly legs: readonly {
    readonly leg: number;
    readonly instance: string;
    readonly contact: string;
    readonly userAgent: string | null;
    readonly state: string;
  }[];
  readonly events: readonly TraceEvent[];
  readonly eventsDropped: number;
}

export interface TraceEvent {
  readonly atMs: number;
  readonly kind: string;
  readonly leg: number | null;
  readonly attempt: number | null;
  readonly status: number | null;
  readonly text: string;
}

/** Between two columns, characters. */
const LANE_WIDTH = 16;
/** Left of the first column. */
const LANE_START = 5;
const TIME_WIDTH = 11;
const HEAD_WIDTH = LANE_WIDTH - 2;

const CALLER = 0;
const SERVER = 1;

/** One step, as it is drawn. */
type Drawing =
  | {
      readonly kind: 'arrow';
      readonly from: number;
      readonly to: number;
      readonly label: string;
      readonly isDashed: boolean;
    }
  | { readonly kind: 'mark'; readonly lane: number; readonly mark: string }
  | { readonly kind: 'rule'; readonly label: string };

const colours = { red: 31, green: 32, yellow: 33, dim: 2 } as const;

export function ladder(call: CallTrace, isColoured: boolean): string {
  const paint = (text: string, colour: keyof typeof colours | undefined): string =>
    isColoured && colour !== undefined ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text;
  const lanes = new Map(call.legs.map(({ leg }, index) => [leg, SERVER + 1 + index]));
  const laneCount = SERVER + 1 + call.legs.length;
  const lines = [...head(call), '', headings(call)];
  let lastMs = -1;
  for (const event of call.events) {
    const drawing = drawingOf(event, event.leg === null ? undefined : lanes.get(event.leg));
    const time = event.atMs === lastMs ? '' : `${(event.atMs / 1_000).toFixed(3)} s`;
    lastMs = event.atMs;
    const row = paint(draw(drawing, laneCount), colourOf(event));
    lines.push(`${time.padStart(TIME_WIDTH)}${row}  ${printable(event.text)}`.trimEnd());
  }
  if (call.eventsDropped > 0)
    lines.push(paint(`… and ${call.eventsDropped} events that found no room`, 'dim'));
  lines.push('', paint(conclusion(call), conclusionColour(call)));
  return `${lines.join('\n')}\n`;
}

function head(call: CallTrace): string[] {
  const { caller } = call;
  const name = caller.displayName === null ? '' : `"${caller.displayName}" `;
  const by = caller.trunk === null ? '' : ` by trunk ${caller.trunk}`;
  const lines = [
    `Call ${call.id}`,
    `  from     ${name}${caller.user ?? caller.uri}${by}`,
    `  to       ${call.user}`,
    `  started  ${call.startedAt.slice(0, 23).replace('T', ' ')} UTC`,
    `  Call-ID  ${call.sipCallId}`,
  ];
  for (const { leg, instance, contact, userAgent, state } of call.legs) {
    lines.push(`  leg ${leg}    ${userAgent ?? 'unnamed'}, ${state}: ${instance}, ${contact}`);
  }
  return lines.map(printable);
}

function headings(call: CallTrace): string {
  const names = ['caller', 'server', ...call.legs.map(({ leg }) => `leg ${leg}`)];
  const row = blank(names.length, ' ');
  names.forEach((name, lane) => {
    const text = name.slice(0, HEAD_WIDTH);
    const start = Math.max(0, laneAt(lane) - Math.floor(text.length / 2));
    row.splice(start, text.length, ...text);
  });
  return `${' '.repeat(TIME_WIDTH)}${row.join('')}`.trimEnd();
}

/** `lane`: that of the event's leg; undefined: it is of the call as a whole, or of a leg that is not listed. */
function drawingOf({ kind, status, text }: TraceEvent, lane: number | undefined): Drawing {
  const arrow = (from: number, to: number, label: string, isDashed = false): Drawing => {
    return { kind: 'arrow', from, to, label, isDashed };
  };
  const code = status === null ? '' : String(status);
  switch (kind) {
    case 'call':
      return arrow(CALLER, SERVER, 'INVITE');
    case 'cancel':
      return arrow(CALLER, SERVER, 'CANCEL');
    case 'journaled':
      return arrow(SERVER, CALLER, '100');
    case 'answer':
      return arrow(SERVER, CALLER, code === '' ? '200' : code);
    case 'finish':
      return arrow(SERVER, CALLER, code);
    case 'restart':
      return { kind: 'rule', label: 'restart' };
    default:
  }
  if (lane === undefined) return { kind: 'mark', lane: SERVER, mark: '•' };
  switch (kind) {
    case 'wake':
      return arrow(SERVER, lane, 'wake', true);
    case 'wake-result':
      return arrow(lane, SERVER, 'push', true);
    case 'register':
      return arrow(lane, SERVER, 'REGISTER');
    case 'offer':
      return arrow(SERVER, lane, 'INVITE');
    case 'provisional':
    case 'final':
      return arrow(lane, SERVER, code);
    case 'withdraw':
      return arrow(SERVER, lane, 'CANCEL');
    case 'tell':
      return arrow(SERVER, lane, 'message', true);
    case 'intent':
      return arrow(lane, SERVER, /declin/i.test(text) ? 'decline' : 'answer', true);
    case 'flow-lost':
    case 'unreachable':
      return { kind: 'mark', lane, mark: '✕' };
    default:
      return { kind: 'mark', lane, mark: '•' };
  }
}

const laneAt = (lane: number): number => LANE_START + lane * LANE_WIDTH;

function blank(laneCount: number, mark: string): string[] {
  const row = Array.from({ length: laneAt(laneCount - 1) + LANE_START }, () => ' ');
  for (let lane = 0; lane < laneCount; lane += 1) row[laneAt(lane)] = mark;
  return row;
}

function draw(drawing: Drawing, laneCount: number): string {
  const row = blank(laneCount, '│');
  const put = (start: number, text: string): void => void row.splice(start, text.length, ...text);
  switch (drawing.kind) {
    case 'mark':
      row[laneAt(drawing.lane)] = drawing.mark;
      break;
    case 'rule': {
      row.fill('═', laneAt(0), laneAt(laneCount - 1) + 1);
      put(laneAt(SERVER) - Math.floor((drawing.label.length + 2) / 2), ` ${drawing.label} `);
      break;
    }
    case 'arrow': {
      const { from, to, label, isDashed } = drawing;
      const [left, right] = [laneAt(Math.min(from, to)), laneAt(Math.max(from, to))];
      row.fill(isDashed ? '╌' : '─', left + 1, right);
      row[to > from ? right - 1 : left + 1] = to > from ? '▶' : '◀';
      if (label !== '') put(Math.floor((left + right - label.length - 1) / 2), ` ${label} `);
    }
  }
  return row.join('');
}

function colourOf({ kind, status }: TraceEvent): keyof typeof colours | undefined {
  if (kind === 'wake' || kind === 'wake-result') return 'yellow';
  if (kind === 'flow-lost' || kind === 'unreachable' || kind === 'restart') return 'red';
  if (kind === 'note') return 'dim';
  if (status === null || status < 200) return undefined;
  return status < 300 ? 'green' : 'red';
}

function conclusion(call: CallTrace): string {
  const { state, missed, reason, status, endedAt, startedAt, wakes } = call;
  if (endedAt === null) {
    return `It goes on: ${state}, ${count(wakes, 'wake')} so far.`;
  }
  const seconds = ((Date.parse(endedAt) - Date.parse(startedAt)) / 1_000).toFixed(1);
  const why = printable(reason ?? 'no reason was kept');
  // Its reason says when.
  if (state === 'answered' && reason?.startsWith(state) === true) {
    return `${sentence(why)}, ${wakes === 0 ? 'with no wake but the INVITE' : `woken ${count(wakes, 'time')}`}.`;
  }
  const after = `after ${seconds} s and ${count(wakes, 'wake')}`;
  if (missed) return `Missed ${after}, the caller got ${status ?? 'nothing'}: ${why}`;
  return `${sentence(state)} ${after}: ${why}`;
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

function conclusionColour({ endedAt, missed, state }: CallTrace): keyof typeof colours | undefined {
  if (endedAt === null) return undefined;
  if (missed) return 'red';
  return state === 'answered' ? 'green' : undefined;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
