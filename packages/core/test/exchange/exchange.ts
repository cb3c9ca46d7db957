/**
 * A whole server without sockets: one hub over the store in memory, an MQTT session for each client, a clock that
 * moves when the test says so. A test says which packets a client sends, and sees which packets come.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Prng, type InstantMs } from '../../src/base/index.js';
import {
  openAccess,
  type AccessRules,
  type ControlReply,
  type ControlRequest,
  type FlowSession,
  type Identity,
  type Refusal,
  type SessionInput,
} from '../../src/domain/index.js';
import { Hub } from '../../src/hub/index.js';
import type { StoreChange } from '../../src/ports/index.js';
import { MqttSession, type MqttSessionOptions } from '../../src/session/mqtt/index.js';
import { MemoryStore } from '../../src/testing/index.js';
import {
  MqttDecoder,
  noProperties,
  type ConnectPacket,
  type Packet,
  type Properties,
  type ProtocolVersion,
  type PublishPacket,
  type SubscribeEntry,
} from '../../src/wire/mqtt/index.js';
import { ackPacket, connectPacket, defaults, encode, publishPacket } from '../session/mqtt/harness.js';

/** The one password that is not accepted. */
export const wrongPassword = new TextEncoder().encode('wrong');

/** One connection, whatever is spoken on it. */
export interface Connection {
  readonly session: FlowSession;
  readonly flow: number;
  /** As {@link Client.closed}. */
  closed: Refusal | null | undefined;
  /** Reads what the server wrote. */
  hear(bytes: Uint8Array): void;
}

/** One connection of a client. */
export class Client implements Connection {
  readonly version: ProtocolVersion;
  readonly session: MqttSession;
  readonly flow: number;
  /** Why the server closed; undefined while it did not. `null`: for no reason that the domain names. */
  closed: Refusal | null | undefined;
  /** What came and was not taken. */
  readonly received: Packet[] = [];
  readonly #server: TestServer;
  readonly #decoder: MqttDecoder;

  constructor(server: TestServer, version: ProtocolVersion, flow: number, session: MqttSession) {
    this.#server = server;
    this.version = version;
    this.flow = flow;
    this.session = session;
    this.#decoder = new MqttDecoder({ maxPacketBytes: 1 << 24, protocolVersion: version });
  }

  /** Sends, in one piece, and lets the server work until nothing is left to do. Returns what came since. */
  async send(...packets: readonly Packet[]): Promise<Packet[]> {
    return this.sendBytes(encode(this.version, ...packets));
  }

  async sendBytes(bytes: Uint8Array): Promise<Packet[]> {
    return this.input({ kind: 'bytes', chunk: Uint8Array.from(bytes) });
  }

  async input(input: SessionInput): Promise<Packet[]> {
    this.session.handleInput(this.#server.now, input);
    await this.#server.run();
    return this.take();
  }

  /** The network fails. */
  async vanish(): Promise<void> {
    await this.input({ kind: 'socket-closed' });
  }

  async leave(reasonCode = 0, properties: Properties = noProperties): Promise<Packet[]> {
    return this.send({ type: 'disconnect', reasonCode, properties });
  }

  async publish(topic: string, body: string, fields: Partial<PublishPacket> = {}): Promise<Packet[]> {
    return this.send(publishPacket({ topic, payload: new TextEncoder().encode(body), ...fields }));
  }

  async subscribe(
    filter: string,
    qos: 0 | 1 | 2 = 1,
    options: Partial<SubscribeEntry> = {},
    properties: Properties = noProperties,
  ): Promise<Packet[]> {
    const subscriptions = [subscription(filter, qos, options)];
    return this.send({ type: 'subscribe', packetId: 1, subscriptions, properties });
  }

  /** Takes what came. */
  take(): Packet[] {
    return this.received.splice(0);
  }

  /** Takes the messages that came, and answers each as its QoS wants. Nothing else may have come. */
  async messages(): Promise<PublishPacket[]> {
    const found: PublishPacket[] = [];
    for (let packets = this.take(); packets.length > 0; packets = this.take()) {
      const answers = packets.map((packet) => {
        if (packet.type === 'pubrel') return ackPacket('pubcomp', packet.packetId);
        assert.equal(packet.type, 'publish');
        const message = packet as PublishPacket;
        found.push(message);
        return message.qos === 0
          ? undefined
          : ackPacket(message.qos === 1 ? 'puback' : 'pubrec', message.packetId);
      });
      const packetsBack = await this.send(...answers.filter((answer) => answer !== undefined));
      this.received.push(...packetsBack);
    }
    return found;
  }

  /** Decodes what the server wrote. */
  hear(bytes: Uint8Array): void {
    this.#decoder.push(bytes);
    for (let packet = this.#decoder.next(); packet !== undefined; packet = this.#decoder.next()) {
      assert(packet.type !== 'malformed', 'the server writes packets that are well formed');
      this.received.push(structuredClone(packet));
    }
    assert.equal(this.#decoder.partialBytes, 0, 'the server writes whole packets');
  }
}

export class TestServer {
  readonly store = new MemoryStore();
  now: InstantMs = { monotonic: 1_000, wall: 1_700_000_000_000 };
  readonly #options: Partial<MqttSessionOptions>;
  readonly #access: AccessRules;
  #hub!: Hub;
  #clients = new Map<number, Connection>();
  readonly #replies = new Map<number, ControlReply>();
  #nextTicket = 1;
  #changes: readonly StoreChange[] | undefined;
  #nextFlow = 1;

  constructor(options: Partial<MqttSessionOptions> = {}, access: AccessRules = openAccess) {
    this.#options = options;
    this.#access = access;
    this.#start();
  }

  /** A connection on which nothing was said yet. */
  accept(version: ProtocolVersion): Client {
    const session = new MqttSession(this.now, '127.0.0.1:1', { ...defaults, ...this.#options });
    const client = new Client(this, version, this.#nextFlow++, session);
    this.#clients.set(client.flow, client);
    return client;
  }

  /** Takes over a connection, which `make` makes. */
  attach<Made extends Connection>(make: (flow: number) => Made): Made {
    const connection = make(this.#nextFlow++);
    this.#clients.set(connection.flow, connection);
    return connection;
  }

  /** Asks the hub, and gives its reply, which has come by then. */
  async request(request: DistributiveOmit<ControlRequest, 'ticket'>): Promise<ControlReply> {
    const ticket = this.#nextTicket++;
    this.#hub.handleInput(this.now, { kind: 'request', request: { ...request, ticket } as ControlRequest });
    await this.run();
    const reply = this.#replies.get(ticket);
    assert(reply !== undefined, `the hub replies to ${request.kind}`);
    return reply;
  }

  /** A client that has its CONNACK, and took it. Clean, unless the fields say otherwise. */
  async connect(
    version: ProtocolVersion,
    clientId: string,
    fields: Partial<ConnectPacket> = {},
  ): Promise<Client> {
    const client = this.accept(version);
    const [connack, ...more] = await client.send(connectPacket(version, { clientId, ...fields }));
    assert(connack?.type === 'connack' && connack.reasonCode === 0, 'the client is let in');
    client.received.push(...more);
    return client;
  }

  /** A client whose session outlives its connection: no clean start, and in 5.0 an hour. */
  async resume(
    version: ProtocolVersion,
    clientId: string,
    fields: Partial<ConnectPacket> = {},
  ): Promise<Client> {
    return this.connect(version, clientId, lasting(version, fields));
  }

  /** Moves the clock, fires what is due, and lets the server work until nothing is left to do. */
  async advance(ms: number): Promise<void> {
    this.now = { monotonic: this.now.monotonic + ms, wall: this.now.wall + ms };
    this.#hub.handleTimeout(this.now);
    for (const { session } of this.#clients.values()) session.handleTimeout(this.now);
    await this.run();
  }

  /** The server dies and starts again on its store. Connections are gone, and nobody is told. */
  async restart(): Promise<void> {
    this.#clients = new Map();
    this.#start();
    await this.run();
  }

  /** Carries outputs between sessions, hub and store until there are none. */
  async run(): Promise<void> {
    for (let isDone = false; !isDone;) {
      isDone = true;
      for (const client of this.#clients.values()) if (this.#drainSession(client)) isDone = false;
      if (this.#drainHub()) isDone = false;
      if (this.#changes !== undefined) {
        await this.store.commit(this.#changes);
        this.#changes = undefined;
        this.#hub.handleInput(this.now, { kind: 'committed' });
        isDone = false;
      }
    }
  }

  #start(): void {
    const prng = new Prng(1);
    const fill = (target: Uint8Array): Uint8Array => {
      for (let index = 0; index < target.length; index += 1) target[index] = prng.nextInteger(0, 255);
      return target;
    };
    this.#hub = new Hub({
      store: this.store,
      random: { fill },
      anonymousDevices: true,
      defaultAccess: this.#access,
      sessionExpirySecondsMax: 0xffff_ffff,
    });
    this.#hub.recover(this.now);
  }

  #drainSession(client: Connection): boolean {
    const { session, flow } = client;
    let isBusy = false;
    for (let output = session.pollOutput(); output !== undefined; output = session.pollOutput()) {
      isBusy = true;
      if (output.kind === 'write') client.hear(output.bytes);
      else if (output.kind === 'close') client.closed = output.reason ?? null;
      else if (output.kind === 'commands') {
        this.#hub.handleInput(this.now, { kind: 'link', flow, commands: output.commands });
      } else if (output.kind === 'authenticate-agent') {
        session.handleInput(this.now, identifyAgent(output.secret));
      } else if (output.kind === 'authenticate') {
        const isWrong = output.password !== undefined && Buffer.compare(output.password, wrongPassword) === 0;
        session.handleInput(
          this.now,
          isWrong
            ? { kind: 'denied', reason: 'bad-credentials' }
            : { kind: 'authenticated', identity: identityOf(output.password) },
        );
        // There is no socket whose path could be probed.
      } else if (output.kind !== 'probe-path') {
        throw new Error(`an MQTT session does not say ${output.kind}`);
      }
    }
    if (client.closed !== undefined) this.#clients.delete(flow);
    return isBusy;
  }

  #drainHub(): boolean {
    let isBusy = false;
    do {
      for (let output = this.#hub.pollOutput(); output !== undefined; output = this.#hub.pollOutput()) {
        isBusy = true;
        if (output.kind === 'commit') this.#changes = output.changes;
        else if (output.kind === 'link') {
          const client = this.#clients.get(output.flow);
          client?.session.handleInput(this.now, { kind: 'events', events: output.events });
        } else if (output.kind === 'reply') this.#replies.set(output.reply.ticket, output.reply);
        else throw new Error(`a hub without calls does not say ${output.kind}`);
      }
    } while (this.#hub.hasMore);
    return isBusy;
  }
}

type DistributiveOmit<Value, Key extends PropertyKey> = Value extends unknown ? Omit<Value, Key> : never;

let secrets = 0;

/** As the server makes it, but the same in each run. */
function identifyAgent(presented: string | undefined): SessionInput & { kind: 'authenticated' } {
  const freshSecret = sha256(`secret ${(secrets += 1)}`).slice(0, 32);
  const identity = {
    kind: 'agent',
    sha256: presented === undefined ? undefined : sha256(presented),
    freshSha256: sha256(freshSecret),
  } as const;
  return { kind: 'authenticated', identity, freshSecret };
}

/** A password is the secret of a user agent. */
function identityOf(password: Uint8Array | undefined): Identity {
  return password === undefined ? { kind: 'anonymous' } : { kind: 'token', sha256: sha256(password) };
}

function sha256(secret: string | Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** CONNECT for a session that outlives its connection. */
export function lasting(
  version: ProtocolVersion,
  fields: Partial<ConnectPacket> = {},
): Partial<ConnectPacket> {
  const properties = version === 5 ? { sessionExpirySeconds: 3_600, ...fields.properties } : noProperties;
  return { clean: false, ...fields, properties };
}

export function subscription(
  filter: string,
  qos: 0 | 1 | 2 = 1,
  options: Partial<SubscribeEntry> = {},
): SubscribeEntry {
  return { filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0, ...options };
}

export const textOf = ({ payload }: PublishPacket): string => new TextDecoder().decode(payload);

export const textsOf = (messages: readonly PublishPacket[]): string[] => messages.map(textOf);

/** The packets that are messages. */
export function publishesIn(packets: readonly Packet[]): PublishPacket[] {
  return packets.filter((packet) => packet.type === 'publish');
}
