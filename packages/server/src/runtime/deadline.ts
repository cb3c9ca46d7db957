/** A point in time by which several steps together have to be done. */
export class Deadline {
  readonly #expired: Promise<void>;
  #timer: NodeJS.Timeout | undefined;

  constructor(delayMs: number) {
    this.#expired = new Promise((resolve) => {
      this.#timer = setTimeout(resolve, delayMs);
    });
  }

  /** Resolves with the step, or at the deadline; a step that fails is over, too. */
  async over(step: Promise<unknown>): Promise<void> {
    await Promise.race([step.catch(() => undefined), this.#expired]);
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }
}
