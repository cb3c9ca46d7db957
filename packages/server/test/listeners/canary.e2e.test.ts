/** Canaries and what devices ask, over real sockets and with processes of their own for the sockets. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import mqttPacket from 'mqtt-packet';
import type { IConnackPacket, Packet } from 'mqtt-packet';
import { startLines } from '../../src/lines/index.js';
import {
  configOf,
  connectClient,
  encode,
  Inbox,
  listener,
  RawClient,
  startTestServer,
  temporaryDirectory,
} from './harness.js';

/** A canary's connection, packet by packet. */
class Canary {
  readonly #client: RawClient;
  readonly #packets: Packet[] = [];
  readonly #parser = mqttPacket.parser({ protocolVersion: 5 });

  private constructor(client: RawClient) {
    this.#client = client;
    this.#parser.on('packet', (packet) => this.#packets.push(packet));
  }

  static async connect(t: TestContext, port: number, clientId: string, silence: string): Promise<Canary> {
    const client = await RawClient.connect(t, port);
    const connect: Packet = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId,
      clean: false,
      keepalive: 0,
      properties: { userProperties: { 'wakeline-canary': silence } },
    };
    client.socket.write(encode(connect, 5));
    return new Canary(client);
  }

  /** The next packet; undefined: the connection was closed. */
  async next(): Promise<Packet | undefined> {
    while (this.#packets.length === 0) {
      const bytes = await this.#client.take(1);
      if (bytes.length === 0) return undefined;
      this.#parser.parse(bytes);
    }
    return this.#packets.shift();
  }

  async connack(): Promise<IConnackPacket> {
    const packet = await this.next();
    assert(packet?.cmd === 'connack');
    return packet;
  }

  async push(): Promise<unknown> {
    const packet = await this.next();
    assert(packet?.cmd === 'publish' && packet.topic === '$line/canary' && packet.qos === 0);
    return JSON.parse(packet.payload.toString());
  }

  send(packet: Packet): void {
    this.#client.socket.write(encode(packet, 5));
  }
}

async function passes(t: TestContext, url: string): Promise<void> {
  const port = Number(new URL(url).port);
  const main = await connectClient(t, url, {
    clientId: 'phone',
    protocolVersion: 5,
    clean: false,
    keepalive: 0,
    properties: { sessionExpiryInterval: 3_600 },
  });
  const answers = new Inbox(main);
  const ask = async (topic: string, body: string): Promise<unknown> => {
    await main.publishAsync(topic, body, { qos: 1 });
    const [answer] = await answers.take(1);
    assert.equal(answer!.topic, topic);
    return JSON.parse(answer!.text);
  };
  assert.deepEqual(await ask('$line/alive', ''), {});
  const first = await Canary.connect(t, port, 'phone', '7200000');
  assert.deepEqual(
    [(await first.connack()).reasonCode, await ask('$line/alive', '')],
    [0, { canary: { silence: 7_200_000, sent: false, open: true } }],
  );
  first.send({ cmd: 'pingreq' });
  assert.equal((await first.next())?.cmd, 'pingresp');
  const second = await Canary.connect(t, port, 'phone', '1000');
  const { reasonCode, sessionPresent } = await second.connack();
  assert.deepEqual([reasonCode, sessionPresent], [0, false]);
  const farewell = await first.next();
  assert(farewell?.cmd === 'disconnect' && farewell.reasonCode === 0x8e);
  assert.equal(await first.next(), undefined);
  assert.deepEqual(await second.push(), { silence: 1_000 });
  assert.deepEqual(await ask('$line/alive', ''), { canary: { silence: 1_000, sent: true, open: true } });
  second.send({ cmd: 'publish', topic: 'a', payload: 'b', qos: 0, dup: false, retain: false });
  const end = await second.next();
  assert(end?.cmd === 'disconnect' && end.reasonCode === 0x82);
  // The hub hears of the close a moment later.
  let alive = await ask('$line/alive', '');
  while ((alive as { canary: { open: boolean } }).canary.open) alive = await ask('$line/alive', '');
  assert.deepEqual(alive, { canary: { silence: 1_000, sent: true, open: false } });
  const foreign = await Canary.connect(t, port, 'somebody', '5000');
  assert.equal((await foreign.connack()).reasonCode, 0x83);
  const wrong = await Canary.connect(t, port, 'phone', '10');
  const refusal = await wrong.connack();
  assert.deepEqual(
    [refusal.reasonCode, /wakeline-canary/.test(refusal.properties?.reasonString ?? '')],
    [0x83, true],
  );
  assert.deepEqual(await ask('$line/call', '{"call":"1","intent":"decline"}'), {
    call: '1',
    outcome: 'unknown',
  });
  assert(main.connected, 'the main connection has not noticed anything');
}

describe('a device with a canary', () => {
  it('[KA-20] [KA-21] has its push, and its main connection is told of it', async (t) => {
    const server = await startTestServer(t, { listeners: [listener('mqtt'), listener('http')] });
    await passes(t, server.url('mqtt'));
    const metrics = await (await fetch(`${server.url('http')}/metrics`)).text();
    assert.match(metrics, /^wakeline_canaries 0$/m);
    assert.match(metrics, /^wakeline_canary_pushes_total 1$/m);
  });

  it(
    '[KA-20] [KA-21] has them in whichever process its sockets are',
    { skip: process.platform !== 'linux', timeout: 300_000 },
    async (t) => {
      const server = await startLines(configOf(await temporaryDirectory(t), { lines: 2 }));
      try {
        const { url } = server.addresses.find(({ protocol }) => protocol === 'mqtt')!;
        await passes(t, url);
      } finally {
        await server.stop();
      }
    },
  );
});
