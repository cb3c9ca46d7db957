/** Calls as notifications, by an object with the documented interface of react-native-notify-kit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  showCallsByNotifications,
  type CallNotificationsOptions,
  type NotificationEvent,
  type NotificationShape,
  type NotificationsLike,
} from '../../../src/platform/react-native/notifications.js';
import { FakeCall, FakeLine, settle } from './fake-calls.js';

class FakeNotifications implements NotificationsLike {
  readonly channels: object[] = [];
  readonly categories: { readonly id: string; readonly actions: { readonly id: string }[] }[] = [];
  readonly shown = new Map<string, NotificationShape>();
  readonly observers = new Set<(event: NotificationEvent) => void>();
  failure: Error | undefined;

  async createChannel(channel: { readonly id: string }): Promise<string> {
    this.channels.push(channel);
    return channel.id;
  }

  async setNotificationCategories(
    categories: { readonly id: string; readonly actions: { readonly id: string }[] }[],
  ) {
    this.categories.push(...categories);
  }

  async displayNotification(notification: NotificationShape): Promise<string> {
    if (this.failure !== undefined) throw this.failure;
    this.shown.set(notification.id, notification);
    return notification.id;
  }

  async cancelNotification(id: string): Promise<void> {
    this.shown.delete(id);
  }

  onForegroundEvent(observer: (event: NotificationEvent) => void): () => void {
    this.observers.add(observer);
    return () => this.observers.delete(observer);
  }

  /** The event of a button of the only notification that is shown, 0: answer, 1: decline. */
  press(button: number): NotificationEvent {
    const [notification] = [...this.shown.values()];
    const { actions } = notification!.android as {
      readonly actions: { readonly pressAction: { readonly id: string } }[];
    };
    return { type: 2, detail: { notification: notification!, pressAction: actions[button]!.pressAction } };
  }
}

function start(options: Partial<CallNotificationsOptions> = {}) {
  const line = new FakeLine();
  const notifications = new FakeNotifications();
  const errors: unknown[] = [];
  const calls = showCallsByNotifications(line, notifications, {
    onError: (error) => void errors.push(error),
    ...options,
  });
  return { line, notifications, calls, errors };
}

test('a call is shown with two buttons, on both systems, and the answer reaches the server', async () => {
  const answered: string[] = [];
  const { line, notifications, errors } = start({ onAnswered: ({ id }) => void answered.push(id) });
  const call = new FakeCall('c1', 'sip:alice@example.org', 'Alice');
  const ringing = line.ring(call);
  await settle();
  const [notification] = [...notifications.shown.values()];
  assert.deepEqual([notification!.title, notification!.body], ['Alice', 'sip:alice@example.org']);
  assert.deepEqual(notification!.data, { call: 'c1' });
  const [category] = notifications.categories;
  assert.equal((notification!.ios as { readonly categoryId: string }).categoryId, category!.id);
  const { channelId, actions } = notification!.android as {
    readonly channelId: string;
    readonly actions: { readonly pressAction: { readonly id: string } }[];
  };
  assert.deepEqual(notifications.channels, [{ id: channelId, name: 'Calls', importance: 4 }]);
  assert.deepEqual(
    actions.map(({ pressAction }) => pressAction.id),
    category!.actions.map(({ id }) => id),
  );
  for (const observer of notifications.observers) observer(notifications.press(0));
  await ringing;
  assert.deepEqual([call.said, answered, errors], [['answer'], ['c1'], []]);
  assert.equal(notifications.shown.size, 0);
});

test('a button that is pressed while the app is in the background counts as well', async () => {
  const { line, notifications, calls } = start();
  const call = new FakeCall('c1');
  const ringing = line.ring(call);
  await settle();
  await calls.handleBackgroundEvent(notifications.press(1));
  await ringing;
  assert.deepEqual(call.said, ['decline']);
  assert.equal(notifications.shown.size, 0);
});

test('other events, and those of other notifications, are nothing to it', async () => {
  const { line, notifications, calls } = start();
  const call = new FakeCall('c1');
  const ringing = line.ring(call);
  await settle();
  const press = notifications.press(0);
  await calls.handleBackgroundEvent({ ...press, type: 1 });
  await calls.handleBackgroundEvent({ type: 2, detail: { ...press.detail, notification: { id: 'other' } } });
  await calls.handleBackgroundEvent({ type: 2, detail: { ...press.detail, pressAction: { id: 'default' } } });
  assert.deepEqual(call.said, []);
  assert(call.isAcknowledged);
  call.hangUp();
  await ringing;
  assert.equal(notifications.shown.size, 0);
  await calls.handleBackgroundEvent(press);
  assert.deepEqual(call.said, []);
});

test('whatever fails is told: showing it, and bringing the answer to the server', async () => {
  const { line, notifications, calls, errors } = start();
  const call = new FakeCall('c1');
  call.outcome = new Error('no connection');
  const ringing = line.ring(call);
  await settle();
  await calls.handleBackgroundEvent(notifications.press(0));
  await ringing;
  notifications.failure = new Error('not allowed');
  await line.ring(new FakeCall('c2'));
  assert.deepEqual(errors, [call.outcome, notifications.failure]);
});

test('a call that was missed, and what is no call, is not shown', async () => {
  const others: string[] = [];
  const { line, notifications } = start({ onOther: ({ id }) => void others.push(id) });
  const missed = new FakeCall('missed');
  missed.hangUp();
  const request = new FakeCall('request');
  request.kind = 'request';
  await Promise.all([line.ring(missed), line.ring(request)]);
  assert.deepEqual([others, notifications.shown.size], [['missed', 'request'], 0]);
});

test('given up, it listens no more', () => {
  const controller = new AbortController();
  const { notifications } = start({ signal: controller.signal });
  assert.equal(notifications.observers.size, 1);
  controller.abort();
  assert.equal(notifications.observers.size, 0);
});
