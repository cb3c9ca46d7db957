/** `wakeline up` as a registrar and proxy for SIP, on ports that stay, to be killed and started again. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wakeline } from './program.js';
import type { Program } from './program.js';
import { freePort, START_MS_MAX, until } from './support.js';

/** The domain of every user in these tests. */
export const DOMAIN = 'home.test';
/** The password of every user. */
export const PASSWORD = 'secret';

export interface SipServerOptions {
  /** Data and configuration; kept over restarts. */
  readonly directory: string;
  /** User parts. */
  readonly users: readonly string[];
  readonly trunks?: readonly SipTrunk[];
  /** How long a call waits for a sleeping phone, as in the configuration. */
  readonly park?: string;
  readonly registrationMin?: string;
  readonly flowTimer?: string;
  /** More TCP listeners, which phones reach by a relay in front of each. */
  readonly relayed?: readonly RelayedListener[];
  /** Further keys of the configuration. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Ports of 127.0.0.1. */
export interface RelayedListener {
  readonly port: number;
  /** Where the relay is: what phones know as their proxy, and name in a Route. */
  readonly relayPort: number;
}

export interface SipTrunk {
  readonly name: string;
  readonly uri: string;
  readonly from?: readonly string[];
  readonly numbers?: readonly string[];
}

/** A call as `/v1/calls` tells of it; what these tests read. */
export interface CallRecord {
  readonly id: string;
  readonly user: string;
  readonly sipCallId: string;
  readonly state: string;
  readonly missed: boolean;
  readonly status: number | null;
  readonly reason: string | null;
  readonly wakes: number;
}

export class SipServer {
  readonly tcpPort: number;
  readonly udpPort: number;
  /** UDP for trunks alone: what comes here from a trunk's address is not challenged. */
  readonly trunkPort: number;
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly #options: SipServerOptions;
  #program: Program | undefined;

  private constructor(options: SipServerOptions, ports: readonly number[]) {
    this.#options = options;
    const [tcp, udp, trunk, http, mqtt] = ports as [number, number, number, number, number];
    this.tcpPort = tcp;
    this.udpPort = udp;
    this.trunkPort = trunk;
    this.httpPort = http;
    this.mqttPort = mqtt;
  }

  /** Resolves when it accepts. */
  static async start(options: SipServerOptions): Promise<SipServer> {
    const ports: number[] = [];
    while (ports.length < 5) ports.push(await freePort());
    const server = new SipServer(options, ports);
    await server.restart();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.httpPort}`;
  }

  get pid(): number {
    return this.#program!.pid;
  }

  /** Starts it where it was, after `kill` or `stop`. */
  async restart(): Promise<void> {
    const { directory, users, trunks = [], park = '45s' } = this.#options;
    const { registrationMin = '1m', flowTimer = '672s', relayed = [], more = {} } = this.#options;
    mkdirSync(directory, { recursive: true });
    const configuration = {
      ...more,
      data: join(directory, 'data'),
      listen: [
        this.url,
        `mqtt://127.0.0.1:${this.mqttPort}`,
        `sip+tcp://127.0.0.1:${this.tcpPort}`,
        `sip+udp://127.0.0.1:${this.udpPort}`,
        { url: `sip+udp://127.0.0.1:${this.trunkPort}`, trunksOnly: true },
        ...relayed.map(({ port, relayPort }) => ({
          url: `sip+tcp://127.0.0.1:${port}`,
          advertise: `127.0.0.1:${relayPort}`,
        })),
      ],
      sip: {
        domains: [DOMAIN],
        users: users.map((user) => ({ address: `${user}@${DOMAIN}`, password: passwordLine(user) })),
        trunks,
        park,
        registrationMin,
        flowTimer,
      },
    };
    const file = join(directory, 'wakeline.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(configuration, null, 2));
    const program = wakeline(['up', '--config', file]);
    this.#program = program;
    program.endInput();
    await until(
      () => {
        if (!program.isRunning) throw new Error(`the server ended at its start: ${this.tell()}`);
        return program.lines.some((line) => line.startsWith('wakeline: ready '));
      },
      START_MS_MAX,
      () => `the server is ready; it said: ${this.tell()}`,
    );
  }

  /** SIGKILL, as a power switch would. */
  async kill(): Promise<void> {
    await this.#program?.end('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.#program?.isRunning !== true) return;
    const { code, stderr } = await this.#program.end('SIGTERM');
    assert.equal(code, 0, `the server leaves in good order: ${stderr.slice(-4_000)}`);
  }

  /** The newest first, or as the API orders them. */
  async calls(): Promise<readonly CallRecord[]> {
    const answer = (await this.get('/v1/calls')) as { readonly calls: readonly CallRecord[] };
    return answer.calls;
  }

  async get(path: string): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Resolves when a call is in this state. */
  async callIn(states: readonly string[], sipCallId?: string): Promise<CallRecord> {
    let found: CallRecord | undefined;
    let seen: readonly CallRecord[] = [];
    await until(
      async () => {
        seen = await this.calls();
        found = seen.find(
          (call) => states.includes(call.state) && (sipCallId ?? call.sipCallId) === call.sipCallId,
        );
        return found !== undefined;
      },
      60_000,
      () => `a call is ${states.join(' or ')}; there are: ${JSON.stringify(seen)} ${this.tell()}`,
    );
    return found!;
  }

  /** Everything that it logged so far. */
  get log(): string {
    return this.#program?.stderr ?? '';
  }

  /** A figure of /metrics. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  /** What it logged, for a failure's message. */
  tell(): string {
    return `${this.#program?.stderr.slice(-4_000) ?? ''}${this.#program?.stdout.slice(-1_000) ?? ''}`;
  }
}

/** HA1 by both algorithms would be offered as two challenges, which baresip refuses: MD5 alone, as SIPp wants it too. */
function passwordLine(user: string): string {
  return `md5:${createHash('md5').update(`${user}:${DOMAIN}:${PASSWORD}`).digest('hex')}`;
}
