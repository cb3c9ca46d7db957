/** What a test of calls has on stage: a folder, a server, phones and callers, all of it gone at the end. */
import { join } from 'node:path';
import { Baresip } from './baresip.js';
import type { BaresipOptions } from './baresip.js';
import { DOMAIN, PASSWORD, SipServer } from './sip-server.js';
import type { SipServerOptions } from './sip-server.js';
import { SmallPhone } from './small-phone.js';
import type { SmallPhoneOptions } from './small-phone.js';
import { Sipp } from './sipp.js';
import type { SippOptions } from './sipp.js';
import { temporaryDirectory } from './support.js';

/** What SIPp and the PBX are sent from: the addresses of trunks, so that phones on 127.0.0.1 are none. */
export const TRUNK_ADDRESS = '127.0.0.11';
export const OTHER_TRUNK_ADDRESS = '127.0.0.12';

/** The trunk that callers of these tests are behind. */
export const callersTrunk = {
  name: 'callers',
  uri: `sip:${TRUNK_ADDRESS}:9;transport=udp`,
  from: [TRUNK_ADDRESS],
};

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
  readonly #remove: () => void;
  readonly #ends: Endable[] = [];
  #calls = 0;

  private constructor(server: SipServer, directory: { readonly path: string; remove(): void }) {
    this.server = server;
    this.path = directory.path;
    this.#remove = () => directory.remove();
  }

  static async open(options: Omit<SipServerOptions, 'directory'>): Promise<SipStage> {
    const directory = temporaryDirectory('wakeline-sip');
    const trunks = options.trunks ?? [callersTrunk];
    const server = await SipServer.start({ ...options, trunks, directory: join(directory.path, 'server') });
    return new SipStage(server, directory);
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
    this.keep(phone);
    await phone.registered();
    return phone;
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
    this.keep(phone);
    await phone.registered();
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
    this.#remove();
  }
}

/** Runs `body` on a stage of its own. */
export async function onStage(
  options: Omit<SipServerOptions, 'directory'>,
  body: (stage: SipStage) => Promise<void>,
): Promise<void> {
  const stage = await SipStage.open(options);
  try {
    await body(stage);
  } finally {
    await stage.close();
  }
}
