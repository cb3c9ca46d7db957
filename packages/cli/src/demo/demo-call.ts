/**
 * The demo's call: a SIP phone asleep in a sleepbox is called by another one, rings, is answered and talks, with its
 * voice on UDP from phone to phone.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Sleepbox } from '@wakeline/sleepbox';
import type { TimelineEvent } from '@wakeline/sleepbox';
import { callerProgram, DOMAIN, phoneProgram } from './sip-phones.js';
import type { PhoneProgram, PhoneTold } from './sip-phones.js';
import type { TimelinePrinter } from './timeline-printer.js';

/** No step takes longer than this, ms. */
const STEP_MS_MAX = 60_000;
/** How long a wake of the SIP phone lasts, ms: a platform's 10 s are long to watch. */
const WINDOW_MS = 3_000;
const NAP_MS = 1_000;
const TALK_SECONDS = 3;
/** What a voice without gaps has in that time, each way, less the seconds' edges. */
const PACKETS_MIN = TALK_SECONDS * 45;

export interface DemoCallResult {
  readonly ringMs: number | undefined;
  readonly isAnswered: boolean;
  readonly voice: { readonly toPhone: number; readonly fromPhone: number };
  readonly isVoiceWhole: boolean;
}

export class DemoCall {
  readonly #printer: TimelinePrinter;
  readonly #directory: string;
  readonly #port: number;
  #box: Sleepbox | undefined;
  #caller: ChildProcess | undefined;
  #isRegistered = false;
  #isAsleep = false;
  #isAnswered = false;
  #ringMs: number | undefined;
  #voice: { readonly toPhone: number; readonly fromPhone: number } | undefined;
  /** Whoever waits for something to change. */
  #changed: () => void = () => {};

  constructor(printer: TimelinePrinter, directory: string, port: number) {
    this.#printer = printer;
    this.#directory = directory;
    this.#port = port;
  }

  async run(): Promise<DemoCallResult> {
    const phone = await phoneProgram('bob', this.#port, this.#directory);
    this.#printer.chapter(
      `A SIP phone (${phone.title}) registers over TCP and falls asleep. Then it is called.`,
    );
    await this.#startPhone(phone);
    await this.#until(() => this.#isRegistered && this.#isAsleep, 'the SIP phone is registered and asleep');
    await new Promise((resolve) => setTimeout(resolve, NAP_MS));
    await this.#call();
    await this.#until(() => this.#voice !== undefined, 'the SIP phone tells of the end of the call');
    const voice = this.#voice ?? { toPhone: 0, fromPhone: 0 };
    const isVoiceWhole = voice.toPhone >= PACKETS_MIN && voice.fromPhone >= PACKETS_MIN;
    await this.#until(() => this.#isAsleep, 'the SIP phone is asleep again');
    return { ringMs: this.#ringMs, isAnswered: this.#isAnswered, voice, isVoiceWhole };
  }

  async stop(): Promise<void> {
    this.#box?.removeAllListeners('event');
    await this.#box?.stop();
    const caller = this.#caller;
    if (caller === undefined || caller.exitCode !== null || caller.signalCode !== null) return;
    const ended = once(caller, 'exit');
    caller.kill();
    await ended;
  }

  async #startPhone(phone: PhoneProgram): Promise<void> {
    const box = new Sleepbox({
      command: phone.command,
      name: 'demo-sip-phone',
      profile: 'ios-voip',
      modes: ['voip', 'audio'],
      windowMs: WINDOW_MS,
      runtimeDirectory: join(this.#directory, 'run'),
    });
    this.#box = box;
    box.on('event', (event) => {
      this.#tellBox(event);
      // baresip colours its lines.
      // oxlint-disable-next-line no-control-regex
      const text = event.type === 'output' ? event.line.replaceAll(/\u001B\[[\d;]*m/g, '') : undefined;
      const told = text === undefined ? undefined : phone.read(text);
      if (told !== undefined) this.#tellPhone(told);
      this.#changed();
    });
    await box.start();
  }

  #tellBox(event: TimelineEvent): void {
    if (event.type === 'asleep') {
      this.#isAsleep = true;
      this.#printer.event('phone', 'asleep', `frozen after ${Math.round(event.awakeMs)} ms awake`);
    } else if (event.type === 'wake') {
      this.#isAsleep = false;
      const latency = event.latencyMs.toFixed(1);
      this.#printer.event('phone', 'running', `woken by ${event.cause}, ${latency} ms after it arrived`);
    } else if (event.type === 'launch') this.#printer.event('phone', 'app launched', `pid ${event.pid}`);
  }

  #tellPhone(told: PhoneTold): void {
    const printer = this.#printer;
    switch (told.what) {
      case 'registered':
        this.#isRegistered = true;
        return printer.event('app', 'registered', `bob@${DOMAIN}, SIP over TCP`);
      case 'ringing':
        return printer.event('app', 'rings');
      case 'answered':
        return printer.event('app', 'answered');
      case 'voice': {
        const { sentPackets: fromPhone, receivedPackets: toPhone } = told;
        this.#voice = { toPhone, fromPhone };
        return printer.event(
          'app',
          'call over',
          `voice: ${fromPhone} packets sent, ${toPhone} received, UDP`,
        );
      }
      default:
    }
  }

  /** Makes the call, and tells of it from the caller's side. */
  async #call(): Promise<void> {
    const caller = callerProgram('ann', this.#port, 'bob', TALK_SECONDS);
    const [program = '', ...args] = caller.command;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#caller = child;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(STEP_MS_MAX) });
    let startMs = performance.now();
    for await (const line of createInterface({ input: child.stdout })) {
      const told = caller.read(line);
      if (told === undefined) continue;
      const afterMs = performance.now() - startMs;
      const after = `${Math.round(afterMs)} ms after the INVITE`;
      if (told.what === 'registered') {
        startMs = performance.now();
        this.#printer.event('sender', 'calls', `ann@${DOMAIN} calls bob@${DOMAIN}`);
      } else if (told.what === 'progress') {
        if (told.status === 180) this.#ringMs ??= afterMs;
        this.#printer.event('sender', `${told.status} ${told.reason}`, after);
      } else if (told.what === 'answered') {
        this.#isAnswered = true;
        this.#printer.event('sender', '200 OK', after);
      } else if (told.what === 'voice') {
        this.#printer.event('sender', 'hangs up', `after ${TALK_SECONDS} s of talk`);
      }
    }
    await ended;
    if (!this.#isAnswered) throw new Error('the call was not answered');
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    const end = performance.now() + STEP_MS_MAX;
    while (!condition()) {
      // Frozen before it was registered, it has no connection that could wake it: its user takes it.
      if (this.#isAsleep && !this.#isRegistered) await this.#box!.wake();
      const leftMs = end - performance.now();
      if (leftMs <= 0) throw new Error(`not within ${STEP_MS_MAX / 1000} s: ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(leftMs, 1_000));
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
