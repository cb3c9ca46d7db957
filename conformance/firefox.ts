/**
 * Firefox without a window, with a profile of its own, steered by WebDriver BiDi, which it speaks itself: one WebSocket
 * with JSON, no driver in between.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATIENCE_MS, Program } from './program.js';
import { SteeringSocket } from './steering-socket.js';

/** Debian's name of it. */
export const FIREFOX = 'firefox-esr';

/** A value that a preference may have. */
export type Preference = string | number | boolean;

/** What makes push work against a server of one's own, without TLS and without a person to ask. */
export function pushPreferences(serverUrl: string): Readonly<Record<string, Preference>> {
  return {
    'dom.push.serverURL': serverUrl,
    'dom.push.testing.allowInsecureServerURL': true,
    ...attendedPreferences,
  };
}

/** The part of it that has nothing to do with the server. */
export const attendedPreferences: Readonly<Record<string, Preference>> = {
  // Firefox takes it back while a program steers it.
  'dom.push.connection.enabled': true,
  // Nobody is there to allow notifications.
  'dom.push.testing.ignorePermission': true,
  'permissions.default.desktop-notification': 1,
  'alerts.useSystemBackend': false,
  'dom.push.maxQuotaPerSubscription': 100_000,
  // The first attempt to connect again comes after this time, ms, and not after 5 s.
  'dom.push.retryBaseInterval': 250,
};

/** What a browser does by itself and a test does not want: traffic and first-run pages. */
const quietPreferences: Readonly<Record<string, Preference>> = {
  'app.normandy.enabled': false,
  'app.update.auto': false,
  'browser.aboutwelcome.enabled': false,
  'browser.newtabpage.activity-stream.feeds.topsites': false,
  'browser.region.network.url': '',
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.search.update': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'dom.security.https_first': false,
  'extensions.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.proxy.type': 0,
  'toolkit.telemetry.unified': false,
};

export interface FirefoxOptions {
  /** Kept over restarts: subscriptions and the device's identity are in it. */
  readonly profileDirectory: string;
  readonly preferences: Readonly<Record<string, Preference>>;
  /** Another program file than {@link FIREFOX}. */
  readonly program?: string;
}

/** Writes the profile; what is to be run then, by whomever. */
export function prepareFirefox(options: FirefoxOptions): {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
} {
  const { profileDirectory, program = FIREFOX } = options;
  mkdirSync(profileDirectory, { recursive: true });
  writePreferences(profileDirectory, { ...quietPreferences, ...options.preferences });
  const command = [program, '--headless', '--no-remote', '--profile', profileDirectory];
  command.push('--remote-debugging-port', '0', 'about:blank');
  // As root it refuses to run in the home of somebody else.
  return { command, env: { HOME: profileDirectory, MOZ_CRASHREPORTER_DISABLE: '1' } };
}

interface Answer {
  readonly type: 'success' | 'error' | 'event';
  readonly id: number;
  readonly result: unknown;
  readonly error: string;
  readonly message: string;
}

export class Firefox {
  readonly program: Program;
  readonly #socket: SteeringSocket<Answer>;
  #context = '';

  private constructor(program: Program, socket: SteeringSocket<Answer>) {
    this.program = program;
    this.#socket = socket;
  }

  /** Resolves when it can be steered. */
  static async start(options: FirefoxOptions): Promise<Firefox> {
    // It writes this file when it can be steered; one of a killed predecessor would lead astray.
    const addressFile = join(options.profileDirectory, 'WebDriverBiDiServer.json');
    rmSync(addressFile, { force: true });
    const { command, env } = prepareFirefox(options);
    const program = new Program(command[0], command.slice(1), { env });
    try {
      const written = await program.file(addressFile, (text) => text.endsWith('}'));
      const address = JSON.parse(written) as { readonly ws_host: string; readonly ws_port: number };
      const url = `ws://${address.ws_host}:${address.ws_port}/session`;
      const socket = await SteeringSocket.open<Answer>(program, url);
      const firefox = new Firefox(program, socket);
      // It listens before it has started: a machine that does much else takes long from there.
      await firefox.#command('session.new', { capabilities: {} }, 3 * PATIENCE_MS);
      const tree = (await firefox.#command('browsingContext.getTree', { maxDepth: 0 })) as {
        readonly contexts: readonly { readonly context: string }[];
      };
      firefox.#context = tree.contexts[0].context;
      return firefox;
    } catch (error) {
      await program.end();
      throw error;
    }
  }

  /** Resolves when the page is loaded. */
  async open(url: string): Promise<void> {
    await this.#command('browsingContext.navigate', { context: this.#context, url, wait: 'complete' });
  }

  /** Calls a function of the page that resolves with JSON. */
  async call(name: string, ...parameters: readonly string[]): Promise<unknown> {
    const answer = (await this.#command('script.callFunction', {
      functionDeclaration: `(...parameters) => ${name}(...parameters)`,
      arguments: parameters.map((value) => ({ type: 'string', value })),
      awaitPromise: true,
      target: { context: this.#context },
    })) as {
      readonly type: 'success' | 'exception';
      readonly result: { readonly value: string };
      readonly exceptionDetails: { readonly text: string };
    };
    if (answer.type === 'exception') throw new Error(`${name}: ${answer.exceptionDetails.text}`);
    return JSON.parse(answer.result.value);
  }

  /** Ends it as its user would: all that it keeps is written to the profile. */
  async quit(): Promise<void> {
    await this.#command('browser.close', {});
    await this.program.ended;
    this.#socket.terminate();
  }

  /** SIGKILL, if it still runs. */
  async kill(): Promise<void> {
    this.#socket.terminate();
    await this.program.end();
  }

  async #command(
    method: string,
    params: Readonly<Record<string, unknown>>,
    patienceMs = PATIENCE_MS,
  ): Promise<unknown> {
    const answer = await this.#socket.command({ method, params }, patienceMs);
    if (answer.type === 'success') return answer.result;
    throw new Error(`${method}: ${answer.error}: ${answer.message}`);
  }
}

/** Firefox reads this file at each start. */
function writePreferences(directory: string, preferences: Readonly<Record<string, Preference>>): void {
  const lines = Object.entries(preferences).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  );
  writeFileSync(join(directory, 'user.js'), lines.join(''));
}
