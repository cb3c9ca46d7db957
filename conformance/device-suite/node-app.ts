/**
 * Behaviours of the SDK in Node, each step in a process of its own, which is there until it is killed.
 *
 *     node dist/device-suite/node-app.js CONTROL-URL FACTS BEHAVIOUR STEP STORAGE
 *
 * Standard output: `passed`, or `failed` and why. Standard input: `network true|false`, answered by `network`.
 */
import { createInterface } from 'node:readline';
import { openLine, processPlatform } from '@wakeline/device/node';
import { behaviours } from './behaviours.js';
import { controlOver, type Facts } from './world.js';

type Platform = ReturnType<typeof processPlatform>;
type Handler = Parameters<Platform['start']>[0];

const [controlUrl, facts, behaviour, step, storage] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];

/** Of open lines; a process does not hear of networks, so the test says when there is none. */
const handlers = new Set<Handler>();
function platform(): Platform {
  const plain = processPlatform();
  let own: Handler | undefined;
  return {
    ...plain,
    start: (handler) => {
      own = handler;
      handlers.add(handler);
    },
    stop: () => {
      if (own !== undefined) handlers.delete(own);
      return plain.stop();
    },
  };
}

createInterface(process.stdin).on('line', (line) => {
  for (const handler of handlers) handler.handleNetwork(line === 'network true' ? '' : undefined);
  console.log('network');
});

const { url, deviceId, token } = JSON.parse(facts) as Facts;
const world = {
  facts: { url, deviceId, token },
  control: controlOver(controlUrl),
  openLine: (options = {}) =>
    openLine({ url, deviceId, token, storage, platform: platform(), keepalive: 'none', ...options }),
} satisfies Parameters<(typeof behaviours)[0]['steps'][0]>[0];
try {
  await behaviours.find(({ title }) => title === behaviour)!.steps[Number(step)]!(world);
  console.log('passed');
} catch (error) {
  console.log(`failed ${JSON.stringify((error as Error).stack)}`);
}
