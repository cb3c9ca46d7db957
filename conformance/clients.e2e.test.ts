/**
 * Clients that others wrote, unmodified: Mosquitto's, MQTT.js and Python's paho-mqtt, both versions of MQTT, every
 * transport. Each does
 * what devices do: subscribe, receive with every QoS, go away and come back, find the retained message, leave a will.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';
import { PATIENCE_MS, Program, runProgram, startWakeline, SYSTEM_PYTHON, whyMissing } from './program.js';
import { temporaryDirectory, until } from './support.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../packages/server/test/fixtures/${name}`, import.meta.url));
const certificate = fixture('first.cert.pem');
const directory = temporaryDirectory('wakeline-clients');
const PROTOCOLS = ['mqtt', 'mqtts', 'http', 'https'] as const;
const urls = new Map<string, URL>();
/** Ends whatever a failed test left running. */
const cleaning: (() => unknown)[] = [];
let server: Program;

before(async () => {
  const started = await startWakeline([
    `--data=${join(directory.path, 'data')}`,
    `--tls-cert=${certificate}`,
    `--tls-key=${fixture('first.key.pem')}`,
    ...PROTOCOLS.flatMap((protocol) => ['--listen', `${protocol}://127.0.0.1:0`]),
  ]);
  server = started.server;
  for (const [index, protocol] of PROTOCOLS.entries()) urls.set(protocol, started.urls[index]);
});

after(async () => {
  for (const clean of cleaning) await clean();
  const end = await server.end('SIGTERM');
  directory.remove();
  assert.equal(end.code, 0, end.stderr);
  assert.doesNotMatch(end.stderr, /"stack"|"level":"(error|fatal)"/);
});

/** A message as a client reports it: topic, QoS, retained flag and body. */
type Seen = `${string} ${0 | 1 | 2} ${0 | 1} ${string}`;

/** A connected client of whatever make. */
interface Client {
  readonly seen: readonly Seen[];
  /** Ends the connection in good order; the session stays. */
  leave(): Promise<void>;
  /** Ends the connection without a word, so that the will is published. */
  vanish(): Promise<void>;
}

/** A make, version and transport. */
interface Make {
  readonly name: string;
  readonly missing?: string | undefined;
  /** Its way to leave is DISCONNECT with reason code 4: with the will. */
  readonly leavesWithWill?: boolean;
  /** Connects with a lasting session; resolves when the subscription is acknowledged. */
  subscriber(clientId: string, filter: string, will?: { topic: string; body: string }): Promise<Client>;
  publish(topic: string, body: string, qos: 0 | 1 | 2, retain?: boolean): Promise<void>;
}

const makes: readonly Make[] = [
  mosquitto('mqttv311', 'mqtt'),
  mosquitto('mqttv5', 'mqtt'),
  mosquitto('mqttv311', 'mqtts'),
  mosquitto('mqttv5', 'mqtts'),
  mqttJs(4, 'mqtt'),
  mqttJs(5, 'mqtt'),
  mqttJs(4, 'mqtts'),
  mqttJs(5, 'mqtts'),
  mqttJs(4, 'ws'),
  mqttJs(5, 'ws'),
  mqttJs(4, 'wss'),
  mqttJs(5, 'wss'),
  paho(4, 'mqtt'),
  paho(5, 'mqtt'),
  paho(4, 'mqtts'),
  paho(5, 'mqtts'),
  paho(4, 'ws'),
  paho(5, 'ws'),
];

for (const [index, make] of makes.entries()) {
  describe(make.name, { skip: make.missing ?? false }, () => {
    const root = `c${index}`;

    test('[MQTT3 7.0.0-2] receives with QoS 0, 1 and 2, in order', async () => {
      const device = await make.subscriber(`${root}-qos`, `${root}/qos/#`);
      for (const qos of [0, 1, 2] as const) await make.publish(`${root}/qos/${qos}`, `body ${qos}`, qos);
      await sees(device, [
        `${root}/qos/0 0 0 body 0`,
        `${root}/qos/1 1 0 body 1`,
        `${root}/qos/2 2 0 body 2`,
      ]);
      await device.leave();
    });

    test('[IN-17] gets what came while it was away when it resumes, once', async () => {
      const id = `${root}-away`;
      const filter = `${root}/away`;
      const first = await make.subscriber(id, filter);
      await make.publish(filter, 'at home', 1);
      await sees(first, [`${filter} 1 0 at home`]);
      await first.leave();
      for (const number of [1, 2, 3]) await make.publish(filter, `away ${number}`, 1);
      const second = await make.subscriber(id, filter);
      await sees(second, [`${filter} 1 0 away 1`, `${filter} 1 0 away 2`, `${filter} 1 0 away 3`]);
      await second.vanish();
      await make.publish(filter, 'after a break', 2);
      const third = await make.subscriber(id, filter);
      await sees(third, [`${filter} 2 0 after a break`]);
      await third.leave();
    });

    test('gets the retained message when it subscribes, and no more once it is cleared', async () => {
      const topic = `${root}/retained`;
      await make.publish(topic, 'kept', 1, true);
      const device = await make.subscriber(`${root}-retained`, topic);
      await sees(device, [`${topic} 1 1 kept`]);
      await make.publish(topic, '', 1, true);
      const later = await make.subscriber(`${root}-retained-later`, topic);
      await make.publish(topic, 'now', 1);
      await sees(later, [`${topic} 1 0 now`]);
      await device.leave();
      await later.leave();
    });

    test('has its will published when it vanishes, and when it leaves only if it says so', async () => {
      const watcher = await make.subscriber(`${root}-watcher`, `${root}/will/#`);
      const will = (name: string): { topic: string; body: string } => ({
        topic: `${root}/will/${name}`,
        body: 'gone',
      });
      const polite = await make.subscriber(`${root}-polite`, `${root}/other`, will('polite'));
      await polite.leave();
      const lost = await make.subscriber(`${root}-lost`, `${root}/other`, will('lost'));
      await lost.vanish();
      const wills = make.leavesWithWill ? ['polite', 'lost'] : ['lost'];
      await sees(
        watcher,
        wills.map((name) => `${root}/will/${name} 1 0 gone` as const),
      );
      await watcher.leave();
    });
  });
}

/** It has seen these, in this order, and nothing else. */
async function sees(client: Client, expected: readonly Seen[]): Promise<void> {
  await until(
    () => client.seen.length >= expected.length,
    PATIENCE_MS,
    () => `${client.seen.length} of ${expected.length} seen: ${client.seen.join(', ')}`,
  );
  assert.deepEqual(client.seen, expected);
}

function mosquitto(version: 'mqttv311' | 'mqttv5', protocol: 'mqtt' | 'mqtts'): Make {
  const common = (): readonly string[] => {
    const args = ['-V', version, '-h', 'localhost', '-p', urls.get(protocol)!.port];
    return protocol === 'mqtts' ? [...args, '--cafile', certificate] : args;
  };
  return {
    name: `mosquitto_sub and mosquitto_pub, ${version}, ${protocol}`,
    leavesWithWill: version === 'mqttv5',
    missing: whyMissing('mosquitto_sub', 'mosquitto_pub', 'stdbuf'),
    async subscriber(clientId, filter, will) {
      const seen: Seen[] = [];
      // Debug lines tell when the subscription is acknowledged.
      const args = ['-d', '-i', clientId, '-c', '-q', '2', '-t', filter, '-F', 'seen %t %q %r %p'];
      if (version === 'mqttv5') args.push('-x', '3600');
      if (will !== undefined)
        args.push('--will-topic', will.topic, '--will-payload', will.body, '--will-qos', '1');
      const program = new Program('stdbuf', ['-oL', 'mosquitto_sub', ...common(), ...args], {
        onLine: (line) => {
          if (line.startsWith('seen ')) seen.push(line.slice('seen '.length) as Seen);
        },
      });
      cleaning.push(() => program.end());
      await program.line(/^Subscribed /);
      return {
        seen,
        leave: async () => void (await program.end('SIGTERM')),
        vanish: async () => void (await program.end('SIGKILL')),
      };
    },
    async publish(topic, body, qos, retain = false) {
      const args = ['-t', topic, '-q', String(qos), ...(body === '' ? ['-n'] : ['-m', body])];
      if (retain) args.push('-r');
      const end = await runProgram('mosquitto_pub', [...common(), ...args]);
      assert.equal(end.code, 0, end.stderr);
    },
  };
}

function mqttJs(version: 4 | 5, protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'): Make {
  const open = (options: IClientOptions): MqttClient => {
    const listener = { mqtt: 'mqtt', mqtts: 'mqtts', ws: 'http', wss: 'https' }[protocol];
    const { port } = urls.get(listener)!;
    const path = protocol.startsWith('ws') ? '/mqtt' : '';
    const client = connect(`${protocol}://localhost:${port}${path}`, {
      protocolVersion: version,
      reconnectPeriod: 0,
      ca: readFileSync(certificate),
      ...options,
    });
    client.on('error', () => {});
    cleaning.push(() => client.end(true));
    return client;
  };
  return {
    name: `MQTT.js, version ${version}, ${protocol}`,
    async subscriber(clientId, filter, will) {
      const client = open({
        clientId,
        clean: false,
        ...(version === 5 ? { properties: { sessionExpiryInterval: 3_600 } } : {}),
        ...(will === undefined
          ? {}
          : { will: { topic: will.topic, payload: Buffer.from(will.body), qos: 1, retain: false } }),
      });
      const seen: Seen[] = [];
      // Set before the connection is there: what waited comes right behind CONNACK.
      client.on('message', (topic, body, { qos, retain }) =>
        seen.push(`${topic} ${qos} ${retain ? 1 : 0} ${body.toString()}`),
      );
      await heard(client, 'connect');
      await client.subscribeAsync(filter, { qos: 2 });
      return {
        seen,
        leave: () => client.endAsync(),
        vanish: async () => {
          const closed = heard(client, 'close');
          client.stream.destroy();
          await closed;
        },
      };
    },
    async publish(topic, body, qos, retain = false) {
      const client = open({ clean: true });
      await heard(client, 'connect');
      await client.publishAsync(topic, body, { qos, retain });
      await client.endAsync();
    },
  };
}

/** By `paho-client.py`, which does what it is told and tells what it sees. */
function paho(version: 4 | 5, protocol: 'mqtt' | 'mqtts' | 'ws'): Make {
  const script = fileURLToPath(new URL('../paho-client.py', import.meta.url));
  const common = (): readonly string[] => {
    const { port } = urls.get(protocol === 'ws' ? 'http' : protocol)!;
    const ca = protocol === 'mqtts' ? certificate : '';
    return [script, String(version), protocol === 'ws' ? 'websockets' : 'tcp', port, ca];
  };
  return {
    name: `paho-mqtt, version ${version}, ${protocol}`,
    missing: whyMissing('paho.mqtt.client'),
    async subscriber(clientId, filter, will) {
      const seen: Seen[] = [];
      const willWords = will === undefined ? [] : [will.topic, will.body];
      const words = [...common(), 'subscribe', clientId, filter, ...willWords];
      const program = new Program(SYSTEM_PYTHON, words, {
        onLine: (line) => {
          if (line.startsWith('seen ')) seen.push(line.slice('seen '.length) as Seen);
        },
      });
      cleaning.push(() => program.end());
      await program.line(/^subscribed$/);
      return {
        seen,
        leave: async () => void (await program.end('SIGTERM')),
        vanish: async () => void (await program.end('SIGKILL')),
      };
    },
    async publish(topic, body, qos, retain = false) {
      const words = [...common(), 'publish', topic, body, String(qos), retain ? '1' : '0'];
      const end = await runProgram(SYSTEM_PYTHON, words);
      assert.equal(end.code, 0, end.stderr);
    },
  };
}

function heard(client: MqttClient, event: 'connect' | 'close'): Promise<unknown> {
  return once(client as unknown as EventEmitter, event, { signal: AbortSignal.timeout(PATIENCE_MS) });
}
