/** Which filters match which topics, by what is delivered. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { summary } from '../session/mqtt/harness.js';
import { publishesIn, TestServer, textsOf } from './exchange.js';

const versions = [4, 5] as const;

type Row = readonly [title: string, filter: string, matching: readonly string[], others: readonly string[]];

const rows: readonly Row[] = [
  [
    '[MQTT5 4.7.1-1] [MQTT3 4.7.1-2] # is any number of levels, none too',
    'sport/tennis/#',
    ['sport/tennis', 'sport/tennis/', 'sport/tennis/a', 'sport/tennis/a/b'],
    ['sport', 'sport/tennisx', 'sport/golf/a'],
  ],
  [
    '[MQTT5 4.7.1-1] [MQTT3 4.7.1-2] # alone is everything',
    '#',
    ['a', '/', 'a/b/c', '/a'],
    ['$line/inbox/x'],
  ],
  [
    '[MQTT5 4.7.1-2] [MQTT3 4.7.1-3] + is one level, and not none',
    'sport/+',
    ['sport/', 'sport/a'],
    ['sport', 'sport/a/b'],
  ],
  ['[MQTT5 4.7.1-2] [MQTT3 4.7.1-3] + stands in the middle', 'a/+/c', ['a/b/c', 'a//c'], ['a/c', 'a/b/b/c']],
  [
    '[MQTT5 4.7.1-2] [MQTT3 4.7.1-3] + stands more than once',
    '+/+',
    ['/finance', 'a/b'],
    ['finance', '/a/b'],
  ],
  ['[MQTT5 4.7.1-2] [MQTT3 4.7.1-3] + stands with #', '+/tennis/#', ['x/tennis', '/tennis/a'], ['tennis/a']],
  [
    '[MQTT5 3.3.2-3, 4.7.3-4] [MQTT3 3.3.2-3, 4.7.3-4] every character counts',
    'Accounts payable/é',
    ['Accounts payable/é'],
    [
      'accounts payable/é',
      'Accounts payable/e\u0301',
      'Accounts  payable/é',
      '/Accounts payable/é',
      'Accounts payable/é/',
    ],
  ],
  [
    '[MQTT5 4.7.3-4] [MQTT3 4.7.3-4] nothing is done with dots, spaces and percent signs',
    'a/../b%2Fc',
    ['a/../b%2Fc'],
    ['b%2Fc', 'a/../b/c', 'a/../b%2fc'],
  ],
];

describe('filters and topics', () => {
  for (const [title, filter, matching, others] of rows) {
    test(title, async () => {
      for (const version of versions) {
        const server = new TestServer();
        const sender = await server.connect(version, 's');
        const client = await server.connect(version, 'd');
        assert.deepEqual(summary({ packets: await client.subscribe(filter) }), [['suback', [1]]]);
        for (const topic of [...matching, ...others]) await sender.publish(topic, topic, { retain: true });
        assert.deepEqual(
          (await client.messages()).map(({ topic }) => topic),
          matching,
        );
        // What is retained is found another way, and must be the same.
        const late = await server.connect(version, 'late');
        const retained = publishesIn(await late.subscribe(filter)).map(({ topic }) => topic);
        assert.deepEqual(retained.toSorted(), matching.toSorted());
      }
    });
  }

  test('[MQTT5 4.7.2-1] [MQTT3 4.7.2-1] a wildcard at the start does not match a $ at the start', async () => {
    for (const version of versions) {
      const server = new TestServer();
      const client = await server.connect(version, 'd');
      for (const filter of ['#', '+/inbox/#', '+/+/+']) await client.subscribe(filter);
      const sender = await server.connect(version, 's');
      for (const topic of ['$line/inbox/x', '$SYS/inbox/x', '$a']) await sender.publish(topic, topic);
      await sender.publish('a$/inbox/x', 'seen');
      assert.deepEqual(textsOf(await client.messages()), ['seen']);
    }
  });

  test('[MQTT5 4.7.1-1, 4.7.1-2] [MQTT3 4.7.1-2, 4.7.1-3] wildcards elsewhere are refused', async () => {
    for (const version of versions) {
      const client = await new TestServer().connect(version, 'd');
      for (const filter of ['a#', 'a/#/b', '#/a', '##', '#+', 'a+', '+a', 'a/b+/c', 'a/+b', '++', '+#']) {
        const packets = await client.subscribe(filter);
        assert.deepEqual(summary({ packets }), [['suback', [version === 5 ? 0x8f : 0x80]]], filter);
      }
    }
  });

  test('[MQTT5 4.7.3-3] [MQTT3 4.7.3-3] names and filters that are too long are refused', async () => {
    for (const version of versions) {
      const client = await new TestServer().connect(version, 'd');
      for (const length of [1_025, 65_535]) {
        const packets = await client.subscribe('x'.repeat(length));
        assert.deepEqual(summary({ packets }), [['suback', [version === 5 ? 0x8f : 0x80]]]);
      }
      const packets = await client.publish('x'.repeat(65_535), '', { qos: 1, packetId: 1 });
      assert.deepEqual(summary({ packets }), version === 5 ? [['puback', 0x90]] : []);
      assert.equal(client.closed, version === 5 ? undefined : 'topic-invalid');
    }
  });
});
