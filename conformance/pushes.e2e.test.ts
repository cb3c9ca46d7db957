/**
 * Pushes over HTTP to devices of which half are away, and a server that is killed again and again. At the end every
 * push that was answered with 201 or 202 has been delivered, or its receipt says what took its place.
 *
 * Short by default; WAKELINE_LONG=1 makes it 100,000 pushes to 10,000 devices and 10 kills. WAKELINE_SEED picks the run.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { Prng } from '@wakeline/core/base';
import { LedgerClient } from './ledger-client.js';
import { isToBeRepeated, processesOf, ServerProcess, sleep, temporaryDirectory, until } from './support.js';

const isLong = process.env['WAKELINE_LONG'] === '1';
const PUSHES = isLong ? 100_000 : 4_000;
const DEVICES = isLong ? 10_000 : 400;
const KILLS = isLong ? 10 : 4;
const SENDERS = 32;
const PATIENCE_MS = isLong ? 600_000 : 300_000;
const seed = Number(process.env['WAKELINE_SEED'] ?? 1);

/** All devices and senders of the test share an address. */
const environment = {
  WAKELINE_CONNECTS_PER_SECOND_PER_ADDRESS_MAX: '100000',
  WAKELINE_CONNECTIONS_PER_ADDRESS_MAX: '100000',
  WAKELINE_LIMITS_REGISTERS_PER_ADDRESS_MAX: '1000000',
};

interface Accepted {
  readonly device: number;
  readonly body: string;
  /** URL of its receipt, of those that carry a Topic. */
  readonly receipt: string | undefined;
}

for (const lines of isLong ? [0] : [0, 2]) {
  const where = lines === 0 ? 'in one process' : `with ${lines} lines`;
  test(`[PU-11] [PU-12] [PU-27] ${PUSHES} pushes to ${DEVICES} devices and ${KILLS} kills ${where}, seed ${seed}: each is delivered or accounted for`, (t) =>
    run(lines, t.diagnostic.bind(t)));
}

async function run(lines: number, diagnostic: (message: string) => void): Promise<void> {
  const directory = temporaryDirectory('wakeline-pushes');
  const server = await ServerProcess.create(directory.path);
  const agent = new Agent({ keepAlive: true, maxSockets: SENDERS });
  const devices = Array.from(
    { length: DEVICES },
    (_, index) => new LedgerClient(`d${index}`, server.mqttPort),
  );
  try {
    await server.start(['--lines', String(lines)], environment);
    const endpoints = await registerAll(devices);
    // Every second device is away until the end.
    for (let index = 1; index < DEVICES; index += 2) devices[index]!.destroy();
    await new Storm(server, lines, agent, devices, endpoints, diagnostic).run();
  } finally {
    agent.destroy();
    for (const device of devices) device.destroy();
    await server.kill();
    directory.remove();
  }
}

/** Each device connects, subscribes to its inbox and asks for an endpoint. */
async function registerAll(devices: readonly LedgerClient[]): Promise<URL[]> {
  const endpoints: URL[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < devices.length) {
      const index = next++;
      const device = devices[index]!;
      assert(await device.connect());
      await device.subscribe([{ filter: '$line/inbox/#', qos: 1 }]);
      device.publish('$line/endpoint', '{"channel":"news"}', 1);
      await until(
        () => device.unnumbered.length > 0,
        PATIENCE_MS,
        () => `${device.id} is answered`,
      );
      const [answer] = device.unnumbered;
      assert.equal(answer!.topic, '$line/endpoint/news');
      endpoints[index] = new URL((JSON.parse(answer!.body) as { endpoint: string }).endpoint);
    }
  };
  await Promise.all(Array.from({ length: 64 }, work));
  return endpoints;
}

class Storm {
  readonly #server: ServerProcess;
  readonly #lines: number;
  readonly #agent: Agent;
  readonly #devices: readonly LedgerClient[];
  readonly #endpoints: readonly URL[];
  readonly #diagnostic: (message: string) => void;
  readonly #prng = new Prng(seed);
  readonly #accepted: Accepted[] = [];
  #pushed = 0;
  #isOver = false;

  constructor(
    server: ServerProcess,
    lines: number,
    agent: Agent,
    devices: readonly LedgerClient[],
    endpoints: readonly URL[],
    diagnostic: (message: string) => void,
  ) {
    this.#server = server;
    this.#lines = lines;
    this.#agent = agent;
    this.#devices = devices;
    this.#endpoints = endpoints;
    this.#diagnostic = diagnostic;
  }

  async run(): Promise<void> {
    const keeping = this.#keepHalf();
    const begunMs = Date.now();
    const sending = Promise.all(Array.from({ length: SENDERS }, () => this.#sendAll()));
    await this.#killAll();
    await sending;
    const sentMs = Date.now() - begunMs;
    this.#isOver = true;
    await keeping;
    await this.#connectAll();
    await until(
      () => this.#nothingWaits(),
      PATIENCE_MS,
      () => 'messages still wait',
    );
    await this.#check(sentMs);
  }

  /** The devices that are not away come back whenever the server is there again. */
  async #keepHalf(): Promise<void> {
    while (!this.#isOver) {
      const gone = this.#devices.filter((device, index) => index % 2 === 0 && !device.isConnected);
      await Promise.all(gone.slice(0, 200).map((device) => device.connect()));
      await sleep(gone.length > 0 ? 20 : 200);
    }
  }

  async #connectAll(): Promise<void> {
    for (;;) {
      const gone = this.#devices.filter(({ isConnected }) => !isConnected);
      if (gone.length === 0) return;
      await Promise.all(gone.slice(0, 200).map((device) => device.connect()));
    }
  }

  async #sendAll(): Promise<void> {
    while (this.#pushed < PUSHES) {
      const number = this.#pushed++;
      const device = this.#prng.nextInteger(0, DEVICES - 1);
      const body = `p${number}`;
      // One in ten replaces what was pushed before it.
      const isReplacing = this.#prng.nextInteger(0, 9) === 0;
      const receipt = await this.#push(this.#endpoints[device]!, body, isReplacing);
      this.#accepted.push({ device, body, receipt });
    }
  }

  /** Pushes until the server says that it has it; the URL of the receipt, if there is one. */
  async #push(endpoint: URL, body: string, isReplacing: boolean): Promise<string | undefined> {
    const more: Record<string, string> = isReplacing ? { topic: 'latest', prefer: 'respond-async' } : {};
    const headers = { ttl: '86400', urgency: 'high', 'content-encoding': 'aes128gcm', ...more };
    for (;;) {
      const answer = await this.#call('POST', endpoint, headers, body);
      if (answer === undefined || isToBeRepeated(answer.status)) {
        await sleep(50);
        continue;
      }
      assert.equal(answer.status, isReplacing ? 202 : 201, answer.text);
      return isReplacing ? /^<([^>]+)>/.exec(String(answer.headers.link))![1] : undefined;
    }
  }

  /** undefined: the server is being killed under us. */
  async #call(
    method: string,
    url: URL,
    headers: Record<string, string> = {},
    body?: string,
  ): Promise<{ status: number; headers: IncomingHttpHeaders; text: string } | undefined> {
    const call = request(url, { method, headers, agent: this.#agent, timeout: 10_000 });
    call.once('timeout', () => call.destroy(new Error('timeout')));
    try {
      call.end(body);
      const [response] = await once(call, 'response');
      let text = '';
      for await (const chunk of response) text += String(chunk);
      return { status: response.statusCode, headers: response.headers, text };
    } catch {
      return undefined;
    }
  }

  async #killAll(): Promise<void> {
    for (let kills = 0; kills < KILLS; kills++) {
      const isDue = (PUSHES * (kills + 0.5)) / KILLS;
      await until(
        () => this.#pushed >= isDue,
        PATIENCE_MS,
        () => `${this.#pushed} pushed`,
      );
      await sleep(this.#prng.nextInteger(0, 150));
      // Of a server with lines: the hub, a line, everything, in turn.
      const part = this.#lines === 0 ? 2 : kills % 3;
      if (part === 2) {
        await this.#server.kill();
        await this.#server.start(['--lines', String(this.#lines)], environment);
        continue;
      }
      const processes = processesOf(this.#server);
      const victim = part === 0 ? processes.hub : processes.lines[this.#prng.nextInteger(0, this.#lines - 1)];
      if (victim !== undefined && victim > 0) process.kill(victim, 'SIGKILL');
    }
  }

  async #nothingWaits(): Promise<boolean> {
    const answer = await this.#call('GET', new URL(`${this.#server.url}/v1/statistics`));
    if (answer?.status !== 200) return false;
    return (JSON.parse(answer.text) as { waitingMessages: number }).waitingMessages === 0;
  }

  async #check(sentMs: number): Promise<void> {
    const delivered = this.#devices.map((device) => {
      assert.equal(device.fault, undefined, `${device.id}: ${device.fault}`);
      return new Set(device.received.map(({ body }) => body));
    });
    let replaced = 0;
    for (const { device, body, receipt } of this.#accepted) {
      const isDelivered = delivered[device]!.has(body);
      if (receipt === undefined) {
        assert(isDelivered, `d${device}: ${body} was answered with 201 and never came`);
        continue;
      }
      const answer = await this.#call('GET', new URL(receipt));
      assert.equal(answer?.status, 200, `the receipt of ${body}`);
      const { stage, reason } = JSON.parse(answer.text) as { stage: string; reason: string | null };
      if (stage === 'replaced') replaced++;
      else assert.equal(stage, 'acknowledged', `d${device}: ${body} (202) ended as ${stage}: ${reason}`);
      assert(isDelivered || stage === 'replaced', `d${device}: ${body} (202) is ${stage} and never came`);
    }
    // Nobody got what was for another.
    const owner = new Map(this.#accepted.map(({ device, body }) => [body, device]));
    for (const [index, bodies] of delivered.entries())
      for (const body of bodies) assert.equal(owner.get(body), index, `${body} came to d${index}`);
    const receipts = this.#accepted.filter(({ receipt }) => receipt !== undefined).length;
    this.#diagnostic(
      `${this.#accepted.length} pushes in ${(sentMs / 1_000).toFixed(1)} s with ${KILLS} kills; ` +
        `${receipts} with a receipt, of which ${replaced} replaced`,
    );
  }
}
