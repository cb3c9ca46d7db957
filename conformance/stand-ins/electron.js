/** As much of Electron's main process as the guide uses; tells what it does on standard output, and takes events from standard input. */
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';

export const app = Object.assign(new EventEmitter(), {
  whenReady: () => Promise.resolve(),
  getAppPath: () => 'app',
  getPath: (name) => name,
});

export class BrowserWindow {
  webContents = { send: (...message) => console.log('window', JSON.stringify(message)) };

  constructor({ webPreferences }) {
    console.log('preload', webPreferences.preload);
  }
}

export class Notification {
  #options;

  constructor(options) {
    this.#options = options;
  }

  show() {
    console.log('notification', JSON.stringify(this.#options));
  }
}

export const powerMonitor = new EventEmitter();

createInterface(process.stdin).on('line', (event) => {
  if (event === 'will-quit') {
    app.emit(event);
    process.stdin.destroy();
  } else powerMonitor.emit(event);
});
