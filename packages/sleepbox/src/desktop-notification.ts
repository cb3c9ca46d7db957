/** Shows a notification on the desktop with `notify-send`, when it is there. A failure is nobody's loss. */
import { spawn } from 'node:child_process';

/** The words come from the program: `--` keeps them from being options. */
export function showDesktopNotification(title: string, body: string): void {
  const child = spawn('notify-send', ['--app-name=sleepbox', '--', title, body], { stdio: 'ignore' });
  child.on('error', () => {}); // not installed
  child.unref();
}
