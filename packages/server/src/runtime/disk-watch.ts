/**
 * Watches the free space of the data directory, so that new messages are refused before the disk is full and
 * acknowledging and deleting can go on. There is a band between "no" and "yes again": a disk at the floor must not
 * make senders hear a different answer each second.
 */
import type { RuntimeLimits } from './limits.js';
import type { Log } from './log.js';

export interface DiskWatchOptions {
  readonly freeBytes: () => Promise<number>;
  readonly floorBytes: number;
  readonly limits: Pick<RuntimeLimits, 'diskPollMs' | 'diskHysteresisShare'>;
  readonly log: Log;
  /** Called on each change. The first state is "allowed". */
  readonly onChange: (appendsAllowed: boolean) => void;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isAllowed = true;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Looks once, then each `diskPollMs` until stopped. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => void this.look(), this.#options.limits.diskPollMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look; does nothing while the last one has not come back. A host that cannot tell changes nothing. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      this.#judge(await this.#options.freeBytes());
    } catch (error) {
      this.#options.log.warn({ err: error }, 'free space unknown');
    } finally {
      this.#isLooking = false;
    }
  }

  #judge(freeBytes: number): void {
    const { floorBytes, limits, log, onChange } = this.#options;
    const limitBytes = this.#isAllowed ? floorBytes : floorBytes * (1 + limits.diskHysteresisShare);
    const isAllowed = freeBytes >= limitBytes;
    if (isAllowed === this.#isAllowed) return;
    this.#isAllowed = isAllowed;
    if (isAllowed) log.info({ freeBytes }, 'enough free space: new messages are taken again');
    else log.error({ freeBytes, floorBytes }, 'too little free space: new messages are refused');
    onChange(isAllowed);
  }
}
