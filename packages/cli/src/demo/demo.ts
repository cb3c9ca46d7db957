/**
 * `wakeline demo`: the main job from one end to the other. A server on an embedded store, an app really put to sleep,
 * messages by HTTP and by MQTT that reach it, a crash, and a check at the end that nothing was lost.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sleepbox } from '@wakeline/sleepbox';
import type { TimelineEvent as BoxTimelineEvent } from '@wakeline/sleepbox';
import { startServer } from '@wakeline/server';
import type { RunningServer } from '@wakeline/server';
import { connectAsync } from 'mqtt';
import { DemoCall } from './demo-call.js';
import type { DemoCallResult } from './demo-call.js';
import { demoConfig } from './demo-config.js';
import { TimelinePrinter } from './timeline-printer.js';

export interface DemoOptions {
  readonly json: boolean;
  /** Leave the data directory in place. */
  readonly keep: boolean;
}

export interface DemoIo {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream;
}

/** No step of the demo takes longer than this, ms; one that does is a failure. */
const STEP_MS_MAX = 60_000;

/** How long the phone is left asleep before the next message, ms. */
const NAP_MS = 1_200;

/** Runs the demo. Resolves with the exit code: 0, or 1 with the reason told when anything was lost. */
export async function runDemo(options: DemoOptions, io: DemoIo): Promise<number> {
  if (process.platform !== 'linux') {
    io.stderr.write('wakeline demo: putting a program to sleep needs Linux (cgroups, /proc).\n');
    return 1;
  }
  const directory = mkdtempSync(join(tmpdir(), 'wakeline-demo-'));
  const printer = new TimelinePrinter({
    write: (text) => void io.stdout.write(text),
    isJson: options.json,
    hasColours: io.stdout.isTTY === true && process.env['NO_COLOR'] === undefined,
  });
  const demo = new Demo(directory, printer);
  try {
    return await demo.run();
  } catch (error) {
    io.stderr.write(`wakeline demo: ${(error as Error).message}\n`);
    return 1;
  } finally {
    await demo.stop();
    if (options.keep) io.stderr.write(`the data directory is kept: ${directory}\n`);
    else rmSync(directory, { recursive: true, force: true });
  }
}

interface Message {
  readonly body: string;
  /** When its sender let go of it, performance clock. */
  readonly sentMs: number;
  shownMs: number | undefined;
  shownTimes: number;
}

class Demo {
  readonly #directory: string;
  readonly #printer: TimelinePrinter;
  readonly #messages = new Map<string, Message>();
  #server: RunningServer | undefined;
  #box: Sleepbox | undefined;
  #call: DemoCall | undefined;
  #isAsleep = false;
  /** The app that runs now has said so. */
  #isSubscribed = false;
  #acknowledged = 0;

  constructor(directory: string, printer: TimelinePrinter) {
    this.#directory = directory;
    this.#printer = printer;
  }

  async run(): Promise<number> {
    const printer = this.#printer;
    printer.chapter('A server starts, and an app on a phone connects, subscribes and falls asleep.');
    const server = await startServer(demoConfig(this.#directory), {
      onTimeline: (event) => this.#tellServer(event.stage, event.sequence, event.reason),
    });
    this.#server = server;
    const mqttUrl = urlOf(server, 'mqtt');
    const httpUrl = urlOf(server, 'http');
    printer.event('server', 'ready', `${httpUrl} and ${mqttUrl}, store on disk`);
    const box = this.#startBox(mqttUrl);
    await this.#within(box.start(), 'the app is launched');
    await this.#asleep();

    printer.chapter('A message by HTTP. The app is frozen: its own code cannot run.');
    await nap();
    await this.#post(httpUrl, 'Dinner at eight?');
    await this.#shown('Dinner at eight?');
    await this.#asleep();

    printer.chapter('A message by MQTT, published to a topic the app subscribes to.');
    await nap();
    await this.#publish(mqttUrl, 'news/weather', 'Rain from six');
    await this.#shown('Rain from six');
    await this.#asleep();

    printer.chapter('Three at once share one wake.');
    await nap();
    const three = ['one', 'two', 'three'];
    await Promise.all(three.map((body) => this.#post(httpUrl, body)));
    for (const body of three) await this.#shown(body);
    await this.#asleep();

    printer.chapter(
      'A message that crashes the app before it could acknowledge: relaunched, sockets rebuilt, nothing lost.',
    );
    await nap();
    await this.#post(httpUrl, 'crash');
    await this.#shown('crash');
    await this.#asleep();

    this.#call = new DemoCall(printer, this.#directory, Number(new URL(urlOf(server, 'sip+tcp')).port));
    return this.#conclude(httpUrl, await this.#call.run());
  }

  async stop(): Promise<void> {
    // What the box says of its own end is no part of the story.
    this.#box?.removeAllListeners('event');
    await Promise.all([this.#box?.stop(), this.#call?.stop()]);
    await this.#server?.stop();
  }

  #startBox(mqttUrl: string): Sleepbox {
    const box = new Sleepbox({
      command: [process.execPath, fileURLToPath(new URL('./sleepy-app.js', import.meta.url))],
      name: 'demo-phone',
      profile: 'ios-voip',
      runtimeDirectory: join(this.#directory, 'run'),
      env: {
        ...process.env,
        DEMO_SERVER: mqttUrl,
        DEMO_CRASHED: join(this.#directory, 'crashed'),
      },
    });
    box.on('event', (event) => this.#tellBox(event));
    this.#box = box;
    return box;
  }

  // ---- what is told ----------------------------------------------------------------------------------------

  #tellServer(stage: string, sequence: number, reason: string | undefined): void {
    if (stage === 'acknowledged') this.#acknowledged++;
    const what = stage === 'stored' ? 'synced to disk' : stage;
    this.#printer.event('server', what, `message ${sequence}${reason === undefined ? '' : `: ${reason}`}`);
  }

  #tellBox(event: BoxTimelineEvent): void {
    const printer = this.#printer;
    switch (event.type) {
      case 'launch':
        this.#isAsleep = false;
        this.#isSubscribed = false;
        return printer.event(
          'phone',
          event.launches === 1 ? 'app launched' : 'app relaunched',
          `pid ${event.pid}`,
        );
      case 'asleep':
        this.#isAsleep = true;
        return printer.event('phone', 'asleep', `app frozen after ${Math.round(event.awakeMs)} ms awake`);
      case 'wake':
        this.#isAsleep = false;
        return printer.event(
          'phone',
          'running',
          `woken by ${event.cause}, ${event.latencyMs.toFixed(1)} ms after it arrived`,
        );
      case 'notification':
        this.#noteShown(event.body);
        return printer.event(
          'app',
          'notification shown',
          `${event.title}: ${event.body}${this.#latency(event.body)}`,
        );
      case 'output':
        if (event.line === 'subscribed') this.#isSubscribed = true;
        return printer.event('app', event.line);
      case 'exit':
        return printer.event('phone', 'app died', event.signal ?? `exit code ${event.code}`);
      case 'relaunch':
        return printer.event('phone', 'relaunch', `in ${event.delayMs} ms`);
      default:
    }
  }

  #noteShown(body: string): void {
    const message = this.#messages.get(body);
    if (message === undefined) return;
    message.shownMs ??= performance.now();
    message.shownTimes++;
  }

  #latency(body: string): string {
    const message = this.#messages.get(body);
    if (message?.shownMs === undefined) return '';
    return ` (${Math.round(message.shownMs - message.sentMs)} ms after it was sent)`;
  }

  // ---- what is done ----------------------------------------------------------------------------------------

  async #post(httpUrl: string, body: string): Promise<void> {
    this.#note(body);
    const startMs = performance.now();
    const response = await fetch(`${httpUrl}/v1/devices/phone/messages`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body,
      signal: AbortSignal.timeout(STEP_MS_MAX),
    });
    if (response.status !== 201) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
    const tookMs = (performance.now() - startMs).toFixed(1);
    this.#printer.event('sender', 'accepted', `"${body}": HTTP 201 after ${tookMs} ms`);
  }

  async #publish(mqttUrl: string, topic: string, body: string): Promise<void> {
    const client = await connectAsync(mqttUrl, { clientId: 'weather-station', clean: true });
    this.#note(body);
    const startMs = performance.now();
    await client.publishAsync(topic, body, { qos: 1 });
    const tookMs = (performance.now() - startMs).toFixed(1);
    this.#printer.event('sender', 'accepted', `"${body}": PUBACK after ${tookMs} ms`);
    await client.endAsync();
  }

  #note(body: string): void {
    this.#messages.set(body, { body, sentMs: performance.now(), shownMs: undefined, shownTimes: 0 });
  }

  async #shown(body: string): Promise<void> {
    await this.#until(() => this.#messages.get(body)?.shownMs !== undefined, `"${body}" is shown`);
  }

  async #asleep(): Promise<void> {
    await this.#until(() => this.#isSubscribed && this.#isAsleep, 'the app is asleep');
  }

  /** While the app is not subscribed its user takes it whenever it sleeps: a slow machine needs more than one window for that. */
  async #until(condition: () => boolean, what: string): Promise<void> {
    const signal = AbortSignal.timeout(STEP_MS_MAX);
    while (!condition()) {
      if (this.#isAsleep && !this.#isSubscribed) {
        await this.#box!.wake();
        continue;
      }
      try {
        await once(this.#box!, 'event', { signal });
      } catch {
        throw new Error(`not within ${STEP_MS_MAX / 1000} s: ${what}`);
      }
    }
  }

  async #within<T>(promise: Promise<T>, what: string): Promise<T> {
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`not within ${STEP_MS_MAX / 1000} s: ${what}`)), STEP_MS_MAX).unref();
    });
    return Promise.race([promise, late]);
  }

  /** Compares what was accepted with what was shown, and asks the server whether anything still waits. */
  async #conclude(httpUrl: string, call: DemoCallResult): Promise<number> {
    const response = await fetch(`${httpUrl}/v1/devices/phone`);
    const device = (await response.json()) as { waitingMessages: number };
    const messages = [...this.#messages.values()];
    const lost = messages.filter(({ shownMs }) => shownMs === undefined).length;
    const repeated = messages.filter(({ shownTimes }) => shownTimes > 1).length;
    const latencies = messages
      .filter(({ body, shownMs }) => body !== 'crash' && shownMs !== undefined)
      .map(({ sentMs, shownMs }) => shownMs! - sentMs)
      .sort((a, b) => a - b);
    const summary = this.#box!.summary;
    const isCallGood = call.isAnswered && call.isVoiceWhole;
    const isGood = lost === 0 && repeated === 0 && device.waitingMessages === 0 && isCallGood;
    this.#printer.result(
      {
        'messages sent and accepted': messages.length,
        'shown on the phone': messages.length - lost,
        'acknowledged to the server': this.#acknowledged,
        'shown twice': repeated,
        'still waiting on the server': device.waitingMessages,
        wakes: Object.entries(summary.wakes)
          .filter(([, count]) => count > 0)
          .map(([cause, count]) => `${count} by ${cause}`)
          .join(', '),
        'relaunches after a crash': summary.relaunches,
        'seconds awake': (summary.awakeMs / 1000).toFixed(1),
        'sent to shown, median of the others': `${Math.round(latencies[latencies.length >> 1])} ms`,
        'call answered by the sleeping phone': call.isAnswered ? 'yes' : 'no',
        'INVITE to ringing': call.ringMs === undefined ? 'never' : `${Math.round(call.ringMs)} ms`,
        'voice packets to and from the phone': `${call.voice.toPhone} and ${call.voice.fromPhone}`,
      },
      isGood
        ? 'Nothing was lost.'
        : `Lost ${lost}, repeated ${repeated}, still waiting ${device.waitingMessages}, call ${isCallGood ? 'whole' : 'not whole'}.`,
    );
    return isGood ? 0 : 1;
  }
}

function urlOf(server: RunningServer, protocol: string): string {
  const address = server.addresses.find((each) => each.protocol === protocol);
  if (address === undefined) throw new Error(`the server has no ${protocol} listener`);
  return address.url;
}

function nap(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, NAP_MS));
}
