/** Runs one transaction machine through a table of what happens when, and what it is to do. */
import assert from 'node:assert/strict';

export interface Machine {
  readonly state: string;
  nextTimeoutMs(): number;
  handleTimeout(nowMs: number): readonly string[];
}

/** `[at ms, what happens, actions, state afterwards]`. Without a function: the timers alone. */
export type Row<M extends Machine> = readonly [
  atMs: number,
  event: ((machine: M, nowMs: number) => readonly string[] | undefined | void) | undefined,
  actions: string,
  state: string,
];

/**
 * Checks every row, and that nothing happens between them: timers that are due before a row fire at their own time, and
 * none of them may act unless a row says so.
 */
export function runTable<M extends Machine>(machine: M, rows: readonly Row<M>[]): void {
  for (const [index, [atMs, event, actions, state]] of rows.entries()) {
    const where = `row ${index} at ${atMs} ms`;
    for (let dueMs = machine.nextTimeoutMs(); dueMs < atMs; dueMs = machine.nextTimeoutMs()) {
      assert.deepEqual(machine.handleTimeout(dueMs), [], `nothing at ${dueMs} ms, before ${where}`);
    }
    // Early calls do nothing.
    if (machine.nextTimeoutMs() > atMs) assert.deepEqual(machine.handleTimeout(atMs), [], where);
    const done = event === undefined ? machine.handleTimeout(atMs) : event(machine, atMs);
    assert.deepEqual((done ?? []).join(' '), actions, where);
    assert.equal(machine.state, state, where);
  }
}
