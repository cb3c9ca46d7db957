/**
 * What a behaviour of the SDK has around it, in Node and in a browser alike: the SDK's own API, and a way to ask the test for what
 * is outside of the app. Imports nothing of Node.
 */
import type { Line, LineOptions } from '@wakeline/device/api';

/** What the test tells an app. */
export interface Facts {
  /** Of the server, for this kind of app. */
  readonly url: string;
  readonly deviceId: string;
  readonly token: string;
}

/** A subscription as a sender gets it. */
export interface Sealed {
  readonly endpoint: string;
  readonly keys: { readonly p256dh: string; readonly auth: string };
}

/** What the test does when it is asked; each is a request of HTTP. */
export interface Control {
  /** A message for the device of this behaviour. */
  send(channel: string, body: string): Promise<void>;
  /** SIGKILL of the server, and its start. */
  killServer(): Promise<void>;
  startServer(): Promise<void>;
  /** Encrypted by a Web Push library; the status of the answer. */
  push(subscription: Sealed, text: string, coding: 'aes128gcm' | 'aesgcm'): Promise<number>;
  /** What the server says that the device does; undefined: it is not connected. */
  activity(): Promise<string | undefined>;
  /** Somebody calls the user of this device, and hangs up; the final answer that the caller gets. */
  call(): Promise<void>;
  hangUp(): Promise<void>;
  callEnd(): Promise<string>;
  /**
   * Takes the network away, sends a message to the device, and gives the network back. Resolves at once: without a network the app could
   * not hear of it. Whether the server learns that the device is gone is left open: where nothing leaves the machine any more it does not.
   */
  loseNetwork(channel: string, body: string): Promise<void>;
  /** Kept over restarts of the app. */
  remember(text: string): Promise<void>;
  remembered(): Promise<string>;
}

export interface World {
  readonly facts: Facts;
  readonly control: Control;
  /** A line of this device with the storage of this device, as an app of this platform opens it. */
  openLine(options?: Partial<LineOptions>): Line;
}

/** Between two steps the app is killed (in a browser: its page is loaded anew), and started again. */
export interface Behaviour {
  readonly title: string;
  readonly steps: readonly ((world: World) => Promise<void>)[];
  /** The device is that of a user who can be called. */
  readonly isCalled?: true;
}

/** How long something may take to come about, ms. */
const PATIENCE_MS = 60_000;

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`it is not so: ${what}`);
}

export function same(actual: unknown, wanted: unknown, what: string): void {
  const [is, be] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (is !== be) throw new Error(`${what}: ${is} and not ${be}`);
}

export async function comesAbout(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > end)
      throw new Error(`it does not come about: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Rejects unless the promise rejects with this code; resolves with the error. */
export async function rejects(promise: Promise<unknown>, code: string): Promise<Record<string, unknown>> {
  let error: Record<string, unknown>;
  try {
    await promise;
  } catch (caught) {
    error = caught as Record<string, unknown>;
    same(error['code'], code, `the code of ${String(caught)}`);
    return error;
  }
  throw new Error(`nothing is wrong where ${code} was wanted`);
}

/** The test, by HTTP. */
export function controlOver(controlUrl: string): Control {
  const ask = async (name: string, ...parameters: readonly unknown[]): Promise<unknown> => {
    const response = await fetch(`${controlUrl}/${name}`, {
      method: 'POST',
      body: JSON.stringify(parameters),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${name}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  };
  const names = [
    'send',
    'killServer',
    'startServer',
    'push',
    'activity',
    'call',
    'hangUp',
    'callEnd',
    'loseNetwork',
    'remember',
    'remembered',
  ] as const satisfies readonly (keyof Control)[];
  const entries = names.map((name) => [name, (...given: readonly unknown[]) => ask(name, ...given)]);
  return Object.fromEntries(entries) as Control;
}
