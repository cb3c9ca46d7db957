/**
 * A phone behind a real NAT (`sleepbox --nat`) with several lines, messages to them after long silences, and what came of it: what each
 * policy learned, how long nothing could reach it, and which messages were late. What the NAT knows is asked of its kernel.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { natHost, Sleepbox } from '@wakeline/sleepbox';
import { until } from './support.js';

export type PolicyName = 'adaptive' | 'fixed' | 'client-ping';

export interface PhoneDevice {
  readonly id: string;
  readonly policy: PolicyName;
  /** It sleeps, and its platform wakes it no more often than this, ms; undefined: it is awake. */
  readonly floorMs?: number;
}

/** What the phone's program is told. */
export interface PhoneDescription {
  readonly url: string;
  /** Where its devices keep what they keep. */
  readonly directory: string;
  /** All constants of the algorithm are divided by it, and the silence of `fixed`. */
  readonly factor: number;
  /**
   * Time for an answer, ms, with thrice that for another connection; undefined: divided like the rest. Where the factor is large a
   * process may take longer than what would be left.
   */
  readonly answerMs?: number;
  readonly devices: readonly PhoneDevice[];
}

/** What the phone's program says. */
export type PhoneEvent = { readonly device: string; readonly at: number } & (
  | { readonly kind: 'open'; readonly localPort: number }
  | { readonly kind: 'status'; readonly status: string }
  | { readonly kind: 'message'; readonly number: number; readonly sentMs: number }
  | { readonly kind: 'answered' | 'death'; readonly gapMs: number }
  | { readonly kind: 'probe'; readonly silenceMs: number; readonly verdict: 'alive' | 'dead' | 'void' }
  | { readonly kind: 'knows'; readonly lowMs: number; readonly highMs?: number; readonly isDone: boolean }
  | { readonly kind: 'warning'; readonly code: string; readonly message: string }
);

export interface NetworkOptions extends Omit<PhoneDescription, 'url'> {
  readonly name: string;
  readonly idleSeconds: number;
  readonly loose: boolean;
  readonly mqttPort: number;
  readonly httpUrl: string;
  readonly runtimeDirectory: string;
  /** How often the NAT is asked what it knows, ms. */
  readonly sampleMs: number;
}

/** What became of one device. */
export class DeviceRecord {
  readonly device: PhoneDevice;
  readonly events: PhoneEvent[] = [];
  /** By number: when it was sent, wall clock ms. */
  readonly sent = new Map<number, number>();
  localPort = 0;
  /** Time, as sampled, in which the NAT did not know the main connection: nothing could come in, ms. */
  unreachableMs = 0;
  observedMs = 0;

  constructor(device: PhoneDevice) {
    this.device = device;
  }

  of<Kind extends PhoneEvent['kind']>(kind: Kind): (PhoneEvent & { readonly kind: Kind })[] {
    return this.events.filter((event): event is PhoneEvent & { readonly kind: Kind } => event.kind === kind);
  }

  get isOnline(): boolean {
    return this.of('status').at(-1)?.status === 'online';
  }

  get knows(): (PhoneEvent & { readonly kind: 'knows' }) | undefined {
    return this.of('knows').at(-1);
  }

  /** How often the main connection was lost. */
  get outages(): number {
    const statuses = this.of('status').map(({ status }) => status);
    return statuses.filter((status, i) => status !== 'online' && statuses[i - 1] === 'online').length;
  }

  /** From its sending to the app, ms; undefined: it has not come. The first time it came counts. */
  delayMs(number: number): number | undefined {
    const message = this.of('message').find((one) => one.number === number);
    return message && message.at - message.sentMs;
  }

  /** What was sent so long ago that it is late, and had not come by then. */
  late(afterMs: number): number {
    const isLate = ([number, sentMs]: readonly [number, number]): boolean =>
      (this.delayMs(number) ?? Date.now() - sentMs) > afterMs;
    return [...this.sent].filter(isLate).length;
  }
}

const phoneProgram = fileURLToPath(new URL('nat-phone.js', import.meta.url));

export class NatNetwork {
  readonly options: NetworkOptions;
  readonly records: readonly DeviceRecord[];
  readonly #box: Sleepbox;
  #router: Router | undefined;
  #isEnded = false;
  #sampling: Promise<void> = Promise.resolve();
  #number = 0;
  readonly #said: string[] = [];

  constructor(options: NetworkOptions) {
    this.options = options;
    const { devices, idleSeconds, loose, mqttPort, directory, factor, answerMs, runtimeDirectory, name } =
      options;
    this.records = devices.map((device) => new DeviceRecord(device));
    const description: PhoneDescription = {
      url: `mqtt://${natHost}:${mqttPort}`,
      directory,
      factor,
      ...(answerMs !== undefined && { answerMs }),
      devices,
    };
    this.#box = new Sleepbox({
      command: [process.execPath, phoneProgram, JSON.stringify(description)],
      name,
      profile: 'linux-phone',
      // Its sleep is not what is looked at.
      windowMs: 24 * 3_600_000,
      nat: { idleMs: idleSeconds * 1_000, loose },
      runtimeDirectory,
    });
    this.#box.on('event', (event) => {
      if (event.type === 'nat') this.#router = new Router(event.pid);
      if (event.type !== 'output') return;
      this.#said.push(event.line);
      if (event.line.startsWith('{')) this.#handle(JSON.parse(event.line) as PhoneEvent);
    });
  }

  /** Resolves when all devices are online. */
  async start(): Promise<void> {
    await this.#box.start();
    await until(
      () => this.records.every(({ isOnline }) => isOnline),
      60_000,
      () => `${this.options.name}: all devices are online; the phone said: ${this.tell()}`,
    );
    this.#sampling = this.#sample();
  }

  record(id: string): DeviceRecord {
    const record = this.records.find(({ device }) => device.id === id);
    assert(record, id);
    return record;
  }

  /** Sends one message to each of the devices. */
  async send(records: readonly DeviceRecord[] = this.records): Promise<number> {
    const number = (this.#number += 1);
    await Promise.all(
      records.map(async (record) => {
        const sentMs = Date.now();
        record.sent.set(number, sentMs);
        const response = await fetch(`${this.options.httpUrl}/v1/devices/${record.device.id}/messages`, {
          method: 'POST',
          headers: { 'content-type': 'text/plain' },
          body: JSON.stringify({ number, sentMs }),
        });
        assert(response.ok, `${response.status} ${await response.text()}`);
      }),
    );
    return number;
  }

  /** Whether the NAT knows the main connection of the device, now. */
  async isReachable(record: DeviceRecord): Promise<boolean> {
    return (await this.#requireRouter().ports()).has(record.localPort);
  }

  /** How many packets the NAT has dropped that were for the phone. */
  droppedInward(): number {
    return this.#requireRouter().droppedInward();
  }

  /** The last of what the phone said, for a failure's message. */
  tell(): string {
    return this.#said.slice(-60).join('\n');
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#sampling;
    this.#router?.end();
    await this.#box.stop();
  }

  #handle(event: PhoneEvent): void {
    const record = this.record(event.device);
    record.events.push(event);
    if (event.kind === 'open') record.localPort = event.localPort;
  }

  async #sample(): Promise<void> {
    const router = this.#requireRouter();
    let before = performance.now();
    while (!this.#isEnded) {
      await new Promise((resolve) => setTimeout(resolve, this.options.sampleMs));
      const ports = await router.ports();
      const now = performance.now();
      for (const record of this.records) {
        record.observedMs += now - before;
        if (!ports.has(record.localPort)) record.unreachableMs += now - before;
      }
      before = now;
    }
  }

  #requireRouter(): Router {
    assert(this.#router, 'the NAT stands');
    return this.#router;
  }
}

/** Asks the kernel of a NAT. One small process in its namespace, one question at a time. */
class Router {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #holderPid: number;
  #output = '';
  #answered: ((text: string) => void) | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(holderPid: number) {
    this.#holderPid = holderPid;
    const loop = 'while read -r line; do cat /proc/net/nf_conntrack; echo end; done';
    const args = [`--net=/proc/${holderPid}/ns/net`, '/bin/sh', '-c', loop];
    this.#child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
      if (!this.#output.endsWith('end\n')) return;
      const answer = this.#output;
      this.#output = '';
      this.#answered?.(answer);
    });
  }

  /** Ports of the program's established TCP connections that it knows. */
  async ports(): Promise<ReadonlySet<number>> {
    const asked = this.#queue.then(
      () =>
        new Promise<string>((resolve) => {
          this.#answered = resolve;
          this.#child.stdin.write('\n');
        }),
    );
    this.#queue = asked;
    const lines = (await asked).split('\n').filter((line) => / tcp .* ESTABLISHED /.test(line));
    return new Set(lines.map((line) => Number(/ sport=(\d+) /.exec(line)?.[1])));
  }

  droppedInward(): number {
    const nft = 'PATH=$PATH:/usr/sbin:/sbin nft list counter ip sleepbox forgotten-inward';
    const args = [`--net=/proc/${this.#holderPid}/ns/net`, '/bin/sh', '-c', nft];
    return Number(/packets (\d+)/.exec(execFileSync('nsenter', args, { encoding: 'utf8' }))?.[1]);
  }

  end(): void {
    this.#child.stdin.end();
  }
}
