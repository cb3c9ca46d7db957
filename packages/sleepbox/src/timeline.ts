/** The timeline as text for people: one line per event. JSON is the event itself. */
import { formatDuration } from './durations.js';
import type { BoxSummary } from './events.js';
import type { TimelineEvent } from './sleepbox.js';

const colours = { wake: 32, asleep: 34, notification: 35, warning: 33, exit: 31, window: 36 } as const;

/** `14:03:07.120   +12.345s  wake          data …`, without a line end. */
export function formatEvent(event: TimelineEvent, hasColours: boolean): string {
  const clock = event.at.slice(11, 23);
  const elapsed = `+${(event.elapsedMs / 1_000).toFixed(3)}s`.padStart(11);
  const colour = hasColours ? (colours as Record<string, number>)[event.type] : undefined;
  const type = event.type.padEnd(12);
  const head = `${clock} ${elapsed}  ${colour === undefined ? type : `\u001b[${colour}m${type}\u001b[0m`}`;
  return `${head}  ${describe(event)}`;
}

function describe(event: TimelineEvent): string {
  switch (event.type) {
    case 'start':
      return (
        `${event.name}: ${event.command.map(quote).join(' ')} (profile ${event.profile}, modes ${event.modes}, ` +
        `window ${formatDuration(event.windowMs)}, freezer: ${event.freezer}, watcher: ${event.watcher})`
      );
    case 'nat':
      return (
        `${event.loose ? 'loose' : 'strict'}, forgets a flow after ${formatDuration(event.idleMs)}; this machine's 127.0.0.1 is ` +
        `${event.host} to the program, which is ${event.address} here` +
        (event.outside ? '' : '; nothing beyond this machine is reached: net.ipv4.ip_forward is 0')
      );
    case 'launch':
      return `pid ${event.pid}${event.launches > 1 ? `, launch ${event.launches}` : ''}`;
    case 'window':
      return `${event.cause}${from(event)} began a new window of ${formatDuration(event.windowMs)}${event.whileFreezing ? ' (found while freezing)' : ''}`;
    case 'asleep':
      return `after ${seconds(event.awakeMs)} awake (${event.by}), ${count(event.marked, 'connection')} watched`;
    case 'wake':
      return `${event.cause}${from(event)} after ${seconds(event.asleepMs)} asleep, running ${event.latencyMs} ms later`;
    case 'keepalive':
      return `${event.action}${event.timeoutMs === undefined ? '' : `, timeout ${formatDuration(event.timeoutMs)}`}`;
    case 'notification':
      return `${quote(plain(event.title))}${event.body === '' ? '' : `: ${plain(event.body)}`}`;
    case 'audio':
      return event.on
        ? `on, known by ${event.evidence}`
        : `off, held the window for ${seconds(event.heldMs ?? 0)}`;
    case 'marks':
      return count(event.count, 'mark');
    case 'held':
      return `awake after the window because of ${event.because}`;
    case 'network':
      return `${event.state}, ${count(event.sockets, 'socket')}`;
    case 'watcher':
      return `watcher: ${event.watcher} (${event.detail})`;
    case 'output':
      return `${event.stream}: ${plain(event.line)}`;
    case 'exit':
      return `${event.signal === null ? `code ${event.code}` : event.signal} after ${seconds(event.ranMs)}`;
    case 'relaunch':
      return `in ${formatDuration(event.delayMs)}`;
    case 'warning':
      return `${event.code}: ${event.message}`;
    case 'down':
      return event.reason;
    case 'summary':
      return formatSummary(event.summary);
  }
}

function formatSummary(summary: BoxSummary): string {
  const causes = Object.entries(summary.wakes).filter(([, wakes]) => wakes > 0);
  const wakes = causes.reduce((total, [, one]) => total + one, 0);
  const detail = causes.map(([cause, one]) => `${cause} ${one}`).join(', ');
  const share = (100 * summary.awakeMs) / Math.max(1, summary.awakeMs + summary.asleepMs);
  const bytes =
    summary.receivedBytes === null
      ? 'bytes not counted'
      : `${summary.receivedBytes} bytes in, ${summary.sentBytes ?? 0} out`;
  return [
    `${count(wakes, 'wake')}${detail === '' ? '' : ` (${detail})`}, ${count(summary.windowsExtended, 'window')} extended`,
    `awake ${seconds(summary.awakeMs)} (${share.toFixed(1)} %), asleep ${seconds(summary.asleepMs)}, audio ${seconds(summary.audioMs)}`,
    `${bytes}; ${count(summary.notifications, 'notification')}; ${count(summary.relaunches, 'relaunch', 'es')}; ` +
      `handler ${count(summary.handlerRuns, 'run')}, ${count(summary.handlerOverruns, 'overrun')}` +
      (summary.latencyMsP50 === null
        ? ''
        : `; wake latency ${summary.latencyMsP50} ms median, ${summary.latencyMsMax} ms at most`),
  ].join('\n' + ' '.repeat(40));
}

function from(event: { connection?: string; bytes?: number }): string {
  if (event.connection === undefined) return '';
  return ` from ${event.connection}${event.bytes ? ` (${count(event.bytes, 'byte')})` : ''}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

function count(number: number, what: string, plural = 's'): string {
  return `${number} ${what}${number === 1 ? '' : plural}`;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word);
}

/** A program's words must not move the cursor or change colours. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}
