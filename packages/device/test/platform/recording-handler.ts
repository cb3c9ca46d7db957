/** What a platform tells, as texts in the order in which they came. */
import type { PlatformHandler } from '../../src/ports/index.js';

export class RecordingPlatformHandler implements PlatformHandler {
  told: string[] = [];

  handleNetwork(key: string | undefined): void {
    this.told.push(key === undefined ? 'no network' : `network '${key}'`);
  }

  handleActivity(activity: string): void {
    this.told.push(activity);
  }

  handleWake(): void {
    this.told.push('wake');
  }

  /** And forgets it. */
  take(): readonly string[] {
    return this.told.splice(0);
  }
}
