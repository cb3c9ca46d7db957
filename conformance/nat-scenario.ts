/** Phones behind several NATs at the same time, with messages after random long silences; and the figures as a table. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Prng } from '@wakeline/core/base';
import { gapConstants } from '@wakeline/core/device';
import { NatNetwork } from './nat-network.js';
import type { DeviceRecord, NetworkOptions, PhoneDevice } from './nat-network.js';
import { startWakeline } from './program.js';
import type { Program } from './program.js';
import { sleep, temporaryDirectory } from './support.js';

/** A call that is not taken up so soon is lost, ms before it is divided: the ringing of a phone. */
const RING_MS = 30_000;

export interface NetworkPlan {
  readonly idleSeconds: number;
  readonly loose: boolean;
  readonly factor: number;
  readonly answerMs?: number;
}

/** The devices of each phone. Those that are called quiet get no message before `quiet` has learned, the others from the beginning. */
const devices = {
  quiet: { policy: 'adaptive' },
  'quiet-ping': { policy: 'client-ping' },
  adaptive: { policy: 'adaptive' },
  'client-ping': { policy: 'client-ping' },
  fixed: { policy: 'fixed' },
  /** Its platform wakes it every ten minutes at most, as iOS did: the server keeps its way open. */
  asleep: { policy: 'adaptive', floorMs: 600_000 },
} as const satisfies Record<string, Omit<PhoneDevice, 'id'>>;

export type DeviceName = keyof typeof devices;

export interface ScenarioOptions {
  readonly plans: readonly NetworkPlan[];
  readonly names: readonly DeviceName[];
  readonly sampleMs: number;
  /** TCP keepalives of the server's kernel: on as they are by default, after 240 s of silence, or off. */
  readonly tcpKeepAlive: boolean;
}

export class NatScenario {
  readonly networks: readonly NatNetwork[];
  readonly #server: Program;
  readonly #directory: ReturnType<typeof temporaryDirectory>;

  private constructor(
    server: Program,
    directory: ReturnType<typeof temporaryDirectory>,
    networks: readonly NatNetwork[],
  ) {
    this.#server = server;
    this.#directory = directory;
    this.networks = networks;
  }

  /** A server, and a phone behind each NAT. */
  static async start({ plans, names, sampleMs, tcpKeepAlive }: ScenarioOptions): Promise<NatScenario> {
    const directory = temporaryDirectory('wakeline-nat');
    const listen = ['--listen', 'mqtt://127.0.0.1:0', '--listen', 'http://127.0.0.1:0'];
    const { server, urls } = await startWakeline(['--data', join(directory.path, 'data'), ...listen], {
      env: tcpKeepAlive ? {} : { WAKELINE_MQTT_TCP_KEEP_ALIVE: 'off' },
    });
    const networks = plans.map((plan): NatNetwork => {
      const { idleSeconds, loose, factor } = plan;
      const name = `nat-${idleSeconds}s-${loose ? 'loose' : 'strict'}-by-${factor}`;
      const options: NetworkOptions = {
        ...plan,
        name,
        devices: names.map((one) => ({ id: `${name}-${one}`, ...devices[one] })),
        mqttPort: Number(urls[0]!.port),
        httpUrl: urls[1]!.origin,
        directory: join(directory.path, name),
        runtimeDirectory: join(directory.path, 'run'),
        sampleMs,
      };
      return new NatNetwork(options);
    });
    const scenario = new NatScenario(server, directory, networks);
    try {
      await Promise.all(networks.map((network) => network.start()));
    } catch (error) {
      await scenario.end();
      throw error;
    }
    return scenario;
  }

  async end(): Promise<void> {
    await Promise.all(this.networks.map((network) => network.end()));
    await this.#server.end('SIGTERM');
    this.#directory.remove();
  }
}

/** The device of this name. */
export function deviceOf(network: NatNetwork, name: DeviceName): DeviceRecord {
  return network.record(`${network.options.name}-${name}`);
}

export function ringMs({ options }: NatNetwork): number {
  return RING_MS / options.factor;
}

/**
 * Messages after silences of 1.1 to 2.4 idle times until `endMs` (monotonic), to quiet devices only once `quiet` has learned. The last one
 * is given the time to arrive.
 */
export async function sendAfterSilences(network: NatNetwork, prng: Prng, endMs: number): Promise<void> {
  const { idleSeconds } = network.options;
  for (;;) {
    const silenceMs = idleSeconds * 1_000 * (1.1 + 1.3 * prng.nextFloat());
    if (performance.now() + silenceMs + ringMs(network) > endMs) break;
    await sleep(silenceMs);
    const quiet = deviceOf(network, 'quiet');
    const isQuiet = ({ device }: DeviceRecord): boolean => device.id.includes('-quiet');
    const hasLearned = quiet.knows?.isDone === true;
    await network.send(network.records.filter((one) => hasLearned || !isQuiet(one)));
  }
  await sleep(Math.max(0, endMs - performance.now()));
}

/** One line per device. */
export function formatFigures(networks: readonly NatNetwork[]): string {
  const head = [
    'NAT, constants',
    'device',
    'learned',
    'of T',
    'probes (alive, dead, void)',
    'highest',
    'lost connections',
    'unreachable',
    'messages',
    'late',
    'longest delay',
    'asked per hour',
  ];
  const rows = networks.flatMap((network) =>
    network.records.map((record) => {
      const { idleSeconds, loose, factor, name } = network.options;
      const { knows, unreachableMs, observedMs, sent } = record;
      const verdicts = record.of('probe').map(({ verdict }) => verdict);
      const tally = ['alive', 'dead', 'void'].map(
        (one) => verdicts.filter((verdict) => verdict === one).length,
      );
      const highest = Math.max(0, ...record.of('knows').map(({ lowMs }) => lowMs));
      const delays = [...sent.keys()].map((number) => record.delayMs(number) ?? Infinity);
      const asked = record.of('answered').filter(({ gapMs }) => gapMs > 0).length + record.of('death').length;
      return [
        `${idleSeconds} s ${loose ? 'loose' : 'strict'}, ÷${factor}`,
        record.device.id.slice(name.length + 1),
        knows === undefined
          ? `(${seconds(record.device.policy === 'fixed' ? 600_000 / factor : gapConstants.lowFirstMs / factor)})`
          : `${seconds(knows.lowMs)}${knows.isDone ? '' : ' …'}`,
        knows === undefined ? '' : (knows.lowMs / idleSeconds / 1_000).toFixed(3),
        verdicts.length === 0 ? '' : tally.join(', '),
        highest === 0 ? '' : seconds(highest),
        String(record.outages),
        `${seconds(unreachableMs)} (${((100 * unreachableMs) / Math.max(1, observedMs)).toFixed(1)} %)`,
        String(sent.size),
        String(record.late(ringMs(network))),
        delays.length === 0 ? '' : seconds(Math.max(...delays)),
        ((asked * 3_600_000) / Math.max(1, observedMs)).toFixed(1),
      ];
    }),
  );
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The learned value is in [T / 1.1, T). */
export function assertLearned(network: NatNetwork, record: DeviceRecord): void {
  const idleMs = network.options.idleSeconds * 1_000;
  const lowMs = record.knows?.lowMs ?? 0;
  assert(
    lowMs >= idleMs / 1.1 && lowMs < idleMs,
    `${record.device.id}: ${lowMs} ms is in [${idleMs / 1.1}, ${idleMs}); ${network.tell()}`,
  );
}

/** The main connection was never lost, and the NAT has always known it. */
export function assertNoOutage(network: NatNetwork, record: DeviceRecord): void {
  const { unreachableMs, outages } = record;
  const deaths = record.of('death').length;
  assert.deepEqual(
    { outages, deaths, unreachableMs },
    { outages: 0, deaths: 0, unreachableMs: 0 },
    `${record.device.id}; ${network.tell()}`,
  );
}

function seconds(ms: number): string {
  return ms === Infinity ? 'not come' : `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
