/** What the behaviours of the SDK have on stage: a server, an HTTP server by which apps ask the test, and a caller. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import webPush from 'web-push';
import { RawSip, token as randomToken } from '../raw-sip.js';
import { DOMAIN, SipServer } from '../sip-server.js';
import { callersTrunk, TRUNK_ADDRESS } from '../sip-stage.js';
import { temporaryDirectory } from '../support.js';
import type { Control, Facts } from './world.js';

/** The app that asks: how its network is cut differs. */
export interface AskingApp {
  readonly facts: Facts;
  setNetwork(isThere: boolean): Promise<void>;
}

/** A bundle of a browser's app, as a page loads it. */
export async function bundle(entry: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(entry)],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    minify: true,
    write: false,
    logLevel: 'silent',
  });
  return outputFiles[0]!.text;
}

/** A call on its way, as its caller has it. */
interface Dialled {
  readonly callId: string;
  readonly via: string;
}

/** What these tests read of `GET /v1/devices/{id}`. */
interface DeviceView {
  readonly connected: boolean;
  /** null: it has no connection. */
  readonly activity: string | null;
  readonly subscriptions: readonly unknown[];
}

export class DeviceStage {
  readonly server: SipServer;
  readonly path: string;
  /** For apps to ask, and for pages to come from. */
  readonly site: Server;
  /** The one that runs now. */
  app: AskingApp | undefined;
  readonly #caller: RawSip;
  readonly #remove: () => void;
  #dialled: Dialled | undefined;
  #remembered = '';
  #losing: Promise<void> = Promise.resolve();

  private constructor(server: SipServer, caller: RawSip, path: string, remove: () => void, script: string) {
    this.server = server;
    this.path = path;
    this.#caller = caller;
    this.#remove = remove;
    this.site = createServer((request, response) => {
      if (request.method === 'POST') {
        text(request)
          .then((body) => this.#answer(request.url!.slice('/control/'.length), body))
          .then(
            (answer) => response.writeHead(200).end(JSON.stringify(answer)),
            (error: unknown) => response.writeHead(500).end(String(error)),
          );
      } else if (request.url === '/app.js') {
        response.writeHead(200, { 'Content-Type': 'text/javascript; charset=utf-8' }).end(script);
      } else {
        const page = '<!doctype html><title>app</title><script type="module" src="/app.js"></script>';
        response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
      }
    });
  }

  /** @param users who can be called. */
  static async open(users: readonly string[], script = ''): Promise<DeviceStage> {
    const directory = temporaryDirectory('wakeline-device-suite');
    const place = join(directory.path, 'server');
    const server = await SipServer.start({ directory: place, users, trunks: [callersTrunk] });
    const caller = await RawSip.udp(server.trunkPort, TRUNK_ADDRESS);
    const stage = new DeviceStage(server, caller, directory.path, () => directory.remove(), script);
    stage.site.listen(0, '127.0.0.1');
    await once(stage.site, 'listening');
    return stage;
  }

  get siteUrl(): string {
    return `http://127.0.0.1:${(this.site.address() as AddressInfo).port}`;
  }

  get controlUrl(): string {
    return `${this.siteUrl}/control`;
  }

  /** A device with a credential of its own. */
  async makeDevice(deviceId: string, url: string): Promise<Facts> {
    const { token } = (await this.#api('PUT', `/v1/devices/${encodeURIComponent(deviceId)}`, {})) as {
      readonly token: string;
    };
    return { url, deviceId, token };
  }

  get webSocketUrl(): string {
    return `${this.server.url.replace('http:', 'ws:')}/mqtt`;
  }

  get tcpUrl(): string {
    return `mqtt://127.0.0.1:${this.server.mqttPort}`;
  }

  async close(): Promise<void> {
    this.site.closeAllConnections();
    this.site.close();
    await this.#caller.end();
    await this.server.kill();
    this.#remove();
  }

  readonly control: Control = {
    send: async (channel, body) => {
      await this.#api('POST', `${this.#devicePath}/messages`, { channel, body });
    },
    killServer: () => this.server.kill(),
    startServer: () => this.server.restart(),
    push: async (subscription, message, coding) => {
      const { headers, body } = webPush.generateRequestDetails(subscription, message, {
        contentEncoding: coding,
        TTL: 60,
      }) as { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer };
      const sent = Object.entries(headers).filter(([name]) => name !== 'Content-Length');
      const response = await fetch(subscription.endpoint, {
        method: 'POST',
        headers: Object.fromEntries(sent.map(([name, value]) => [name, String(value)])),
        body: new Uint8Array(body),
      });
      return response.status;
    },
    activity: async () => {
      const { connected, activity } = await this.#device();
      return connected ? activity! : undefined;
    },
    call: async () => {
      const [user = ''] = this.app!.facts.deviceId.split('@');
      const callId = randomToken();
      const via = `UDP ${TRUNK_ADDRESS}:${this.#caller.port};branch=z9hG4bK${randomToken()};rport`;
      this.#dialled = { callId, via };
      this.#caller.send(this.#caller.request('INVITE', { to: user, callId, via }));
    },
    hangUp: async () => {
      const { callId, via } = this.#dialled!;
      const [user = ''] = this.app!.facts.deviceId.split('@');
      this.#caller.send(this.#caller.request('CANCEL', { to: user, callId, via }));
    },
    callEnd: async () => {
      const { answer } = await this.#caller.final(this.#dialled!.callId, 'INVITE', 1);
      return answer;
    },
    loseNetwork: async (channel, body) => {
      this.#losing = this.#loseNetwork(channel, body);
    },
    remember: async (remembered) => {
      this.#remembered = remembered;
    },
    remembered: async () => this.#remembered,
  };

  get #devicePath(): string {
    return `/v1/devices/${encodeURIComponent(this.app!.facts.deviceId)}`;
  }

  /** Whether the device of the app has a connection now; and its subscriptions. One that is not known has none. */
  async isConnected(): Promise<boolean> {
    return (await this.#device()).connected;
  }

  async subscriptionCount(): Promise<number> {
    return (await this.#device()).subscriptions.length;
  }

  /** What was begun by `loseNetwork` has been done. */
  settled(): Promise<void> {
    return this.#losing;
  }

  async #loseNetwork(channel: string, body: string): Promise<void> {
    await this.app!.setNetwork(false);
    await this.control.send(channel, body);
    await this.app!.setNetwork(true);
  }

  async #device(): Promise<DeviceView> {
    const response = await fetch(this.server.url + this.#devicePath);
    if (response.status === 404) return { connected: false, activity: null, subscriptions: [] };
    if (!response.ok) throw new Error(`${this.#devicePath}: ${response.status}`);
    return (await response.json()) as DeviceView;
  }

  async #answer(name: string, body: string): Promise<unknown> {
    if (!Object.hasOwn(this.control, name)) throw new Error(`'${name}' cannot be asked for`);
    const ask = this.control[name as keyof Control] as (...given: readonly unknown[]) => Promise<unknown>;
    return (await ask(...(JSON.parse(body) as readonly unknown[]))) ?? null;
  }

  async #api(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(this.server.url + path, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer}`);
    return JSON.parse(answer);
  }
}

/** Users that can be called: the device of each is named like its address. */
export function calledDeviceId(user: string): string {
  return `${user}@${DOMAIN}`;
}
