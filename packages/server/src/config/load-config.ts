/**
 * Reads file, environment and flags once, checks them together and gives the final `ServerConfig`.
 *
 * Flags win over the environment, the environment over the file. Every mistake is reported at once, each with
 * where it stands and what to do; nothing is guessed and nothing unknown is passed over.
 */
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { limits, nearestName, SECOND_MS } from '@wakeline/core/base';
import { SESSION_NEVER_EXPIRES } from '@wakeline/core/domain';
import { webPushLimits } from '@wakeline/core/session/webpush';
import type { Document, LineCounter } from 'yaml';
import { ServerError } from '../errors.js';
import { lazyModule } from '../lazy-module.js';
import { isTlsProtocol, secureProtocolOf } from './config.js';
import type { ListenerConfig, ServerConfig } from './config.js';
import { defaultDataDirectory } from './data-directory.js';
import { formatAddress, parseListenerUrl } from './listener-url.js';
import { checkSip, completeSip, isForTrunksOnly, sipOf } from './load-sip.js';
import { configSchema, knownKeys, plainListener } from './schema.js';
import type { ListenerEntry, ParsedConfig } from './schema.js';
import { environmentName, foreignVariablePattern, foreignVariables, settings } from './settings.js';

const yaml = lazyModule<typeof import('yaml')>('yaml');

/** A larger file is certainly not a configuration. */
const FILE_BYTES_MAX = 1024 * 1024;

/** Aliases may not unfold a small file into a large one. */
const ALIASES_MAX = 100;

export interface ConfigSources {
  /** Path of the YAML file; undefined: `WAKELINE_CONFIG`, or none. */
  readonly file?: string | undefined;
  /** Values by setting path (`listen`, `tls.cert`), as the flags gave them; undefined: not given. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
  /** Normally `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Relative paths of flags and environment begin here. Normally `process.cwd()`. */
  readonly workingDirectory: string;
  /** Normally `os.homedir()`. */
  readonly homeDirectory: string;
}

/** One thing that is wrong. */
export interface ConfigMistake {
  /** `wakeline.yaml:12`, `WAKELINE_LISTEN` or `--listen`. */
  readonly where: string;
  /** Key path; empty when the mistake belongs to no key. */
  readonly path: string;
  readonly what: string;
}

/** CONFIG_INVALID with the list of mistakes; the message has one line for each. */
export class ConfigError extends ServerError {
  readonly mistakes: readonly ConfigMistake[];

  constructor(mistakes: readonly ConfigMistake[]) {
    const line = ({ where, path, what }: ConfigMistake): string => {
      return [where, path, what].filter((part) => part !== '').join(': ');
    };
    super('CONFIG_INVALID', mistakes.map(line).join('\n'));
    this.mistakes = mistakes;
  }
}

/**
 * The configuration.
 * @throws ConfigError (CONFIG_INVALID) with every mistake; ServerError CONFIG_UNREADABLE for the file itself.
 */
export function loadConfig(sources: ConfigSources): ServerConfig {
  const tree = new SourceTree();
  const file = sources.file ?? nonEmpty(sources.environment['WAKELINE_CONFIG']);
  const filePath = file === undefined ? undefined : resolve(sources.workingDirectory, file);
  if (filePath !== undefined) tree.readFile(filePath);
  tree.readEnvironment(sources.environment);
  tree.readFlags(sources.flags ?? {});

  const parsed = configSchema.safeParse(tree.values);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      if (issue.code === 'unrecognized_keys') {
        for (const key of issue.keys) tree.refuseUnknown([...issue.path, key], knownKeys(issue.path));
      } else if (issue.code === 'custom') tree.refuse(issue.path, issue.message);
      else tree.refuse(issue.path, 'must be a mapping of keys to values');
    }
  }
  if (!parsed.success || tree.mistakes.length > 0) throw new ConfigError(tree.mistakes);
  const config = complete(parsed.data, tree, sources);
  if (tree.mistakes.length > 0) throw new ConfigError(tree.mistakes);
  return config;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

/** The merged values with the place each came from, and the mistakes found so far. */
class SourceTree {
  readonly values: Record<string, unknown> = {};
  readonly mistakes: ConfigMistake[] = [];
  readonly #origins = new Map<string, string>();
  #file: { readonly path: string; readonly document: Document; readonly lines: LineCounter } | undefined;

  readFile(path: string): void {
    const { LineCounter, parseDocument, isMap, isScalar } = yaml();
    const lines = new LineCounter();
    const document = parseDocument(readText(path), {
      lineCounter: lines,
      uniqueKeys: true,
      prettyErrors: false,
    });
    this.#file = { path, document, lines };
    for (const error of [...document.errors, ...document.warnings]) {
      const { line } = lines.linePos(error.pos[0]);
      this.mistakes.push({ where: `${path}:${line}`, path: '', what: error.message });
    }
    if (document.errors.length > 0) return;
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null))
      return;
    if (!isMap(document.contents)) {
      this.mistakes.push({ where: path, path: '', what: 'must be a mapping of keys to values' });
      return;
    }
    try {
      Object.assign(this.values, document.toJS({ maxAliasCount: ALIASES_MAX }));
    } catch (cause) {
      this.mistakes.push({ where: path, path: '', what: (cause as Error).message });
    }
  }

  readEnvironment(environment: Readonly<Record<string, string | undefined>>): void {
    const paths = new Map(settings.map(({ path }) => [environmentName(path), path]));
    for (const [name, value] of Object.entries(environment)) {
      if (value === undefined || value === '' || !name.startsWith('WAKELINE_')) continue;
      const path = paths.get(name);
      if (path !== undefined) {
        this.#set(path, value, name);
        continue;
      }
      if ((foreignVariables as readonly string[]).includes(name) || foreignVariablePattern.test(name))
        continue;
      const near = nearestName(name, [...paths.keys(), ...foreignVariables]);
      const advice = near === undefined ? 'see docs/configuration.md, or unset it' : `did you mean ${near}?`;
      this.mistakes.push({ where: name, path: '', what: `no such setting; ${advice}` });
    }
  }

  readFlags(flags: Readonly<Record<string, unknown>>): void {
    for (const { path, flag } of settings) {
      const value = flags[path];
      if (value !== undefined && flag !== undefined) this.#set(path, value, flag);
    }
  }

  #set(path: string, value: unknown, origin: string): void {
    const [first = '', second] = path.split('.');
    this.#origins.set(path, origin);
    if (second === undefined) {
      this.values[first] = value;
      return;
    }
    const before = this.values[first];
    // A group of the wrong kind in the file is kept, so that the schema refuses it.
    if (before !== undefined && (typeof before !== 'object' || before === null)) return;
    this.values[first] = { ...before, [second]: value };
  }

  /** The flag or variable that gave the value; else the file with its line; else nothing. */
  where(path: readonly PropertyKey[]): string {
    const origin = this.#origins.get(path.slice(0, 2).join('.')) ?? this.#origins.get(String(path[0]));
    if (origin !== undefined) return origin;
    if (this.#file === undefined) return '';
    const { path: filePath, document, lines } = this.#file;
    const { isMap, isScalar } = yaml();
    const parent = path.length > 1 ? document.getIn(path.slice(0, -1), true) : document.contents;
    const key = isMap(parent) ? parent.items.find(({ key: item }) => isKey(item, path.at(-1))) : undefined;
    const range = isScalar(key?.key) ? key.key.range : undefined;
    return range === undefined || range === null ? filePath : `${filePath}:${lines.linePos(range[0]).line}`;
  }

  /** Whether the value came from the file, whose folder then is the start of relative paths. */
  isFromFile(path: string): boolean {
    return this.#file !== undefined && !this.#origins.has(path);
  }

  get filePath(): string | undefined {
    return this.#file?.path;
  }

  refuse(path: readonly PropertyKey[], what: string): void {
    this.mistakes.push({ where: this.where(path), path: path.join('.'), what });
  }

  refuseUnknown(path: readonly PropertyKey[], known: readonly string[]): void {
    const near = nearestName(String(path.at(-1)), known);
    const advice = near === undefined ? `known here: ${known.join(', ')}` : `did you mean "${near}"?`;
    this.refuse(path, `no such key; ${advice}`);
  }
}

function isKey(item: unknown, key: PropertyKey | undefined): boolean {
  return yaml().isScalar(item) && item.value === key;
}

function readText(path: string): string {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) {
      throw new ServerError('CONFIG_UNREADABLE', `${path} is larger than 1 MiB; is it a configuration file?`);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    const why = cause instanceof TypeError ? 'it is not UTF-8' : (cause as Error).message;
    throw new ServerError('CONFIG_UNREADABLE', `cannot read the configuration file ${path}: ${why}`, {
      cause,
    });
  }
}

/** Fills in the defaults and applies the rules that join several keys. */
function complete(parsed: ParsedConfig, tree: SourceTree, sources: ConfigSources): ServerConfig {
  const absolute = (path: string, key: string): string => {
    const fromFile = tree.isFromFile(key) && tree.filePath !== undefined;
    return resolve(fromFile ? join(tree.filePath, '..') : sources.workingDirectory, path);
  };
  const entries = parsed.listen ?? defaultListeners;
  if (entries.length === 0) tree.refuse(['listen'], 'names no listener; remove it to have the defaults');
  const listeners = entries.map((entry) => listenerOf(entry, parsed, tree, absolute));
  refuseDuplicates(listeners, tree);

  const behindProxy = parsed.behindProxy ?? [];
  // With a proxy in front, a loopback listener is as public as the proxy.
  const isPrivate = listeners.every(({ isLoopback }) => isLoopback) && behindProxy.length === 0;
  const config: ServerConfig = {
    dataDirectory: parsed.data === undefined ? defaultDataDirectory(sources) : absolute(parsed.data, 'data'),
    listeners,
    insecure: parsed.insecure ?? false,
    behindProxy,
    publicUrl: parsed.publicUrl,
    anonymousDevices: parsed.anonymousDevices ?? isPrivate,
    openApi: parsed.openApi ?? isPrivate,
    users: parsed.users ?? [],
    logLevel: parsed.logLevel ?? 'info',
    mqtt: {
      packetBytesMax: parsed.mqtt?.packetBytesMax ?? limits.mqttPacketBytesMax,
      sessionExpirySecondsMax: parsed.mqtt?.sessionExpiryMax ?? SESSION_NEVER_EXPIRES,
      connectTimeoutMs: parsed.mqtt?.connectTimeout ?? 10 * SECOND_MS,
      serverKeepAliveSeconds: parsed.mqtt?.serverKeepAlive,
      keepAliveSecondsMax: parsed.mqtt?.keepAliveMax,
      keepAliveRequired: parsed.mqtt?.keepAliveRequired ?? false,
      silenceMsMax: parsed.mqtt?.silenceMax === 'off' ? undefined : parsed.mqtt?.silenceMax,
      tcpKeepAliveMs: tcpKeepAliveOf(parsed),
    },
    webpush: {
      broadcastsFile: broadcastsFileOf(parsed, tree, absolute),
      pingAfterMs:
        parsed.webpush?.pingAfter === 'off'
          ? undefined
          : (parsed.webpush?.pingAfter ?? webPushLimits.pingAfterMs),
      newAgentsPerAddressMax: parsed.webpush?.newAgentsPerAddressMax ?? webPushLimits.newAgentsPerAddressMax,
      newAgentsMax: parsed.webpush?.newAgentsMax ?? webPushLimits.newAgentsMax,
    },
    sip: completeSip(parsed.sip),
    limits: definedOnly(parsed.limits ?? {}),
    connectionsPerAddressMax: parsed.connectionsPerAddressMax ?? 10_000,
    connectsPerSecondPerAddressMax: parsed.connectsPerSecondPerAddressMax ?? 1_000,
    connectsPerSecondMax: parsed.connectsPerSecondMax ?? 2_000,
    handshakesMax: parsed.handshakesMax ?? 5_000,
    lines: parsed.lines ?? 0,
    restartFlowsPerSecond: parsed.restartFlowsPerSecond ?? 100,
  };
  refuseDuplicateUsers(config, tree);
  refuseWithoutEffect(config, tree);
  checkSip(config, (path, what) => tree.refuse(path, what));
  refusePublicWithoutProtection(config, tree);
  return config;
}

/** Idle time of a path that a device of the field's shorter habits would keep open by itself. */
const TCP_KEEP_ALIVE_MS = 240 * SECOND_MS;

function tcpKeepAliveOf(parsed: ParsedConfig): number | undefined {
  const asked = parsed.mqtt?.tcpKeepAlive ?? TCP_KEEP_ALIVE_MS;
  return asked === 'off' ? undefined : asked;
}

/** A rule that needs a value which is not there would do nothing, and nobody would know. */
function refuseWithoutEffect(config: ServerConfig, tree: SourceTree): void {
  const { keepAliveRequired, keepAliveSecondsMax, serverKeepAliveSeconds, silenceMsMax, tcpKeepAliveMs } =
    config.mqtt;
  if (keepAliveRequired && keepAliveSecondsMax === undefined && serverKeepAliveSeconds === undefined) {
    tree.refuse(['mqtt', 'keepAliveRequired'], 'needs mqtt.keepAliveMax, which says what is required');
  }
  if (silenceMsMax === undefined) return;
  if (tcpKeepAliveMs === undefined || config.behindProxy.length > 0) {
    tree.refuse(
      ['mqtt', 'silenceMax'],
      'needs TCP keepalives, which are off behind a proxy and by mqtt.tcpKeepAlive',
    );
  }
}

const defaultListeners: readonly ListenerEntry[] = ['http://127.0.0.1:8600', 'mqtt://127.0.0.1:1883'].map(
  plainListener,
);

function listenerOf(
  entry: ListenerEntry,
  parsed: ParsedConfig,
  tree: SourceTree,
  absolute: (path: string, key: string) => string,
): ListenerConfig {
  const address = parseListenerUrl(entry.url);
  if (typeof address === 'string') throw new ServerError('CONFIG_INVALID', address);
  const common = { ...address, ...sipOf(entry, address.protocol, (what) => tree.refuse(['listen'], what)) };
  if (!isTlsProtocol(address.protocol)) {
    const secure = secureProtocolOf(address.protocol);
    if (entry.certFile !== undefined)
      tree.refuse(['listen'], `${entry.url} takes no certificate; use ${secure}://`);
    return { ...common, tls: undefined };
  }
  const own = entry.certFile !== undefined;
  const certFile = own ? entry.certFile : parsed.tls?.cert;
  const keyFile = own ? entry.keyFile : parsed.tls?.key;
  if (certFile === undefined || keyFile === undefined) {
    tree.refuse(
      ['listen'],
      `${entry.url} needs a certificate; give tls.cert and tls.key (--tls-cert, --tls-key)`,
    );
    return { ...common, tls: undefined };
  }
  const tls = {
    certFile: absolute(certFile, own ? 'listen' : 'tls.cert'),
    keyFile: absolute(keyFile, own ? 'listen' : 'tls.key'),
  };
  refuseUnreadable(tls.certFile, own ? ['listen'] : ['tls', 'cert'], tree);
  refuseUnreadable(tls.keyFile, own ? ['listen'] : ['tls', 'key'], tree);
  return { ...common, tls };
}

function broadcastsFileOf(
  parsed: ParsedConfig,
  tree: SourceTree,
  absolute: (path: string, key: string) => string,
): string | undefined {
  const asked = parsed.webpush?.broadcasts;
  if (asked === undefined) return undefined;
  const file = absolute(asked, 'webpush.broadcasts');
  refuseUnreadable(file, ['webpush', 'broadcasts'], tree);
  return file;
}

function refuseUnreadable(file: string, path: readonly string[], tree: SourceTree): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    const what = `cannot read ${file} (${(cause as NodeJS.ErrnoException).code}); mend the path or its permissions`;
    if (!tree.mistakes.some((mistake) => mistake.what === what)) tree.refuse(path, what);
  }
}

function refuseDuplicates(listeners: readonly ListenerConfig[], tree: SourceTree): void {
  const seen = new Set<string>();
  for (const { protocol, host, port } of listeners) {
    const address = formatAddress(host.toLowerCase(), port);
    // The ports of UDP are others than those of TCP.
    const key = protocol === 'sip+udp' ? `udp ${address}` : address;
    if (port !== 0 && seen.has(key)) tree.refuse(['listen'], `${address} stands there twice; remove one`);
    seen.add(key);
  }
}

function refuseDuplicateUsers(config: ServerConfig, tree: SourceTree): void {
  const names = config.users.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) tree.refuse(['users'], `the user "${twice}" stands there twice; remove one`);
  for (const name of names) {
    // Devices of a user are called `<name>-…`: this user's would be the other's, too.
    const other = names.find((each) => name.startsWith(`${each}-`));
    if (other === undefined) continue;
    tree.refuse(['users'], `the user "${name}" is named like a device of the user "${other}"; rename one`);
  }
}

/** The one rule that keeps a server from being opened to the world by accident. */
function refusePublicWithoutProtection(config: ServerConfig, tree: SourceTree): void {
  if (config.insecure) return;
  const hasProxy = config.behindProxy.length > 0;
  for (const listener of config.listeners) {
    const { protocol, host, port, isLoopback, tls } = listener;
    if (isLoopback || isForTrunksOnly(listener, config.sip)) continue;
    const url = `${protocol}://${formatAddress(host, port)}`;
    const isProxied = hasProxy && protocol !== 'sip+udp';
    if (tls === undefined && !isProxied && !tree.mistakes.some(({ what }) => what.startsWith(url))) {
      const how = `use ${secureProtocolOf(protocol)}:// with tls.cert and tls.key`;
      const others = protocol.startsWith('sip+') ? 'let only trunks use it with trunksOnly, ' : '';
      const proxied =
        protocol === 'sip+udp' ? '' : 'name the proxy in front of it with --behind-proxy ADDR, ';
      tree.refuse(
        ['listen'],
        `${url} can be reached from other machines but has no TLS; ${how}, ${proxied}${others}` +
          `listen on 127.0.0.1, or accept the risk with --insecure`,
      );
    }
  }
  const isPublic = hasProxy || config.listeners.some(({ isLoopback }) => !isLoopback);
  if (!isPublic) return;
  const open = [
    ['anonymousDevices', config.anonymousDevices, 'any MQTT client in without a credential'],
    ['openApi', config.openApi, 'anyone use the HTTP API without a token'],
  ] as const;
  for (const [key, isOpen, what] of open) {
    if (!isOpen) continue;
    tree.refuse(
      [key],
      `true lets ${what}, and the server can be reached from other machines; remove it, or accept the risk with --insecure`,
    );
  }
}

function definedOnly<Values extends object>(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Values;
}
