/**
 * Thousands of devices that come back at once, as after a power cut, mostly by one address: they are let in one after
 * the other, a device of another address does not wait for all of them, and who is connected goes on being served.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LedgerClient } from './ledger-client.js';
import { SleepingLine } from './sleeping-line.js';
import { ServerProcess, temporaryDirectory, until } from './support.js';

const STORM = 3_000;
const PER_SECOND = 300;

for (const lines of [0, 2]) {
  const where = lines === 0 ? 'in one process' : `with ${lines} lines`;
  test(`${STORM} connects at once ${where}: all are let in, in turn, and live connections are served`, async (t) => {
    const directory = temporaryDirectory('wakeline-connects');
    const server = await ServerProcess.create(directory.path);
    const port = server.mqttPort;
    const storm = Array.from(
      { length: STORM },
      (_, index) => new SleepingLine({ id: `d${index}`, port, localAddress: '127.0.9.1' }),
    );
    const live = new SleepingLine({ id: 'live', port, localAddress: '127.0.9.3' });
    const other = new SleepingLine({ id: 'other', port, localAddress: '127.0.9.2' });
    const sender = new LedgerClient('sender', port);
    try {
      await server.start(['--lines', String(lines)], {
        WAKELINE_CONNECTS_PER_SECOND_MAX: String(PER_SECOND),
        // This process, too, needs its time for so many.
        WAKELINE_MQTT_CONNECT_TIMEOUT: '60s',
      });
      await live.open();
      // A kernel whose queue of connections is full drops what comes for seconds; what is looked at is the turn of its CONNECT.
      await other.dial();
      assert(await sender.connect());
      const beginMs = Date.now();
      let letIn = 0;
      let lost: Error | undefined;
      for (const line of storm) {
        line.open().then(
          () => (letIn += 1),
          (error: Error) => (lost ??= error),
        );
      }
      await until(
        () => letIn >= 50,
        60_000,
        () => `${letIn} were let in`,
      );
      // A device of its own address has its turn after one connect of the storm, not after all.
      await other.open();
      const overtaken = STORM - letIn;
      assert(
        overtaken > STORM / 10,
        `${overtaken} of ${STORM} still waited when the other device was let in`,
      );
      // What is connected is served meanwhile.
      sender.publish('wake/live', 'in the storm', 1);
      await until(
        () => live.bodies.length === 1,
        60_000,
        () => 'a message came through the storm',
      );
      assert(STORM - letIn > 0, `${STORM - letIn} of ${STORM} still waited when the message came`);
      await until(
        () => letIn === STORM || lost !== undefined,
        120_000,
        () => `${letIn} were let in`,
      );
      assert.equal(lost, undefined, 'nobody was refused');
      const seconds = (Date.now() - beginMs) / 1_000;
      // No faster than allowed; whatever is slow here only makes it take longer.
      const secondsMin = (STORM * 0.95) / PER_SECOND;
      assert(seconds >= secondsMin, `all were let in within ${seconds} s, at least ${secondsMin} are needed`);
      assert(
        storm.every(({ closes, isConnected }) => closes === 0 && isConnected),
        'nobody was refused',
      );
      t.diagnostic(`all within ${seconds} s, ${overtaken} overtaken by the other address`);
    } finally {
      sender.destroy();
      for (const line of [live, other, ...storm]) line.destroy();
      assert.equal(await server.stop(), 0);
      directory.remove();
    }
  });
}
