/**
 * Started by a test as a process of its own: opens many connections that never say a word, in batches, and holds
 * them. Arguments: port, connections, batch. Prints `opened N …` when all were made, and waits to be ended.
 */
import { connect } from 'node:net';

const [port, count, batch] = process.argv.slice(2).map(Number);
/** Loopback addresses that share the connections: the server counts by address. */
const ADDRESSES = 20;
let closed = 0;
let failed = 0;

for (let opened = 0; opened < count; opened += batch)
  await Promise.all(Array.from({ length: batch }, (_, index) => open(opened + index)));
process.stdout.write(`opened ${count} failed ${failed} closed ${closed}\n`);
process.stdin.resume().on('end', () => process.exit(0));

function open(index: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.1.${1 + (index % ADDRESSES)}` });
    let isOpen = false;
    socket.once('connect', () => {
      isOpen = true;
      resolve();
    });
    socket.on('error', () => {});
    socket.resume().once('close', () => {
      if (isOpen) closed++;
      else failed++;
      resolve();
    });
  });
}
