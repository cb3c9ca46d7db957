/**
 * A process of its own that opens many connections and says nothing on them. Tells its parent when all have been
 * opened and as many as the server does not want are closed again.
 *
 * Arguments: port, count, and how many the server keeps at most.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const [port, count, openMost] = process.argv.slice(2).map(Number) as [number, number, number];
const batch = 500;
/** Quiet for this long: the server has closed what it wanted to. */
const quietMs = 500;
let open = 0;
let lastChangeMs = performance.now();

function openOne(): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('connect', () => {
      open += 1;
      resolve();
    });
    socket.on('close', () => {
      lastChangeMs = performance.now();
      if (socket.remotePort === undefined) open -= 1;
      resolve();
    });
  });
}

for (let opened = 0; opened < count; opened += batch) {
  await Promise.all(Array.from({ length: Math.min(batch, count - opened) }, openOne));
}
while (open > openMost || performance.now() - lastChangeMs < quietMs)
  await new Promise((resolve) => setTimeout(resolve, 50));
process.send?.({ open });
