/** What the host allows this process. */
import { readFileSync } from 'node:fs';

/** Descriptors that the process may have open; undefined where the host does not say (anything but Linux). */
export function descriptorsMax(): number | undefined {
  try {
    // Node has raised the soft limit to the hard one by now; the file says what holds.
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
    return match === null ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}
