/** As much of `react-native-notify-kit` as is used; a button is pressed in the background by its text on standard input. */
import { createInterface } from 'node:readline';

let observer;
let shown;

createInterface(process.stdin).on('line', (text) => {
  const { pressAction } = shown.android.actions.find(({ title }) => title === text);
  observer({ type: 2, detail: { notification: shown, pressAction } });
});

export default {
  createChannel: async ({ id }) => id,
  setNotificationCategories: async () => {},
  async displayNotification(notification) {
    shown = notification;
    console.log('shown', notification.title);
    return notification.id;
  },
  async cancelNotification(id) {
    console.log('cancelled', id === shown.id);
  },
  onForegroundEvent: () => () => {},
  onBackgroundEvent(given) {
    observer = given;
  },
};
