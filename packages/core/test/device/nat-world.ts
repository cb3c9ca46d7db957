/**
 * A device's machine, a box that forgets silent connections, and a server that knows canaries, under a virtual clock. The device
 * sleeps; what it gets is carried packet by packet over a path with a delay.
 *
 * The box is as Linux has it: strict, what belongs to no connection that it knows is dropped; loose, what comes from inside makes the
 * connection known again, so that a ping is answered although nothing sent before from outside had come in.
 */
import assert from 'node:assert/strict';
import { decodeUtf8, encodeUtf8, type InstantMs, type Prng } from '../../src/base/index.js';
import {
  DeviceMachine,
  type DeviceInput,
  type DeviceOptions,
  type DeviceOutput,
  type KeepalivePolicy,
  type NetworkKnowledge,
} from '../../src/device/index.js';
import { MqttDecoder, noProperties, type Packet, type PublishPacket } from '../../src/wire/mqtt/index.js';
import { ackPacket, encode, publishPacket } from '../session/mqtt/harness.js';

export interface NatOptions {
  readonly keepalive: KeepalivePolicy;
  readonly prng: Prng;
  /** The silence after which the box of a network forgets a connection, ms. */
  readonly timeoutMs: (key: string, nowMs: number) => number;
  readonly isLoose?: boolean;
  /** What belongs to no connection is answered with a reset, not dropped. Strict only. */
  readonly resets?: boolean;
  /** Share of pushes into canaries that are lost for no reason of the box's, 0 … 1. */
  readonly falseDeaths?: () => number;
  /** What the server says it takes; 0: it knows no canaries. */
  readonly canarySilenceMsMax?: number;
  /** Refuses canaries with this reason code though it has offered them. */
  readonly canaryReason?: () => number;
  /** What the server hints at for a network, ms. */
  readonly hintMs?: (key: string) => number | undefined;
  /** How much longer than others the server takes for a canary's CONNACK, ms. */
  readonly canaryDelayMs?: number;
  /** How much later than it was asked to the server pushes, ms. */
  readonly pushDelayMs?: number;
  /** The app reads what comes on a canary at once, also while it sleeps. */
  readonly isNeverFrozen?: boolean;
  readonly device?: Partial<DeviceOptions>;
}

/** A transport, both ends of it. */
interface Wire {
  readonly number: number;
  readonly decoder: MqttDecoder;
  readonly isCanary: boolean;
  readonly key: string;
  /** When a packet passed last, either way, ms. */
  passedMs: number;
  /** What the server has sent and the box did not let in: sent again when the device makes the connection known again. */
  readonly held: Packet[];
  /** The server's end. */
  isOpen: boolean;
  /** The server's machine does not know it any more. */
  isUnknown: boolean;
  silenceMs: number;
  isSent: boolean;
  /** The silence after which the server keeps it alive, ms; 0: it does not. */
  gapMs: number;
}

interface Event {
  readonly dueMs: number;
  readonly run: () => void;
}

/** First byte of a PINGREQ. */
const PINGREQ = 0xc0;

const DELAY_MS = 40;
const DELAY_SPREAD_MS = 40;

export class NatWorld {
  nowMs = 0;
  key = 'n0';
  machine!: DeviceMachine;
  /** On the device's disk. */
  knowledge: NetworkKnowledge | undefined;
  outputs: DeviceOutput[] = [];
  /** Times that the device asked for a sign of life. */
  wakes = 0;
  /** Wake windows that have not ended, and when the last began. */
  openWindows = 0;
  windowMs = 0;
  windows = 0;
  /** Time in which a message would not have come in, while the server thought that there is a connection, ms. */
  outageMs = 0;
  /** Silences of the canaries that were opened, in order, and the time at which. */
  readonly canaries: { readonly silenceMs: number; readonly atMs: number }[] = [];
  /** Messages sent, and those that came in. */
  sent = 0;
  readonly reached = new Map<string, number>();
  /** What the device has said below `$line/`. */
  readonly said: { readonly topic: string; readonly value: Record<string, unknown> }[] = [];
  /** The platform opens connections. */
  hasPath = true;
  /** With which the server answers publications of QoS 1. */
  publishReason = 0;
  readonly #options: NatOptions;
  readonly #wires = new Map<number, Wire>();
  /** The server's: the one that is live, and the canary it knows of. */
  #main: Wire | null = null;
  #canary: Wire | null = null;
  readonly #events: Event[] = [];
  #frozen: (() => void)[] = [];
  #isThawed = false;

  constructor(options: NatOptions) {
    this.#options = options;
    this.launch();
  }

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  get isOnline(): boolean {
    return this.machine.status.kind === 'online';
  }

  /** The app begins, with what is on disk; one that was there has died. */
  launch(): void {
    for (const wire of this.#wires.values()) this.#later(() => this.#closeAtServer(wire));
    this.#wires.clear();
    this.#frozen = [];
    this.openWindows = 0;
    this.#isThawed = false;
    const { keepalive, prng, device } = this.#options;
    this.machine = new DeviceMachine({
      deviceId: 'd1',
      sessionExpirySeconds: 86_400,
      keepalive,
      knowledge: this.knowledge,
      windowMs: 10_000,
      cursor: undefined,
      seed: prng.nextUint32(),
      ...device,
    });
    this.input({ kind: 'network', key: this.key });
    this.input({ kind: 'start' });
    this.input({ kind: 'activity', activity: 'asleep' });
  }

  input(input: DeviceInput): void {
    this.machine.handleInput(this.now, input);
    this.#drain();
  }

  runUntil(endMs: number): void {
    for (;;) {
      const eventMs = this.#events[0]?.dueMs ?? Infinity;
      const timerMs = this.machine.nextTimeoutMs();
      const nextMs = Math.min(eventMs, timerMs);
      if (nextMs > endMs) break;
      this.#pass(Math.max(this.nowMs, nextMs));
      if (eventMs <= timerMs) this.#events.shift()!.run();
      else {
        this.#thaw();
        this.machine.handleTimeout(this.now);
      }
      this.#drain();
    }
    this.#pass(endMs);
  }

  /** The device is on another network; what was open is lost without a word. */
  move(key: string): void {
    this.key = key;
    this.input({ kind: 'network', key });
  }

  /** The server dies and starts again. */
  restart(): void {
    for (const wire of this.#wires.values()) {
      wire.isOpen = false;
      this.#later(() => this.#closeAtDevice(wire));
    }
    this.#main = null;
    this.#canary = null;
  }

  /** The server's machine loses power and comes back: it knows no connection any more, and answers what comes on one with a reset. */
  reboot(): void {
    for (const wire of this.#wires.values()) {
      wire.isOpen = false;
      wire.isUnknown = true;
    }
    this.#main = null;
    this.#canary = null;
  }

  /** The server sends a message, QoS 1. */
  send(text: string): void {
    this.sent += 1;
    const main = this.#main;
    if (main === null) return;
    this.#toDevice(
      main,
      publishPacket({ qos: 1, packetId: this.sent, topic: 'm', payload: encodeUtf8(text) }),
    );
  }

  /** The server says something on the main connection. */
  tell(fields: Partial<PublishPacket>): void {
    assert.ok(this.#main !== null);
    this.#toDevice(this.#main, publishPacket(fields));
  }

  // The device's platform.

  #drain(): void {
    for (let output = this.machine.pollOutput(); output !== undefined; output = this.machine.pollOutput()) {
      this.#do(output);
    }
    if (this.openWindows === 0) this.#isThawed = false;
  }

  #do(output: DeviceOutput): void {
    switch (output.kind) {
      case 'connect':
        return this.#connect(output.connection, output.role === 'canary');
      case 'write':
        return this.#fromDevice(output.connection, output.bytes.slice());
      case 'close': {
        const wire = this.#wires.get(output.connection);
        this.#wires.delete(output.connection);
        if (wire !== undefined) this.#later(() => this.#closeAtServer(wire));
        return;
      }
      case 'store-knowledge':
        this.knowledge = output.knowledge;
        return;
      case 'window':
        this.openWindows += 1;
        this.windows += 1;
        this.windowMs = this.nowMs;
        return this.#thaw();
      case 'window-over':
        this.openWindows -= 1;
        return;
      case 'message': {
        const { id, body } = output.message;
        const text = decodeUtf8(body, 0, body.length)!;
        this.reached.set(text, (this.reached.get(text) ?? 0) + 1);
        return this.input({ kind: 'finish', message: id, isHandled: true });
      }
      case 'store-cursor':
        return this.input({ kind: 'cursor-stored' });
      default:
        this.outputs.push(output);
    }
  }

  #connect(number: number, isCanary: boolean): void {
    const wire: Wire = {
      number,
      decoder: new MqttDecoder({ maxPacketBytes: 1 << 20, protocolVersion: 5 }),
      isCanary,
      key: this.key,
      passedMs: this.nowMs,
      held: [],
      isOpen: true,
      isUnknown: false,
      silenceMs: 0,
      isSent: false,
      gapMs: 0,
    };
    this.#wires.set(number, wire);
    const { hasPath } = this;
    this.#later(() => {
      if (this.#wires.get(number) !== wire) return;
      const kind = hasPath ? 'transport-open' : 'transport-closed';
      this.machine.handleInput(this.now, { kind, connection: number });
    });
  }

  /** A frozen app reads what came on its canary when something else wakes it. */
  #thaw(): void {
    if (this.#isThawed) return;
    this.#isThawed = true;
    for (const run of this.#frozen.splice(0)) run();
  }

  #isFrozen(wire: Wire): boolean {
    return wire.isCanary && this.openWindows === 0 && this.#options.isNeverFrozen !== true;
  }

  #closeAtDevice(wire: Wire, isReset = false): void {
    if (this.#wires.get(wire.number) !== wire) return;
    this.#wires.delete(wire.number);
    const tell = (): void =>
      this.machine.handleInput(this.now, { kind: 'transport-closed', connection: wire.number, isReset });
    if (this.#isFrozen(wire)) this.#frozen.push(tell);
    else tell();
  }

  // The path and its box.

  #later(run: () => void, ms = DELAY_MS + DELAY_SPREAD_MS * this.#options.prng.nextFloat()): void {
    const dueMs = this.nowMs + ms;
    const index = this.#events.findIndex((event) => event.dueMs > dueMs);
    this.#events.splice(index < 0 ? this.#events.length : index, 0, { dueMs, run });
  }

  #pass(nowMs: number): void {
    const main = this.#main;
    if (main !== null && main.key === this.key) {
      const forgottenMs = main.passedMs + this.#options.timeoutMs(main.key, this.nowMs);
      this.outageMs += Math.max(0, nowMs - Math.max(this.nowMs, forgottenMs));
    }
    this.nowMs = nowMs;
  }

  #isKnown(wire: Wire): boolean {
    return (
      wire.key === this.key && this.nowMs - wire.passedMs < this.#options.timeoutMs(wire.key, this.nowMs)
    );
  }

  #fromDevice(number: number, bytes: Uint8Array): void {
    const wire = this.#wires.get(number);
    if (wire === undefined || wire.key !== this.key) return;
    if (bytes[0] === PINGREQ) this.wakes += 1;
    if (!this.#isKnown(wire) && this.#options.isLoose !== true) {
      if (this.#options.resets === true) this.#later(() => this.#closeAtDevice(wire, true));
      return;
    }
    wire.passedMs = this.nowMs;
    for (const packet of wire.held.splice(0)) this.#toDevice(wire, packet);
    this.#later(() => this.#serve(wire, bytes));
  }

  #toDevice(wire: Wire, packet: Packet): void {
    this.#later(() => {
      if (!this.#isKnown(wire)) {
        wire.held.push(packet);
        return;
      }
      wire.passedMs = this.nowMs;
      const chunk = encode(5, packet);
      const deliver = (): void => {
        // Not of an app that has died meanwhile.
        if (this.#wires.get(wire.number) !== wire) return;
        this.machine.handleInput(this.now, { kind: 'bytes', connection: wire.number, chunk });
      };
      if (this.#isFrozen(wire)) this.#frozen.push(deliver);
      else deliver();
    });
  }

  // The server.

  #closeAtServer(wire: Wire): void {
    wire.isOpen = false;
    if (this.#main === wire) this.#main = null;
  }

  #serve(wire: Wire, bytes: Uint8Array): void {
    if (wire.isUnknown) return this.#later(() => this.#closeAtDevice(wire, true));
    if (!wire.isOpen) return;
    wire.decoder.push(bytes);
    for (let packet = wire.decoder.next(); packet !== undefined; packet = wire.decoder.next()) {
      assert.notEqual(packet.type, 'malformed');
      this.#handlePacket(wire, packet as Packet);
    }
  }

  #handlePacket(wire: Wire, packet: Packet): void {
    switch (packet.type) {
      case 'connect': {
        const asked = packet.properties.userProperties?.find(([name]) => name === 'wakeline-canary')?.[1];
        assert.equal(asked !== undefined, wire.isCanary, 'only a canary is one');
        return wire.isCanary ? this.#openCanary(wire, Number(asked)) : this.#openMain(wire);
      }
      case 'pingreq':
        return this.#toDevice(wire, { type: 'pingresp' });
      case 'publish':
        assert.ok(!wire.isCanary, 'a canary says nothing');
        return this.#handlePublish(wire, packet);
      case 'disconnect':
        return this.#closeAtServer(wire);
      case 'puback':
        return;
      default:
        throw new Error(`${packet.type} was not expected`);
    }
  }

  #openMain(wire: Wire): void {
    // As a server does: the old one is taken over, and its canary forgotten.
    if (this.#main !== null) this.#main.isOpen = false;
    this.#main = wire;
    this.#canary = null;
    const { canarySilenceMsMax = 7_200_000 } = this.#options;
    const offer = [['wakeline-canary', String(canarySilenceMsMax)]] as const;
    const properties = { userProperties: canarySilenceMsMax > 0 ? offer : [] };
    this.#toDevice(wire, { type: 'connack', sessionPresent: true, reasonCode: 0, properties });
  }

  #openCanary(wire: Wire, silenceMs: number): void {
    assert.ok(Number.isSafeInteger(silenceMs) && silenceMs >= 1_000 && silenceMs <= 7_200_000);
    assert.ok((this.#options.canarySilenceMsMax ?? 1) > 0, 'no canary was offered');
    const reasonCode = this.#options.canaryReason?.() ?? 0;
    this.canaries.push({ silenceMs, atMs: this.nowMs });
    const connack = { type: 'connack', sessionPresent: false, reasonCode, properties: noProperties } as const;
    this.#later(() => this.#toDevice(wire, connack), this.#options.canaryDelayMs ?? 0);
    if (reasonCode !== 0) return this.#closeAtServer(wire);
    const old = this.#canary;
    if (old?.isOpen === true) {
      old.isOpen = false;
      this.#toDevice(old, { type: 'disconnect', reasonCode: 0x8e, properties: noProperties });
    }
    this.#canary = wire;
    wire.silenceMs = silenceMs;
    const { canaryDelayMs = 0, pushDelayMs = 0 } = this.#options;
    this.#later(() => this.#push(wire), silenceMs + canaryDelayMs + pushDelayMs);
  }

  #push(wire: Wire): void {
    if (!wire.isOpen || this.#canary !== wire) return;
    wire.isSent = true;
    if (this.#options.prng.nextFloat() < (this.#options.falseDeaths?.() ?? 0)) return;
    this.#toDevice(wire, answer('$line/canary', { silence: wire.silenceMs }));
  }

  #handlePublish(wire: Wire, { topic, payload, qos, packetId }: PublishPacket): void {
    const text = decodeUtf8(payload, 0, payload.length)!;
    const value = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    this.said.push({ topic, value });
    if (qos === 1) this.#toDevice(wire, ackPacket('puback', packetId, this.publishReason));
    const canary = this.#canary;
    switch (topic) {
      case '$line/alive': {
        const known = canary && { silence: canary.silenceMs, sent: canary.isSent, open: canary.isOpen };
        return this.#toDevice(wire, answer(topic, known === null ? {} : { canary: known }));
      }
      case '$line/network': {
        const hint = this.#options.hintMs?.(String(value['network']));
        return this.#toDevice(wire, answer(topic, { network: value['network'], hint }));
      }
      case '$line/state':
        if (typeof value['gap'] === 'number') this.#keep(wire, value['gap']);
        break;
      default:
    }
  }

  /** Keepalives of the server's own, which wake nobody: after each silence of the gap that the device has named last. */
  #keep(wire: Wire, gapMs: number): void {
    const isKept = wire.gapMs > 0;
    wire.gapMs = gapMs;
    if (isKept) return;
    const look = (): void => {
      if (this.#main !== wire || !this.#isKnown(wire)) return;
      const leftMs = wire.passedMs + wire.gapMs - this.nowMs;
      if (leftMs <= 0) wire.passedMs = this.nowMs;
      this.#later(look, leftMs > 0 ? leftMs : wire.gapMs);
    };
    this.#later(look, gapMs);
  }
}

function answer(topic: string, value: Readonly<Record<string, unknown>>): Packet {
  return publishPacket({ topic, payload: encodeUtf8(JSON.stringify(value)) });
}
