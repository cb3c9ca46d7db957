/** Picks the way of watching: the helper if it can be had and may look, else polling. */
import { SleepboxError } from './errors.js';
import { findHelperProgram } from './helper-program.js';
import type { Watcher } from './watcher.js';
import { HelperWatcher } from './watcher-helper.js';
import { ProcWatcher } from './watcher-proc.js';

/** What `--watcher` may say. */
export type WatcherChoice = 'auto' | 'helper' | 'proc-poll';

/** @throws SleepboxError NO_HELPER when it was asked for and cannot be had */
export async function openWatcher(
  choice: WatcherChoice,
  onFailure: (error: SleepboxError) => void,
): Promise<Watcher> {
  if (choice === 'proc-poll') return new ProcWatcher();
  const program = await findHelperProgram();
  if (program !== undefined) {
    let isTrial = true;
    const watcher = new HelperWatcher(program, (error) => {
      if (!isTrial) onFailure(error);
    });
    // Tried on ourselves: where ptrace is restricted to descendants the helper may not borrow sockets.
    const canSee = await watcher.canSee(process.pid).catch(() => false);
    isTrial = false;
    if (canSee) return watcher;
    watcher.close();
  }
  if (choice === 'auto') return new ProcWatcher();
  throw new SleepboxError(
    'NO_HELPER',
    'the helper needs a C or C++ compiler once, and permission to look into the program',
  );
}
