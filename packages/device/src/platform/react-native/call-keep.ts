/**
 * Shows the calls of a line as the phone's own do, by react-native-callkeep (4.3 and on), which the app brings and has set up: CallKit
 * on iOS, ConnectionService on Android. What the user does there is the answer to the call.
 */
import type { Call, CallOutcome, ConsumeOptions, Line } from '../../line/types.js';

/** As much of `RNCallKeep` as is used. */
export interface CallKeepLike {
  displayIncomingCall(
    uuid: string,
    handle: string,
    name: string,
    handleType: 'generic',
    hasVideo: boolean,
  ): void;
  reportEndCallWithUUID(uuid: string, reason: number): void;
  addEventListener(
    type: 'answerCall' | 'endCall',
    listener: (event: { readonly callUUID: string }) => void,
  ): { remove(): void };
}

export interface CallKeepOptions extends ConsumeOptions {
  /** Shown where the caller is not known. Default: `Unknown`. */
  readonly unknownCaller?: string;
  /** The user has taken the call, and the server knows: the phone registers now, for its INVITE. */
  readonly onAnswered?: (call: Call, uuid: string) => void;
  /** What rings on no screen: another request than a call, for which the phone registers, and a call that was missed (`end`). */
  readonly onOther?: (call: Call) => void;
  /** The answer could not be brought to the server. Default: the error is thrown where nobody catches it. */
  readonly onError?: (error: unknown, call: Call) => void;
  /** 32 hexadecimal digits that nobody has used. Default: made of `Math.random`; these ids are no secrets. */
  readonly makeId?: () => string;
}

/** Of the module's `CONSTANTS.END_CALL_REASONS`: the other side has ended it, and nobody took it. */
const REMOTE_ENDED = 2;
const UNANSWERED = 3;

/**
 * Takes the calls of the line, as `line.onCall` does: no other may. An ended call vanishes from the screen.
 *
 * @throws DeviceError CONSUMER_TAKEN
 */
export function showCallsByCallKeep(
  line: Pick<Line, 'onCall'>,
  callKeep: CallKeepLike,
  options: CallKeepOptions = {},
): void {
  const { signal, unknownCaller = 'Unknown', makeId = randomDigits } = options;
  line.onCall(
    (call) => showCall(callKeep, call, { ...options, unknownCaller, makeId }),
    signal && { signal },
  );
}

function showCall(
  callKeep: CallKeepLike,
  call: Call,
  {
    unknownCaller,
    makeId,
    onAnswered,
    onOther,
    onError,
  }: CallKeepOptions & { readonly unknownCaller: string; readonly makeId: () => string },
): Promise<void> {
  if (call.over.aborted || call.kind === 'request') {
    onOther?.(call);
    return Promise.resolve();
  }
  const uuid = uuidOf(makeId());
  return new Promise((resolve, reject) => {
    const subscriptions = [
      // iOS gives the id in small letters, whatever was given.
      callKeep.addEventListener('answerCall', ({ callUUID }) => {
        if (callUUID.toLowerCase() === uuid) decide('answer');
      }),
      callKeep.addEventListener('endCall', ({ callUUID }) => {
        if (callUUID.toLowerCase() === uuid) decide('decline');
      }),
    ];
    const leave = (): void => {
      for (const subscription of subscriptions) subscription.remove();
      call.over.removeEventListener('abort', handleOver);
    };
    const handleOver = (): void => {
      leave();
      callKeep.reportEndCallWithUUID(uuid, UNANSWERED);
      resolve();
    };
    const decide = (intent: 'answer' | 'decline'): void => {
      leave();
      const handleOutcome = (outcome: CallOutcome): void => {
        if (intent === 'decline') return;
        if (outcome === 'done') onAnswered?.(call, uuid);
        else callKeep.reportEndCallWithUUID(uuid, REMOTE_ENDED);
      };
      const handleError = (error: unknown): void => {
        if (intent === 'answer') callKeep.reportEndCallWithUUID(uuid, REMOTE_ENDED);
        if (onError === undefined) throw error;
        onError(error, call);
      };
      call[intent]().then(handleOutcome).catch(handleError).then(resolve, reject);
    };
    call.over.addEventListener('abort', handleOver, { once: true });
    const name = call.fromName ?? call.from ?? unknownCaller;
    callKeep.displayIncomingCall(uuid, call.from ?? unknownCaller, name, 'generic', false);
    call.ack();
  });
}

/** RFC 9562 §5.4: version 4, in the form that CallKit wants. */
function uuidOf(digits: string): string {
  const variant = ((Number.parseInt(digits[16]!, 16) & 3) | 8).toString(16);
  const d = `${digits.slice(0, 12)}4${digits.slice(13, 16)}${variant}${digits.slice(17)}`.toLowerCase();
  return [d.slice(0, 8), d.slice(8, 12), d.slice(12, 16), d.slice(16, 20), d.slice(20, 32)].join('-');
}

function randomDigits(): string {
  return Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16)).join('');
}
