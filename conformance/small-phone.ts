/** The phone of `packages/cli/examples/sip-phone`, alone or in a sleepbox: one that connects again at once when its flow is cut. */
import { fileURLToPath } from 'node:url';
import { Box } from './box.js';
import type { BoxOptions } from './box.js';
import type { CallVoice, Phone } from './phone.js';
import { PATIENCE_MS, Program } from './program.js';
import { until } from './support.js';

const PHONE = fileURLToPath(new URL('../../packages/cli/examples/sip-phone/phone.mjs', import.meta.url));

export interface SmallPhoneOptions {
  /** `user@domain`. */
  readonly address: string;
  readonly password: string;
  readonly port: number;
  /** Tells the devices of one user apart. */
  readonly device?: string | undefined;
  /** Seconds of ringing, or `never`: it answers when told to. */
  readonly answerAfter?: number | 'never' | undefined;
  /** Calls this address when it is registered. */
  readonly call?: { readonly address: string; readonly seconds: number } | undefined;
  readonly box?: Pick<BoxOptions, 'name' | 'runtimeDirectory' | 'profile' | 'modes' | 'window'> | undefined;
}

/** A line of what it tells; which fields are there depends on `what`. */
export interface PhoneEvent {
  readonly what:
    | 'registered'
    | 'refused'
    | 'disconnected'
    | 'ringing'
    | 'answered'
    | 'over'
    | 'calling'
    | 'progress'
    | 'failed'
    | 'message';
  readonly atMs: number;
  readonly callId: string;
  readonly status: number;
  readonly why: string;
  readonly sentPackets: number;
  readonly receivedPackets: number;
}

export class SmallPhone implements Phone {
  readonly address: string;
  readonly events: PhoneEvent[] = [];
  readonly #box: Box | undefined;
  readonly #program: Program | undefined;

  constructor(options: SmallPhoneOptions) {
    const { address, password, port, device = 'phone', answerAfter = 0, call, box } = options;
    this.address = address;
    const command = [process.execPath, PHONE, '--json', '--address', address, '--password', password];
    command.push('--server', `127.0.0.1:${port}`, '--device', device, '--answer-after', String(answerAfter));
    if (call !== undefined) command.push('--call', call.address, '--for', String(call.seconds));
    const onLine = (line: string): void => {
      if (line.startsWith('{')) this.events.push(JSON.parse(line) as PhoneEvent);
    };
    if (box !== undefined) {
      this.#box = new Box({ ...box, command, wakePort: port, onOutput: onLine });
    } else {
      this.#program = new Program(command[0], command.slice(1), { onLine });
      this.#program.endInput();
    }
  }

  get box(): Box {
    if (this.#box === undefined) throw new Error('started without a box');
    return this.#box;
  }

  count(what: PhoneEvent['what'], from = 0): number {
    return this.events.slice(from).filter((event) => event.what === what).length;
  }

  /** Resolves with the first event of this kind, counted from event `from`. */
  async event(what: PhoneEvent['what'], from = 0, timeoutMs = PATIENCE_MS): Promise<PhoneEvent> {
    return this.until((event) => event.what === what, what, from, timeoutMs);
  }

  /** Resolves with the first event that is meant, counted from event `from`. */
  async until(
    isMeant: (event: PhoneEvent) => boolean,
    what: string,
    from = 0,
    timeoutMs = PATIENCE_MS,
  ): Promise<PhoneEvent> {
    const find = (): PhoneEvent | undefined => this.events.slice(from).find(isMeant);
    await until(
      () => find() !== undefined,
      timeoutMs,
      () => `${this.address}: ${what}; ${this.tell()}`,
    );
    return find()!;
  }

  get position(): number {
    return this.events.length;
  }

  async registered(from = 0, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.event('registered', from, timeoutMs);
  }

  async incoming(from = 0, timeoutMs = PATIENCE_MS): Promise<void> {
    await this.event('ringing', from, timeoutMs);
  }

  countIncoming(from = 0): number {
    return this.count('ringing', from);
  }

  async answer(): Promise<void> {
    await this.#box?.ctl('wake');
    process.kill(this.#program?.pid ?? this.box.pid, 'SIGUSR1');
  }

  async voice(from = 0): Promise<CallVoice> {
    return this.event('over', from);
  }

  crash(): void {
    process.kill(this.#program?.pid ?? this.box.pid, 'SIGKILL');
  }

  async end(): Promise<void> {
    await this.#program?.end();
    await this.#box?.end();
  }

  tell(): string {
    const told = this.events.slice(-40).map((event) => JSON.stringify(event));
    return `${told.join('\n')}\n${this.#box?.tell() ?? this.#program?.stderr ?? ''}`;
  }
}
