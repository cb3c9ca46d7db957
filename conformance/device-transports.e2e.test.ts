/** The SDK at a real server by every transport that Node has: messages both ways, again after the server has died, and a certificate that is not ours. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openLine, type Line, type Message } from '@wakeline/device';
import { startWakeline, type Program } from './program.js';
import { freePort, temporaryDirectory, until } from './support.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../packages/server/test/fixtures/${name}`, import.meta.url));
const certificate = fixture('first.cert.pem');
const tls = { ca: readFileSync(certificate) };

const schemes = [
  { scheme: 'mqtt', listen: 'mqtt' },
  { scheme: 'mqtts', listen: 'mqtts' },
  { scheme: 'ws', listen: 'http' },
  { scheme: 'wss', listen: 'https' },
] as const;

async function withServer(
  run: (urls: ReadonlyMap<string, string>, restart: () => Promise<void>, directory: string) => Promise<void>,
) {
  const directory = temporaryDirectory('wakeline-device-transports');
  const ports = await Promise.all(schemes.map(() => freePort()));
  const urls = new Map(
    schemes.map(({ scheme }, index) => [scheme as string, `${scheme}://localhost:${ports[index]}`]),
  );
  const listens = schemes.map(({ listen }, index) => `--listen=${listen}://localhost:${ports[index]}`);
  const args = [
    `--data=${join(directory.path, 'data')}`,
    ...listens,
    `--tls-cert=${certificate}`,
    `--tls-key=${fixture('first.key.pem')}`,
  ];
  let server: Program | undefined;
  const start = async (): Promise<void> => {
    await server?.end('SIGKILL');
    ({ server } = await startWakeline(args));
  };
  try {
    await start();
    await run(urls, start, directory.path);
  } finally {
    await server?.end('SIGKILL');
    directory.remove();
  }
}

test('messages come and go over TCP, TLS, WebSocket and WebSocket over TLS, and go on when the server comes back', async () => {
  await withServer(async (urls, restart, directory) => {
    const lines = new Map<string, Line>();
    const got = new Map<string, string[]>();
    try {
      for (const [scheme, url] of urls) {
        const line = openLine({ url, deviceId: scheme, storage: join(directory, scheme), tls });
        lines.set(scheme, line);
        const texts: string[] = [];
        got.set(scheme, texts);
        line.onMessage((message: Message) => void texts.push(message.text()));
        await line.subscribe('all/#');
      }
      const all = (...texts: string[]): Promise<void> =>
        until(
          () => [...got.values()].every((have) => texts.every((text) => have.includes(text))),
          60_000,
          () => JSON.stringify([...got]),
        );
      for (const [scheme, line] of lines)
        await line.publish('all/x', scheme, { qos: scheme === 'ws' ? 0 : 1 });
      await all(...urls.keys());
      const long = 'x'.repeat(300_000);
      await lines.get('wss')!.publish('all/x', long);
      await all(long);
      await restart();
      await Promise.all([...lines.values()].map((line) => line.online()));
      await lines.get('mqtts')!.publish('all/x', 'again');
      await all('again');
      for (const [scheme, texts] of got) {
        // QoS 0 may come or not; the others once.
        const once = texts.filter((text) => text !== 'ws');
        assert.deepEqual(once.toSorted(), ['mqtt', 'mqtts', 'wss', long, 'again'].toSorted(), scheme);
      }
    } finally {
      await Promise.all([...lines.values()].map((line) => line.close()));
    }
  });
});

test('a certificate that nobody vouches for is not taken, and the line says so', async () => {
  await withServer(async (urls, _restart, directory) => {
    for (const scheme of ['mqtts', 'wss']) {
      const line = openLine({
        url: urls.get(scheme)!,
        deviceId: 'x',
        storage: join(directory, `no-${scheme}`),
      });
      for await (const { kind } of line.statuses()) if (kind === 'waiting') break;
      assert.match(String(line.lastError), /self-signed certificate/);
      await line.close();
    }
  });
});
