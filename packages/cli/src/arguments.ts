/** What a command line may say: checked here, before a server is asked, so that mistakes end with the code for usage. */
import { CliError } from './errors.js';

/** @throws CliError for what no device can be called */
export function checkDeviceId(id: string): void {
  if (id !== '' && !/[+#/]/.test(id)) return;
  throw new CliError('usage', id === '' ? 'the device id is empty' : `"${id}" is no device id`, {
    hint: 'a device id has no / + #; topics are addressed with: wakeline send --topic T',
  });
}

/** The milliseconds of `--FLAG TEXT`. @throws CliError */
export async function parseDuration(flag: string, text: string, example: string): Promise<number> {
  const { parseDurationMs } = await import('@wakeline/server/config');
  const ms = parseDurationMs(text);
  if (ms !== undefined) return ms;
  throw new CliError('usage', `--${flag}: "${text}" is no duration`, { hint: `write it like ${example}` });
}
