/**
 * The half of a server that holds the sockets: listeners, the gate, the pump with its flows, the HTTP API. The hub it
 * speaks to ({@link HubPort}) may be in this process or in another.
 */
import { createHash, randomBytes } from 'node:crypto';
import { limits as coreLimits } from '@wakeline/core/base';
import type { HashNetwork, MintEndpoint } from '@wakeline/core/domain';
import { MqttSession } from '@wakeline/core/session/mqtt';
import { AddressBudget, BroadcastTable, WebPushSession, webPushLimits } from '@wakeline/core/session/webpush';
import type { WebPushSessionOptions } from '@wakeline/core/session/webpush';
import type { ListenerConfig, ListenerProtocol, ServerConfig } from '../config/config.js';
import { createHttpApi, mintEndpoint } from '../http/index.js';
import type { HttpApi, HttpApiOptions } from '../http/index.js';
import { AddressList } from '../listeners/addresses.js';
import type { Peer } from '../listeners/addresses.js';
import { ConnectQueue } from '../listeners/connect-queue.js';
import { Gate } from '../listeners/gate.js';
import { openHttpListener } from '../listeners/http-listener.js';
import type { HttpListenerOptions } from '../listeners/http-listener.js';
import type { Listener, ListenerContext } from '../listeners/listener.js';
import { openStreamListener } from '../listeners/stream-listener.js';
import { openUdpListener } from '../listeners/udp-listener.js';
import { identifyAgent } from './agent-identity.js';
import { Authenticator } from './authenticator.js';
import { BroadcastFile } from './broadcast-file.js';
import type { Clock } from './clock.js';
import { Deadline } from './deadline.js';
import { descriptorsMax } from './host-limits.js';
import type { FlowSocket } from './flow-socket.js';
import type { HubPort } from './hub-port.js';
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';
import { Pump } from './pump.js';
import { defaultPublicUrl } from './public-url.js';
import { sipListenerOf } from './sip-listeners.js';
import type { SipSide } from './sip-side.js';

export interface LineSideOptions {
  readonly config: ServerConfig;
  readonly hub: HubPort;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: RuntimeLimits;
  /** Processes that share the listeners: limits of addresses are divided among them. */
  readonly shareCount: number;
  readonly findApiToken: HttpApiOptions['findApiToken'];
  readonly metricsText: HttpApiOptions['metricsText'];
  readonly backup: HttpApiOptions['backup'];
  /** As in {@link ListenerContext}. */
  readonly listen?: ListenerContext['listen'];
  readonly applyTcpKeepAlive?: ListenerContext['applyTcpKeepAlive'];
  /** The hub takes requests. */
  readonly isHubReady: () => boolean;
  /** Who speaks SIP; undefined: nobody does. */
  readonly sip?: SipSide | undefined;
}

export class LineSide {
  readonly pump: Pump;
  readonly #options: LineSideOptions;
  readonly #gate: Gate;
  readonly #connects: ConnectQueue;
  #api: HttpApi | undefined;
  readonly #listeners: Listener[] = [];
  readonly #broadcasts = new BroadcastTable();
  readonly #broadcastFile: BroadcastFile | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #publicUrl: string | undefined;
  #isReady = false;
  #isAccepting = true;

  constructor(options: LineSideOptions) {
    this.#options = options;
    this.#publicUrl = options.config.publicUrl;
    const { broadcastsFile } = options.config.webpush;
    if (broadcastsFile !== undefined) {
      const { limits, log } = options;
      this.#broadcastFile = new BroadcastFile(broadcastsFile, this.#broadcasts, limits.broadcastsPollMs, log);
    }
    this.pump = this.#makePump();
    this.#gate = this.#makeGate();
    this.#connects = new ConnectQueue({
      clock: options.clock,
      limits: options.limits,
      connectsPerSecondMax: options.config.connectsPerSecondMax / options.shareCount,
      openingCount: () => this.pump.openingCount,
    });
  }

  /** Where it listens, in the order of the configuration, with the ports really taken. */
  get addresses(): readonly { readonly protocol: ListenerProtocol; readonly url: string }[] {
    return this.#listeners.map(({ protocol, url }) => ({ protocol, url }));
  }

  /** Listeners whose idle connections the host itself watches. */
  get probingListeners(): number {
    return this.#listeners.filter(({ isProbing }) => isProbing).length;
  }

  /** Connections that wait for their turn. */
  get connectsWaiting(): number {
    return this.#connects.waitingCount;
  }

  /** Connections closed because too many waited, in all. */
  get connectsRefused(): number {
    return this.#connects.refused;
  }

  /** How the HTTP listeners are reached from outside; undefined: there is none. */
  get publicUrl(): string | undefined {
    return this.#publicUrl;
  }

  /** For sessions: endpoints below the public URL. */
  readonly mintEndpoint: MintEndpoint = () => {
    const url = this.#publicUrl;
    return url === undefined ? undefined : mintEndpoint(url);
  };

  /** It was started, and has not begun to leave. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when all listeners accept. */
  async start(): Promise<void> {
    this.pump.start();
    this.#broadcastFile?.start();
    this.#api = await this.#makeHttpApi();
    this.#sweepTimer = setInterval(() => this.#gate.sweep(), this.#options.limits.sweepMs);
    await this.#openListeners(this.#api);
    // A SIP stack that broke at once has ended everything already.
    this.#isReady = this.#isAccepting;
  }

  /** Reads certificates and broadcasts anew. */
  reload(): void {
    this.#broadcastFile?.read();
    for (const listener of this.#listeners) listener.reloadTls();
  }

  /** Nobody new comes in; connections stay. Idempotent. */
  stopAccepting(): void {
    this.#isReady = false;
    if (!this.#isAccepting) return;
    this.#isAccepting = false;
    this.#connects.close();
    for (const listener of this.#listeners) listener.stopAccepting();
  }

  /**
   * Finishes what was begun and tells the devices; what is not done by the deadline is left to their retries.
   * `whenHubIdle` resolves when the hub has answered everything.
   */
  async takeLeave(deadline: Deadline, whenHubIdle: () => Promise<unknown>): Promise<void> {
    const { pump } = this;
    pump.pauseReading();
    const requestsDone = this.#api?.close() ?? Promise.resolve();
    // Commits under way first: their senders are told that it is safe, and need not send again. A disk that hangs
    // must not take away the time for the goodbyes.
    const commitDeadline = new Deadline(this.#options.limits.stopMs / 2);
    await commitDeadline.over(whenHubIdle());
    commitDeadline.cancel();
    pump.shutDownSessions();
    await deadline.over(Promise.all([pump.whenEmpty(), requestsDone]));
    await deadline.over(whenHubIdle());
  }

  /** Lets go of every socket; resolves when the ports are free, or at the deadline. */
  async stop(deadline: Deadline): Promise<void> {
    this.pump.stop();
    this.#broadcastFile?.stop();
    clearInterval(this.#sweepTimer);
    await deadline.over(Promise.all(this.#listeners.map((listener) => listener.close())));
  }

  #makePump(): Pump {
    const { config, hub, clock, limits, log, shareCount } = this.#options;
    const { mqtt } = config;
    const sessionOptions = {
      maxPacketBytes: mqtt.packetBytesMax,
      messageBytesMax: config.limits.messageBytesMax ?? coreLimits.messageBytesMax,
      maxInflightInbound: limits.inboundInflightMax,
      sessionExpirySecondsMax: mqtt.sessionExpirySecondsMax,
      connectTimeoutMs: mqtt.connectTimeoutMs,
      ...(mqtt.serverKeepAliveSeconds !== undefined && {
        serverKeepAliveSeconds: mqtt.serverKeepAliveSeconds,
      }),
      ...(mqtt.keepAliveSecondsMax !== undefined && { keepAliveMsMax: mqtt.keepAliveSecondsMax * 1_000 }),
      keepAliveRequired: mqtt.keepAliveRequired,
      mintEndpoint: this.mintEndpoint,
      hashNetwork,
    };
    // Silence is no sign of death only where somebody else watches the path.
    const probedOptions =
      mqtt.silenceMsMax === undefined
        ? sessionOptions
        : { ...sessionOptions, silenceMsMax: mqtt.silenceMsMax };
    const webPushOptions = this.#webPushOptions();
    const authenticator = new Authenticator({
      users: config.users,
      anonymousDevices: config.anonymousDevices,
      limits: { ...limits, failedLoginsMax: Math.ceil(limits.failedLoginsMax / shareCount) },
      clock,
    });
    return new Pump({
      hub,
      clock,
      limits,
      log,
      createSession: (now, { link, peer, address, isPathProbed }) =>
        link === 'webpush'
          ? new WebPushSession(now, peer, address, webPushOptions)
          : new MqttSession(now, peer, isPathProbed ? probedOptions : sessionOptions),
      authenticate: (credentials) => authenticator.authenticate(credentials),
      identifyAgent,
    });
  }

  #webPushOptions(): WebPushSessionOptions {
    const { config, shareCount } = this.#options;
    const { newAgentsPerAddressMax, newAgentsMax, pingAfterMs } = config.webpush;
    return {
      mintEndpoint: this.mintEndpoint,
      broadcasts: this.#broadcasts,
      newAgents: new AddressBudget(
        Math.ceil(newAgentsPerAddressMax / shareCount),
        Math.ceil(newAgentsMax / shareCount),
        webPushLimits.budgetAddressesMax,
      ),
      pingAfterMs,
    };
  }

  #makeGate(): Gate {
    const { config, clock, limits, shareCount } = this.#options;
    const share = (whole: number): number => Math.ceil(whole / shareCount);
    const descriptors = descriptorsMax();
    return new Gate({
      clock,
      limits,
      connectionsMax:
        descriptors === undefined
          ? limits.connectionsMaxUnknown
          : Math.max(1, descriptors - limits.descriptorReserve),
      connectionsPerAddressMax: share(config.connectionsPerAddressMax),
      connectsPerSecondPerAddressMax: share(config.connectsPerSecondPerAddressMax),
      handshakesMax: share(config.handshakesMax),
      handshakeMs: config.mqtt.connectTimeoutMs,
    });
  }

  #makeHttpApi(): Promise<HttpApi> {
    const { config, clock, log, findApiToken, metricsText, backup, isHubReady } = this.#options;
    return createHttpApi({
      request: (request) => this.pump.request(request),
      findApiToken,
      openApi: config.openApi,
      isReady: () => this.#isReady && isHubReady(),
      publicUrl: () => this.#publicUrl,
      sipDomains: config.sip.domains,
      sipChallenge: config.sip.challenge,
      metricsText,
      backup,
      random: (bytes) => randomBytes(bytes),
      now: () => clock().wall,
      log,
      behindProxy: config.behindProxy,
      messageBytesMax: config.limits.messageBytesMax,
    });
  }

  async #openListeners(api: HttpApi): Promise<void> {
    const { config, clock, limits, log, listen, applyTcpKeepAlive } = this.#options;
    const context: ListenerContext = {
      gate: this.#gate,
      connects: this.#connects,
      limits,
      log,
      clock,
      proxies: new AddressList(config.behindProxy),
      insecure: config.insecure,
      tcpKeepAliveMs: config.mqtt.tcpKeepAliveMs,
      ...(listen === undefined ? {} : { listen }),
      ...(applyTcpKeepAlive === undefined ? {} : { applyTcpKeepAlive }),
      attach: (socket) => void this.pump.attach(socket),
    };
    const httpOptions = {
      handle: api.handle.bind(api),
      anonymousDevices: config.anonymousDevices,
      packetBytesMax: config.mqtt.packetBytesMax,
    };
    for (const listener of config.listeners) {
      this.#listeners.push(await this.#openListener(listener, context, httpOptions));
      this.#publicUrl = config.publicUrl ?? defaultPublicUrl(this.addresses.map(({ url }) => url));
    }
    this.#options.sip?.begin();
  }

  async #openListener(
    config: ListenerConfig,
    context: ListenerContext,
    httpOptions: HttpListenerOptions,
  ): Promise<Listener> {
    const { sip } = this.#options;
    const { protocol } = config;
    if (protocol === 'mqtt' || protocol === 'mqtts') {
      return openStreamListener(config, context, { link: 'mqtt', attach: context.attach });
    }
    const isHttp = protocol === 'http' || protocol === 'https';
    if (sip === undefined) {
      if (isHttp) return openHttpListener(config, context, httpOptions);
      throw new Error(`a ${protocol} listener without anybody who speaks SIP`);
    }
    const index = sip.listenerCount;
    if (protocol === 'sip+udp') {
      const udp = await openUdpListener(config, context, {
        handleDatagram: (remote, bytes) => sip.handleDatagram(index, remote, bytes),
        handleSendError: (error) => sip.handleSendError(error),
      });
      sip.addListener(sipListenerOf(config, udp.port), (remote, bytes) => udp.send(remote, bytes));
      return udp;
    }
    const transport = streamTransports[protocol];
    const attach = (socket: FlowSocket, peer: Peer): void => sip.attach(socket, transport, index, peer);
    const listener = isHttp
      ? await openHttpListener(config, context, { ...httpOptions, attachSip: attach })
      : await openStreamListener(config, context, { link: 'sip', attach });
    sip.addListener(sipListenerOf(config, listener.port));
    return listener;
  }
}

const hashNetwork: HashNetwork = (network) => createHash('sha256').update(network).digest('hex');

const streamTransports = { http: 'ws', https: 'wss', 'sip+tcp': 'tcp', sips: 'tls' } as const;
