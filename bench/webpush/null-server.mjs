/** Answers each read with 201: the ceiling of the load. Prints its port; ends when its standard input does. */
import { createServer } from 'node:net';

const ANSWER = Buffer.from('HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n');

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', () => socket.write(ANSWER));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit(0));
