/** Drives one session of Mozilla's push protocol under a virtual clock: frames in, frames and commands out. */
import assert from 'node:assert/strict';
import { encodeUtf8, type InstantMs } from '../../../src/base/index.js';
import {
  noBytes,
  type Delivery,
  type Farewell,
  type Identity,
  type LinkCommand,
  type LinkEvent,
  type Refusal,
  type SessionInput,
  type SessionOutput,
} from '../../../src/domain/index.js';
import {
  AddressBudget,
  BroadcastTable,
  WebPushSession,
  type WebPushSessionOptions,
} from '../../../src/session/webpush/index.js';

export const knownSecret = '0123456789abcdef0123456789abcdef';
export const freshSecret = 'fedcba9876543210fedcba9876543210';
export const channelId = '5b29b6f5-9a4c-4d3a-8f0e-0d4c6a1b2c3d';
export const epoch = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7);
export const epochHex = '0001020304050607';

const agent: Identity = { kind: 'agent', sha256: 'hash of the known', freshSha256: 'hash of the fresh' };

/** What one input led to. */
export interface Turn {
  readonly authenticate: { readonly secret: string | undefined } | undefined;
  readonly commands: readonly LinkCommand[];
  readonly frames: readonly unknown[];
  readonly hasPinged: boolean;
  readonly close: { readonly reason: Refusal | undefined; readonly farewell: Farewell } | undefined;
}

export class Harness {
  readonly session: WebPushSession;
  readonly broadcasts = new BroadcastTable();
  nowMs = 1_000;
  minted = 0;

  constructor(options: Partial<WebPushSessionOptions> = {}) {
    this.session = new WebPushSession(this.now, '192.0.2.1:50000', '192.0.2.1', {
      mintEndpoint: () => {
        this.minted += 1;
        return { url: `https://push.example/wpush/${this.minted}`, tokenSha256: `hash ${this.minted}` };
      },
      broadcasts: this.broadcasts,
      newAgents: new AddressBudget(10, 10, 10),
      pingAfterMs: 600_000,
      ...options,
    });
  }

  get now(): InstantMs {
    return { monotonic: this.nowMs, wall: 1_700_000_000_000 + this.nowMs };
  }

  input(input: SessionInput): Turn {
    this.session.handleInput(this.now, input);
    return this.#drain();
  }

  /** One text frame. */
  text(text: string): Turn {
    const chunk = encodeUtf8(text);
    const turn = this.input({ kind: 'bytes', chunk });
    // What was lent is reused: nothing that is kept may point into it.
    chunk.fill(0x21);
    return turn;
  }

  send(frame: object): Turn {
    return this.text(JSON.stringify(frame));
  }

  events(...events: readonly LinkEvent[]): Turn {
    return this.input({ kind: 'events', events });
  }

  /** Moves the clock, and fires the timeout if it is due, as a driver does. */
  wait(ms: number): Turn {
    this.nowMs += ms;
    this.session.handleTimeout(this.now);
    return this.#drain();
  }

  authenticated(): Turn {
    return this.input({ kind: 'authenticated', identity: agent, freshSecret });
  }

  opened(isKnown = true): Turn {
    const event = { kind: 'opened', deviceId: 'agent-x', epoch, assigned: false, released: [] } as const;
    return this.events({ ...event, sessionPresent: isKnown });
  }

  /** Up to and with the answer to its hello. */
  open(isKnown = true, hello: object = {}): Turn {
    this.send({ messageType: 'hello', use_webpush: true, uaid: knownSecret, ...hello });
    this.authenticated();
    return this.opened(isKnown);
  }

  #drain(): Turn {
    const kinds: string[] = [];
    let authenticate: Turn['authenticate'];
    let commands: readonly LinkCommand[] = [];
    let frames: readonly unknown[] = [];
    let hasPinged = false;
    let close: Turn['close'];
    for (let output = this.session.pollOutput(); output !== undefined; output = this.session.pollOutput()) {
      assert.ok(!kinds.includes(output.kind), `two outputs of kind ${output.kind} in one turn`);
      assert.ok(!kinds.includes('close'), 'an output after close');
      kinds.push(output.kind);
      switch (output.kind) {
        case 'authenticate-agent':
          authenticate = { secret: output.secret };
          break;
        case 'commands':
          ({ commands } = output);
          break;
        case 'write':
          frames = framesOf(output);
          break;
        case 'ping':
          hasPinged = true;
          break;
        case 'close':
          assert.ok(output.farewell !== undefined, 'every close has a close code');
          close = { reason: output.reason, farewell: output.farewell };
          break;
        default:
          assert.fail(`a session of user agents does not say ${output.kind}`);
      }
    }
    return { authenticate, commands, frames, hasPinged, close };
  }
}

function framesOf({ bytes }: Extract<SessionOutput, { kind: 'write' }>): unknown[] {
  const text = Buffer.from(bytes).toString();
  assert.ok(text.endsWith('\n'), 'each frame is whole');
  return text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

export function delivery(sequence: number, fields: Partial<Delivery> = {}): LinkEvent {
  return {
    kind: 'deliver',
    delivery: {
      sequence,
      qos: 1,
      retain: false,
      duplicate: false,
      topic: encodeUtf8(`$line/inbox/${channelId}`),
      properties: noBytes,
      body: noBytes,
      expirySeconds: undefined,
      subscriptionIds: [],
      ...fields,
    },
  };
}
