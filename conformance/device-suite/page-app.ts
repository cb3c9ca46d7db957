/** Behaviours of the SDK in a page. The test calls `runStep`; what a page alone has is in `page`. */
import { openLine, type BrowserLineOptions, type Line } from '@wakeline/device/browser';
import { behaviours } from './behaviours.js';
import { controlOver, type Facts } from './world.js';

/** Lines that the test itself opens, by name. */
const lines = new Map<string, { readonly line: Line; readonly texts: string[] }>();

const page = {
  async runStep(controlUrl: string, facts: Facts, behaviour: string, step: number): Promise<void> {
    const { url, deviceId, token } = facts;
    await behaviours.find(({ title }) => title === behaviour)!.steps[step]!({
      facts,
      control: controlOver(controlUrl),
      openLine: (options = {}) => openLine({ url, deviceId, token, keepalive: 'none', ...options }),
    });
  },

  /** Opens a line whose messages are collected. */
  open(name: string, { url, deviceId, token }: Facts, options: Partial<BrowserLineOptions> = {}): void {
    const line = openLine({
      url,
      deviceId,
      token,
      keepalive: 'none',
      onWarning: () => undefined,
      ...options,
    });
    const texts: string[] = [];
    line.onMessage((message) => void texts.push(message.text()));
    lines.set(name, { line, texts });
  },

  /** Its status, or the code of what ended it. */
  async state(name: string): Promise<string> {
    const { line } = lines.get(name)!;
    const end = await Promise.race([line.closed, Promise.resolve('open' as const)]);
    return end === 'open' ? line.status.kind : (end?.code ?? 'closed');
  },

  texts(name: string): readonly string[] {
    return lines.get(name)!.texts;
  },

  async subscribePush(name: string): Promise<string> {
    return lines
      .get(name)!
      .line.push.subscribe('alerts')
      .then(
        ({ endpoint }) => endpoint,
        (error: { readonly code: string }) => error.code,
      );
  },

  close(name: string): Promise<void> {
    return lines.get(name)!.line.close();
  },
};

export type Page = typeof page;

Object.assign(globalThis, { page });
