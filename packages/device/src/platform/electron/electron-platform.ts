/**
 * Electron's main process: as a plain one, and it hears when the machine sleeps. A machine that sleeps is not there for its server, and
 * says so as long as it can; when it is woken it connects at once.
 */
import type { Platform } from '../../ports/index.js';
import { processPlatform } from '../node/process-platform.js';
import { WokenClock } from '../woken-clock.js';

/** As much of Electron's `powerMonitor` as is used. */
export interface PowerMonitorLike {
  on(event: 'suspend' | 'resume', listener: () => void): unknown;
  removeListener(event: 'suspend' | 'resume', listener: () => void): unknown;
}

/** For the option `platform` of a line in the main process. */
export function electronPlatform(powerMonitor: PowerMonitorLike): Platform {
  const plain = processPlatform();
  const clock = new WokenClock(() => performance.now(), Date.now);
  let stop = (): void => undefined;
  return {
    ...plain,
    now: () => clock.now(),
    start(handler) {
      const suspend = (): void => handler.handleNetwork(undefined);
      const resume = (): void => {
        // Some network, and no telling which.
        handler.handleNetwork('');
        handler.handleWake();
      };
      powerMonitor.on('suspend', suspend);
      powerMonitor.on('resume', resume);
      stop = () => {
        powerMonitor.removeListener('suspend', suspend);
        powerMonitor.removeListener('resume', resume);
      };
    },
    stop() {
      stop();
      return Promise.resolve();
    },
  };
}
