/** What an app may rely on, written against the SDK's public API alone: the same file is run in Node and in Chromium. */
import type { Call, Line, Message, Status } from '@wakeline/device/api';
import { check, comesAbout, rejects, same, type Behaviour, type World } from './world.js';

/** A line whose messages are collected, each acknowledged. */
async function collecting(
  world: World,
  options: Parameters<World['openLine']>[0] = {},
): Promise<{ readonly line: Line; readonly texts: string[] }> {
  const line = world.openLine(options);
  const texts: string[] = [];
  line.onMessage(async (message) => {
    texts.push(message.text());
    await message.ack();
  });
  await line.online();
  return { line, texts };
}

function arrives(texts: readonly string[], ...wanted: readonly string[]): Promise<void> {
  return comesAbout(
    () => wanted.every((text) => texts.includes(text)),
    () => `${wanted.join()} arrive; ${texts.join()} did`,
  );
}

export const behaviours: readonly Behaviour[] = [
  {
    title: 'connects, and gets what is sent to the device, with what the sender said of it',
    steps: [
      async (world) => {
        const line = world.openLine();
        await line.online();
        const messages = line.messages();
        await world.control.send('news', 'one');
        const { value } = (await messages.next()) as { readonly value: Message };
        same(
          [value.channel, value.text(), value.qos, value.retain],
          ['news', 'one', 1, false],
          'the message',
        );
        check(value.place!.sequence === 1 && value.encryption === undefined, 'it is the first, and plain');
        await value.ack();
        await line.close();
        same(line.status.kind, 'stopped', 'the status');
        same(await line.closed, undefined, 'how it ended');
      },
    ],
  },
  {
    title: 'subscribes and publishes, with properties of its own',
    steps: [
      async (world) => {
        const line = world.openLine();
        const messages = line.messages();
        await line.subscribe('rooms/+/talk');
        await line.publish('rooms/7/talk', '{"say":"hi"}', {
          contentType: 'application/json',
          userProperties: [['who', 'me']],
          expiry: '1m',
        });
        await line.publish('rooms/7/talk', Uint8Array.of(0, 255, 7), { qos: 0 });
        const got: Message[] = [];
        for await (const message of messages) {
          got.push(message);
          await message.ack();
          if (got.length === 2) break;
        }
        // QoS 0 may overtake.
        const json = got.find(({ qos }) => qos === 1)!;
        same(
          [json.topic, json.json(), json.contentType, json.userProperties, json.channel ?? null],
          ['rooms/7/talk', { say: 'hi' }, 'application/json', [['who', 'me']], null],
          'the message of QoS 1',
        );
        check(json.expirySeconds! > 0 && json.expirySeconds! <= 60, 'it expires');
        same([...got.find(({ qos }) => qos === 0)!.body], [0, 255, 7], 'the message of QoS 0');
        await rejects(line.subscribe('a/#/b'), 'MESSAGE_INVALID');
        await line.close();
        await rejects(line.publish('rooms/7/talk', 'late'), 'CLOSED');
      },
    ],
  },
  {
    title: 'gives no message again that was acknowledged, and each that was not, when the app was killed',
    steps: [
      async (world) => {
        const line = world.openLine();
        await line.online();
        for (const text of ['acknowledged', 'given back', 'left']) await world.control.send('news', text);
        const seen: string[] = [];
        for await (const message of line.messages()) {
          seen.push(message.text());
          if (message.text() === 'acknowledged') await message.ack();
          if (message.text() === 'given back') message.giveBack();
          if (seen.length === 3) break;
        }
        same(seen, ['acknowledged', 'given back', 'left'], 'the order');
        // And is killed.
      },
      async (world) => {
        await world.control.send('news', 'after it');
        const { line, texts } = await collecting(world);
        await arrives(texts, 'after it');
        same(texts, ['given back', 'left', 'after it'], 'what comes');
        await line.close();
      },
      async (world) => {
        const { line, texts } = await collecting(world);
        await world.control.send('news', 'last');
        await arrives(texts, 'last');
        same(texts, ['last'], 'what comes');
        await line.close();
      },
    ],
  },
  {
    title: 'gives a message back whose handler threw, warns of it, and gives it again',
    steps: [
      async (world) => {
        const warnings: string[] = [];
        const line = world.openLine({ onWarning: ({ code }) => void warnings.push(code) });
        line.onMessage(() => {
          throw new Error('not today');
        });
        let isTaken = '';
        try {
          line.messages();
        } catch (error) {
          isTaken = String((error as { readonly code?: unknown }).code);
        }
        same(isTaken, 'CONSUMER_TAKEN', 'a second consumer');
        await world.control.send('news', 'again');
        await comesAbout(() => warnings.includes('HANDLER_FAILED'), 'the warning');
        await line.close();
        const next = await collecting(world);
        await arrives(next.texts, 'again');
        await next.line.close();
      },
    ],
  },
  {
    title: 'comes back by itself when the server was killed, and misses nothing',
    steps: [
      async (world) => {
        const statuses: string[] = [];
        const { line, texts } = await collecting(world);
        void (async () => {
          for await (const { kind } of line.statuses()) statuses.push(kind);
        })();
        await line.subscribe('kept');
        await world.control.send('news', 'before');
        await arrives(texts, 'before');
        await world.control.killServer();
        await comesAbout(() => line.status.kind !== 'online', 'the loss is seen');
        const waiting = line.publish('kept', 'said while away');
        await rejects(line.publish('kept', 'said to nobody', { qos: 0 }), 'NOT_CONNECTED');
        await world.control.startServer();
        await world.control.send('news', 'after');
        await waiting;
        await arrives(texts, 'after', 'said while away');
        same(texts.length, 3, `how many came (${texts.join()})`);
        check(statuses.includes('waiting') && statuses.at(-1) === 'online', `statuses: ${statuses.join()}`);
        await line.close();
      },
    ],
  },
  {
    title: 'is offline without a network, and back with it gets what waited',
    steps: [
      async (world) => {
        const { line, texts } = await collecting(world);
        const statuses: string[] = [];
        void (async () => {
          for await (const { kind } of line.statuses()) statuses.push(kind);
        })();
        same(await world.control.activity(), 'active', 'what the server knows of it');
        await world.control.loseNetwork('news', 'waited');
        await arrives(texts, 'waited');
        same(statuses, ['online', 'offline', 'connecting', 'online'], 'where the line was');
        same((line.status as Extract<Status, { kind: 'online' }>).sessionPresent, true, 'the session');
        await line.close();
      },
    ],
  },
  {
    title: 'stays away when it is refused, says why, and tries again when it is told to',
    steps: [
      async (world) => {
        const line = world.openLine({ token: `${world.facts.token}x` });
        const { reasonCode } = await rejects(line.online(), 'REFUSED');
        check(Number(reasonCode) === 0x86 || Number(reasonCode) === 0x87, `the reason code ${reasonCode}`);
        same(line.status.kind, 'refused', 'the status');
        await rejects(line.publish('a', 'b'), 'CLOSED');
        line.retry();
        await comesAbout(() => line.status.kind !== 'refused', 'it tries again');
        await rejects(line.online(), 'REFUSED');
        await line.close();
        const good = world.openLine();
        await good.online();
        await good.close();
      },
    ],
  },
  {
    title: 'keeps a second line of the same device out, and lets it in when the first is closed',
    steps: [
      async (world) => {
        const first = world.openLine();
        await first.online();
        const second = world.openLine({ onWarning: () => undefined });
        same((await second.closed)?.code, 'STORAGE_LOCKED', 'how the second ended');
        await rejects(second.online(), 'STORAGE_LOCKED');
        same(first.status.kind, 'online', 'the first');
        await first.close();
        const third = world.openLine();
        await third.online();
        await third.close();
      },
      async (world) => {
        // The one before was killed, and holds nothing any more.
        const line = world.openLine();
        await line.online();
      },
      async (world) => {
        const line = world.openLine();
        await line.online();
        await line.close();
      },
    ],
  },
  {
    title:
      'opens what Web Push senders seal for a channel of it, in its order, before and after a kill of the app',
    steps: [
      async (world) => {
        const { control } = world;
        const line = world.openLine();
        const subscription = await line.push.subscribe('alerts');
        same(await line.push.subscribe('alerts'), subscription, 'the same again');
        same(await control.push(subscription, 'Zwölf Boxkämpfer', 'aes128gcm'), 201, 'the first push');
        await control.send('news', 'plain');
        same(await control.push(subscription, 'old coding', 'aesgcm'), 201, 'the second push');
        const got: (readonly [string | undefined, string, string | undefined])[] = [];
        for await (const message of line.messages()) {
          got.push([message.channel, message.text(), message.encryption]);
          await message.ack();
          if (got.length === 3) break;
        }
        const wanted = [
          ['alerts', 'Zwölf Boxkämpfer', 'opened'],
          ['news', 'plain', undefined],
          ['alerts', 'old coding', 'opened'],
        ];
        same(
          got.filter(([channel]) => channel === 'alerts'),
          [wanted[0], wanted[2]],
          'the channel',
        );
        same(got.toSorted(), wanted.toSorted(), 'all');
        await control.remember(JSON.stringify(subscription));
      },
      async (world) => {
        const { control } = world;
        const old = JSON.parse(await control.remembered()) as Parameters<typeof control.push>[0];
        const line = world.openLine();
        const messages = line.messages();
        const next = async (): Promise<Message> => (await messages.next()).value as Message;
        same(await control.push(old, 'to the next run', 'aes128gcm'), 201, 'a push');
        const first = await next();
        same([first.text(), first.encryption], ['to the next run', 'opened'], 'what comes');
        await first.ack();
        // Sealed with other keys.
        const stranger = { ...old, keys: { ...old.keys, auth: 'AAAAAAAAAAAAAAAAAAAAAA' } };
        same(await control.push(stranger, 'unreadable', 'aes128gcm'), 201, 'a push of a stranger');
        const second = await next();
        same(second.encryption, 'cannot-decrypt', 'what comes of it');
        await second.ack();
        const renewed = await line.push.subscribe('alerts', { renew: true });
        same(await control.push(old, 'to nobody', 'aes128gcm'), 410, 'a push to the endpoint of before');
        same(await control.push(renewed, 'renewed', 'aes128gcm'), 201, 'a push to the new one');
        const third = await next();
        same(third.text(), 'renewed', 'what comes');
        await third.ack();
        await line.push.unsubscribe('alerts');
        same(await control.push(renewed, 'to nobody', 'aes128gcm'), 410, 'a push to what has ended');
        const { refusal } = await rejects(line.push.subscribe('a/b'), 'REFUSED');
        same(refusal, 'channel-invalid', 'why it is refused');
        await line.close();
      },
    ],
  },
  {
    title:
      'rings for a call with its deadline; its user declines before any INVITE has come, and the caller hears 603',
    isCalled: true,
    steps: [
      async (world) => {
        const line = world.openLine();
        await line.online();
        const calls = line.calls();
        await world.control.call();
        const { value: call } = (await calls.next()) as { readonly value: Call };
        same([call.kind, call.end ?? null], ['call', null], 'the call');
        check(call.from!.includes('alice@'), `the caller ${call.from}`);
        check(call.deadline.getTime() > Date.now(), 'its deadline is to come');
        same(await call.decline(), 'done', 'what the server says');
        same(await world.control.callEnd(), '603 Decline', 'what the caller hears');
        await comesAbout(() => call.over.aborted, 'it is over');
        same(await call.answer(), 'over', 'what an answer is then');
        await line.close();
      },
    ],
  },
  {
    title:
      'takes a call off when its caller hangs up, and tells of one that was missed while the app was not there',
    isCalled: true,
    steps: [
      async (world) => {
        const line = world.openLine();
        await line.online();
        const rung: Call[] = [];
        line.onCall((call) => void rung.push(call));
        await world.control.call();
        await comesAbout(() => rung.length === 1, 'it rings');
        await world.control.hangUp();
        await comesAbout(() => rung[0]!.over.aborted, 'it is over');
        same(rung[0]!.end, 'cancelled', 'how it ended');
        await line.close();
      },
    ],
  },
];
