/**
 * Commands of sessions on their way to the hub. They go in slices, flow by flow in turn, so that what the hub answers
 * can be let out in between; a flow's own commands stay in order.
 */
import type { LinkCommand } from '@wakeline/core/domain';
import type { Flow } from './flow.js';

/** Commands of one flow; the first `given` are with the hub. */
interface Batch {
  commands: readonly LinkCommand[];
  given: number;
}

export class CommandBatches {
  /** Empty but while {@link give} runs. Another one each time: in a map that lives on, old tables keep what they referred to from the collector. */
  #batches = new Map<Flow, Batch>();
  #isGiving = false;

  add(flow: Flow, commands: readonly LinkCommand[]): void {
    const batch = this.#batches.get(flow);
    if (batch === undefined) {
      this.#batches.set(flow, { commands, given: 0 });
      return;
    }
    batch.commands = [...batch.commands.slice(batch.given), ...commands];
    batch.given = 0;
  }

  /**
   * Hands out everything, a slice of each flow in turn. What is added meanwhile becomes part of it: another flow's
   * word that it is full is heard before the next slice. Called from within itself it does nothing.
   */
  give(sliceMax: number, take: (flow: Flow, slice: readonly LinkCommand[]) => void): void {
    if (this.#isGiving) return;
    this.#isGiving = true;
    for (const [flow, batch] of this.#batches) {
      const slice = batch.commands.slice(batch.given, batch.given + sliceMax);
      batch.given += slice.length;
      take(flow, slice);
      // Gone when everything was cleared meanwhile.
      if (!this.#batches.delete(flow)) break;
      // To the end: the loop comes to it again after the others.
      if (batch.given < batch.commands.length) this.#batches.set(flow, batch);
    }
    this.#batches = new Map();
    this.#isGiving = false;
  }

  clear(): void {
    this.#batches.clear();
  }
}
