/** As much of `react-native-callkeep` as is used; the user's thumb is standard input: `answerCall`, `endCall`. */
import { createInterface } from 'node:readline';

const listeners = new Set();
let shown = '';

createInterface(process.stdin).on('line', (pressed) => {
  for (const { type, listener } of listeners) if (type === pressed) listener({ callUUID: shown });
});

export default {
  addEventListener(type, listener) {
    const entry = { type, listener };
    listeners.add(entry);
    return { remove: () => listeners.delete(entry) };
  },
  displayIncomingCall(uuid, handle, name) {
    shown = uuid;
    console.log('shown', name);
  },
  reportEndCallWithUUID(_uuid, reason) {
    console.log('ended', reason);
  },
};
