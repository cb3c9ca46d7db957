/**
 * A process in a sleepbox, as an app on a sleeping phone: its main connection is marked as the one that wakes, the keep-alive handler is
 * set at the profile's floor, and the box hears of it as soon as a wake is done with. Speaks the protocol of docs/sleepbox.md.
 */
import type { Platform, PlatformHandler, TransportConnection } from '../../ports/index.js';
import { nodeClock } from '../node/process-platform.js';
import { ControlSocket } from './control-socket.js';

export interface SleepboxPlatformOptions {
  /** Path of the control socket. Default: `SLEEPBOX_SOCKET` of the environment. */
  readonly socketPath?: string;
  /** How long the box lets the app run after a wake, ms; told by `SLEEPBOX_WINDOW_MS`. Default: 10,000. */
  readonly windowMs?: number;
  /** Shortest keep-alive timeout of the box's profile, ms; told by `SLEEPBOX_KEEPALIVE_MIN_MS`. Default: 600,000. */
  readonly keepaliveMsMin?: number;
}

export interface SleepboxPlatform extends Platform {
  /** Posts a local notification, as it would appear on the phone. Rejects with what the box says of it. */
  notify(title: string, body?: string): Promise<void>;
}

const WINDOW_MS = 10_000;
const KEEPALIVE_MS_MIN = 600_000;

export function sleepboxPlatform(options: SleepboxPlatformOptions = {}): SleepboxPlatform {
  const { env } = process;
  return new Box({
    socketPath: options.socketPath ?? env['SLEEPBOX_SOCKET'] ?? '',
    windowMs: options.windowMs ?? Number(env['SLEEPBOX_WINDOW_MS'] ?? WINDOW_MS),
    keepaliveMsMin: options.keepaliveMsMin ?? Number(env['SLEEPBOX_KEEPALIVE_MIN_MS'] ?? KEEPALIVE_MS_MIN),
  });
}

class Box implements SleepboxPlatform {
  // Whatever runs in a box sleeps as soon as it is done; a launch is a window.
  readonly activity = 'asleep';
  readonly networkKey = undefined;
  readonly windowMs: number;
  readonly wakeGapMsMin: number;
  readonly now = nodeClock.now;
  readonly setTimer = nodeClock.setTimer;
  readonly random = nodeClock.random;
  readonly #socketPath: string;
  #control: ControlSocket | undefined;
  #markedPort: number | undefined;

  constructor({ socketPath, windowMs, keepaliveMsMin }: Required<SleepboxPlatformOptions>) {
    this.#socketPath = socketPath;
    this.windowMs = windowMs;
    this.wakeGapMsMin = keepaliveMsMin;
  }

  start(handler: PlatformHandler): void {
    const control = new ControlSocket(this.#socketPath, {
      handleEvent: (event) => {
        if (event === 'keepalive') handler.handleWake();
      },
      handleEnd: () => {
        // A box that has ended thaws its programs: from here on this is a plain process.
        if (this.#control === control) handler.handleActivity('active');
      },
    });
    this.#control = control;
    void control.ask({ cmd: 'keepalive', timeoutMs: this.wakeGapMsMin });
  }

  async stop(): Promise<void> {
    const control = this.#control;
    this.#control = undefined;
    await control?.close();
  }

  async handleOpen({ localPort }: TransportConnection): Promise<void> {
    const control = this.#control;
    if (localPort === undefined || control === undefined) return;
    const last = this.#markedPort;
    this.#markedPort = localPort;
    await control.ask({ cmd: 'mark', localPort });
    // Marks are few; one of a connection that is gone would stay.
    if (last !== undefined && last !== localPort) void control.ask({ cmd: 'unmark', localPort: last });
  }

  handleDone(): void {
    void this.#control?.ask({ cmd: 'done' });
  }

  async notify(title: string, body = ''): Promise<void> {
    const answer = await this.#control?.ask({ cmd: 'notify', title, body });
    if (answer?.ok !== true) throw new Error(answer?.message ?? 'there is no box');
  }
}
