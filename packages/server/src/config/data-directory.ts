/** Where a server keeps its data when nobody says. Alone in a file, because the command line needs nothing else of the configuration. */
import { isAbsolute, join } from 'node:path';

export interface DataDirectorySources {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Normally `os.homedir()`. */
  readonly homeDirectory: string;
}

/** `$XDG_DATA_HOME/wakeline`, or `~/.local/share/wakeline`. A relative XDG_DATA_HOME is ignored, as its specification asks. */
export function defaultDataDirectory(place: DataDirectorySources): string {
  const base = place.environment['XDG_DATA_HOME'];
  if (base !== undefined && isAbsolute(base)) return join(base, 'wakeline');
  return join(place.homeDirectory, '.local', 'share', 'wakeline');
}
