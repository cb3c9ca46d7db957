/**
 * Shows the calls of a line as notifications with two buttons, for apps without CallKit or ConnectionService, and any message as one.
 * By react-native-notify-kit (10 and on), which the app brings, or @notifee/react-native, whose interface that has gone on with.
 */
import type { Call, ConsumeOptions, Line } from '../../line/types.js';

/** As much of the module as is used. */
export interface NotificationsLike {
  createChannel(channel: {
    readonly id: string;
    readonly name: string;
    readonly importance: number;
  }): Promise<string>;
  setNotificationCategories(
    categories: {
      readonly id: string;
      readonly actions: { readonly id: string; readonly title: string; readonly foreground?: boolean }[];
    }[],
  ): Promise<void>;
  displayNotification(notification: NotificationShape): Promise<string>;
  cancelNotification(id: string): Promise<void>;
  onForegroundEvent(observer: (event: NotificationEvent) => void): () => void;
}

export interface NotificationShape {
  readonly id: string;
  readonly title: string;
  readonly body?: string;
  readonly data: Readonly<Record<string, string>>;
  readonly android: object;
  readonly ios: object;
}

/** What the module calls an `Event`. */
export interface NotificationEvent {
  readonly type: number;
  readonly detail: {
    readonly notification?: { readonly id?: string };
    readonly pressAction?: { readonly id: string };
  };
}

export interface CallNotificationsOptions extends ConsumeOptions {
  /** Of the buttons, in the user's language. Default: `Answer`, `Decline`. */
  readonly answerText?: string;
  readonly declineText?: string;
  /** Of the caller who is not known, and of the channel in Android's settings. Default: `Unknown`, `Calls`. */
  readonly unknownCaller?: string;
  readonly channelName?: string;
  /** The user has taken the call, and the server knows. */
  readonly onAnswered?: (call: Call) => void;
  /** What rings on no screen: another request than a call, for which the phone registers, and a call that was missed (`end`). */
  readonly onOther?: (call: Call) => void;
  /** Whatever fails: showing it, or bringing the answer to the server. */
  readonly onError: (error: unknown, call: Call) => void;
}

/** What was begun, for events that come while the app is in the background. */
export interface CallNotifications {
  /** To be called by the observer of the module's `onBackgroundEvent`, of which an app has one. Resolves when it is dealt with. */
  handleBackgroundEvent(event: NotificationEvent): Promise<void>;
}

const CALLS = 'wakeline-calls';
const ANSWER = 'wakeline-answer';
const DECLINE = 'wakeline-decline';
/** Of the module's enums `EventType`, `AndroidImportance` and `AndroidCategory`. */
const ACTION_PRESS = 2;
const IMPORTANCE_HIGH = 4;
const CATEGORY_CALL = 'call';

/**
 * Takes the calls of the line, as `line.onCall` does: no other may. An ended call's notification vanishes.
 *
 * @throws DeviceError CONSUMER_TAKEN
 */
export function showCallsByNotifications(
  line: Pick<Line, 'onCall'>,
  notifications: NotificationsLike,
  options: CallNotificationsOptions,
): CallNotifications {
  const shown = new Map<string, (intent: 'answer' | 'decline') => Promise<void>>();
  const handleEvent = async ({ type, detail }: NotificationEvent): Promise<void> => {
    const action = detail.pressAction?.id;
    if (type !== ACTION_PRESS || (action !== ANSWER && action !== DECLINE)) return;
    await shown.get(detail.notification?.id ?? '')?.(action === ANSWER ? 'answer' : 'decline');
  };
  const stop = notifications.onForegroundEvent((event) => void handleEvent(event));
  options.signal?.addEventListener('abort', stop, { once: true });
  const prepared = prepare(notifications, options);
  // Whoever shows a call is told.
  prepared.catch(() => {});
  line.onCall(
    async (call) => {
      try {
        await prepared;
        await showCall(notifications, shown, call, options);
      } catch (error) {
        options.onError(error, call);
      }
    },
    options.signal && { signal: options.signal },
  );
  return { handleBackgroundEvent: handleEvent };
}

/** A channel on Android, a category with the buttons on iOS. */
async function prepare(
  notifications: NotificationsLike,
  {
    answerText = 'Answer',
    declineText = 'Decline',
    channelName = 'Calls',
  }: Pick<CallNotificationsOptions, 'answerText' | 'declineText' | 'channelName'>,
): Promise<void> {
  await notifications.createChannel({ id: CALLS, name: channelName, importance: IMPORTANCE_HIGH });
  await notifications.setNotificationCategories([
    {
      id: CALLS,
      actions: [
        { id: ANSWER, title: answerText, foreground: true },
        { id: DECLINE, title: declineText },
      ],
    },
  ]);
}

async function showCall(
  notifications: NotificationsLike,
  shown: Map<string, (intent: 'answer' | 'decline') => Promise<void>>,
  call: Call,
  {
    answerText = 'Answer',
    declineText = 'Decline',
    unknownCaller = 'Unknown',
    onAnswered,
    onOther,
    onError,
  }: CallNotificationsOptions,
): Promise<void> {
  if (call.over.aborted || call.kind === 'request') return onOther?.(call);
  const id = `wakeline-call-${call.id}`;
  const isDecided = new Promise<void>((resolve) => {
    call.over.addEventListener('abort', () => resolve(), { once: true });
    shown.set(id, async (intent) => {
      shown.delete(id);
      try {
        const outcome = await call[intent]();
        if (intent === 'answer' && outcome === 'done') onAnswered?.(call);
      } catch (error) {
        onError(error, call);
      }
      resolve();
    });
  });
  const actions = [
    { title: answerText, pressAction: { id: ANSWER, launchActivity: 'default' } },
    { title: declineText, pressAction: { id: DECLINE } },
  ];
  try {
    await notifications.displayNotification({
      id,
      title: call.fromName ?? call.from ?? unknownCaller,
      ...(call.from === undefined ? {} : { body: call.from }),
      data: { call: call.id },
      android: { channelId: CALLS, category: CATEGORY_CALL, ongoing: true, actions },
      ios: { categoryId: CALLS, interruptionLevel: 'timeSensitive' },
    });
    call.ack();
    await isDecided;
  } finally {
    shown.delete(id);
    await notifications.cancelNotification(id);
  }
}
