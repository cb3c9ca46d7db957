/** What a test of calls has on stage: a folder, a server, phones and callers, all of it gone at the end. */
import { join } from 'node:path';
import { Baresip } from './baresip.js';
import type { BaresipOptions } from './baresip.js';
import { DOMAIN, PASSWORD, SipServer } from './sip-server.js';
import type { RelayedListener, SipServerOptions } from './sip-server.js';
import { SmallPhone } from './small-phone.js';
import type { SmallPhoneOptions } from './small-phone.js';
import { Sipp } from './sipp.js';
import type { SippOptions } from './sipp.js';
import { freePort, temporaryDirectory } from './support.js';
import { TcpRelay } from './tcp-relay.js';

/** What SIPp and the PBX are sent from: the addresses of trunks, so that phones on 127.0.0.1 are none. One of each process: their ports do not meet. */
export const TRUNK_ADDRESS = `127.1.${(process.pid >> 8) & 255}.${(process.pid % 200) + 20}`;
export const OTHER_TRUNK_ADDRESS = '127.0.0.12';

/** The trunk that callers of these tests are behind. */
export const callersTrunk = {
  name: 'callers',
  uri: `sip:${TRUNK_ADDRESS}:9;transport=udp`,
  from: [TRUNK_ADDRESS],
};

export interface StageOptions extends Omit<SipServerOptions, 'directory' | 'relayed'> {
  /** Relays in front of the server that can cut connections, each for a phone. */
  readonly relays?: number;
}

export interface StagedPhone {
  /** Tells the devices of one user apart. */
  readonly device?: string;
  /** Of the server or of a relay before it; default: the server's. */
  readonly port?: number;
  readonly registrationSeconds?: number;
  /** `none`: alone, and always awake. */
  readonly box?: 'none' | Pick<NonNullable<BaresipOptions['box']>, 'profile' | 'modes' | 'window'>;
}

/** Something that can be ended. */
interface Endable {
  end(): Promise<void>;
}

export class SipStage {
  readonly server: SipServer;
  readonly path: string;
  readonly relays: readonly TcpRelay[];
  readonly #remove: () => void;
  readonly #ends: Endable[] = [];
  #calls = 0;

  private constructor(
    server: SipServer,
    relays: readonly TcpRelay[],
    directory: { readonly path: string; remove(): void },
  ) {
    this.server = server;
    this.relays = relays;
    this.path = directory.path;
    this.#remove = () => directory.remove();
  }

  static async open(options: StageOptions): Promise<SipStage> {
    const { relays: count = 0, trunks = [callersTrunk], ...more } = options;
    const directory = temporaryDirectory('wakeline-sip');
    const relays: TcpRelay[] = [];
    const relayed: RelayedListener[] = [];
    while (relays.length < count) {
      const port = await freePort();
      const relay = await TcpRelay.start(port);
      relays.push(relay);
      relayed.push({ port, relayPort: relay.port });
    }
    const place = join(directory.path, 'server');
    const server = await SipServer.start({ ...more, trunks, relayed, directory: place });
    return new SipStage(server, relays, directory);
  }

  /** Ended with the stage, last first. */
  keep<T extends Endable>(one: T): T {
    this.#ends.push(one);
    return one;
  }

  /** baresip as `user`, registered; in a box it may be awake still. */
  async baresip(user: string, options: StagedPhone & { answers?: 'auto' | 'manual' } = {}): Promise<Baresip> {
    const { device = 'phone', answers = 'auto', registrationSeconds = 60 } = options;
    const phone = await Baresip.start({
      address: `${user}@${DOMAIN}`,
      password: PASSWORD,
      port: options.port ?? this.server.tcpPort,
      answers,
      registrationSeconds,
      box: this.#box(user, options),
      directory: join(this.path, `${user}-${device}`),
    });
    return this.#registered(phone, options);
  }

  /** The phone of packages/cli/examples/sip-phone as `user`, registered. */
  async smallPhone(
    user: string,
    options: StagedPhone & Pick<SmallPhoneOptions, 'answerAfter' | 'call'> = {},
  ): Promise<SmallPhone> {
    const phone = new SmallPhone({
      address: `${user}@${DOMAIN}`,
      password: PASSWORD,
      port: options.port ?? this.server.tcpPort,
      device: options.device,
      answerAfter: options.answerAfter,
      call: options.call,
      box: this.#box(user, options),
    });
    return this.#registered(phone, options);
  }

  async #registered<T extends Baresip | SmallPhone>(phone: T, { box }: StagedPhone): Promise<T> {
    this.keep(phone);
    if (box === 'none') await phone.registered();
    else await phone.box.heldUntil(phone.registered());
    return phone;
  }

  #box(user: string, { device = 'phone', box }: StagedPhone): BaresipOptions['box'] {
    if (box === 'none') return undefined;
    return { name: `${user}-${device}`, runtimeDirectory: this.path, ...box };
  }

  /** SIPp as a caller behind the trunk, by UDP: it calls `user`, and hangs up `holdMs` after the answer. */
  async call(user: string, options: Partial<SippOptions> = {}): Promise<Sipp> {
    const call = await Sipp.start({
      scenario: 'caller',
      server: `127.0.0.1:${this.server.trunkPort}`,
      service: user,
      keys: { domain: DOMAIN, caller: 'ann' },
      localAddress: TRUNK_ADDRESS,
      ...options,
      directory: join(this.path, `call-${++this.#calls}`),
    });
    return this.keep(call);
  }

  async close(): Promise<void> {
    for (const one of this.#ends.toReversed()) await one.end();
    await this.server.stop();
    for (const relay of this.relays) await relay.end();
    this.#remove();
  }
}

/** Runs `body` on a stage of its own. */
export async function onStage(
  options: StageOptions,
  body: (stage: SipStage) => Promise<void>,
): Promise<void> {
  const stage = await SipStage.open(options);
  try {
    await body(stage);
  } finally {
    await stage.close();
  }
}
