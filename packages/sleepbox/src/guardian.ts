/**
 * A shell that waits for sleepbox to die. If it dies without a word (SIGKILL, out of memory), the guardian lets
 * the frozen program run and ends it, so that nothing stays frozen with nobody to wake it, and then its NAT. It does nothing
 * else.
 */
import { type ChildProcess, spawn } from 'node:child_process';

import type { Freezer } from './freezer.js';

// $0 kind, $1 cgroup directory, $2 runtime directory, $3 pid of the NAT's holder. Standard input: the program's pid after each launch, `bye` at
// the end; it closes when sleepbox is gone.
const script = `
trap '' INT TERM HUP
last=
while read -r line; do last=$line; done
[ "$last" = bye ] && exit 0
tree() { if [ "$0" = signal ]; then [ -n "$last" ] && echo "-$last"; else cat "$1/cgroup.procs" 2>/dev/null; fi; }
tell() { for one in $(tree "$2"); do kill -s "$1" -- "$one" 2>/dev/null; done; }
tell TERM "$1"
case $0 in
  cgroup-v2) echo 0 > "$1/cgroup.freeze" ;;
  cgroup-v1) echo THAWED > "$1/freezer.state" ;;
  *) tell CONT "$1" ;;
esac
for second in 1 2 3 4 5; do
  alive=
  for one in $(tree "$1"); do kill -s 0 -- "$one" 2>/dev/null && alive=1; done
  [ -z "$alive" ] && break
  sleep 1
done
tell KILL "$1"
if [ "$0" != signal ]; then sleep 0.1; rmdir "$1"; fi
[ -n "$3" ] && kill -s TERM "$3" 2>/dev/null
rm -f "$2/program.sock" "$2/ctl.sock" "$2/box.json" "$2/resolv.conf" && rmdir "$2"
`;

export class Guardian {
  readonly #child: ChildProcess;

  /** Starts the shell; it costs one blocked process of about a megabyte. */
  constructor(freezer: Freezer, runtimeDirectory: string, natPid?: number) {
    this.#child = spawn(
      '/bin/sh',
      ['-c', script, freezer.kind, freezer.directory ?? '', runtimeDirectory, String(natPid ?? '')],
      { stdio: ['pipe', 'ignore', 'ignore'], detached: true },
    );
    this.#child.on('error', () => {}); // without /bin/sh there is still the sweep
    this.#child.stdin?.on('error', () => {});
    this.#child.unref();
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  handleLaunched(pid: number): void {
    this.#child.stdin?.write(`${pid}\n`);
  }

  /** All is clean: there is nothing left to guard. */
  close(): void {
    this.#child.stdin?.end('bye\n');
  }
}
