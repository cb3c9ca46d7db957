/** How others reach the HTTP listeners when nobody has said so. */
import { hostname } from 'node:os';

const anyHost = /^(?:0\.0\.0\.0|\[::\])$/;

/** Of these listeners' URLs the first of https, else of http; undefined: there is neither. */
export function defaultPublicUrl(urls: readonly string[]): string | undefined {
  const found =
    urls.find((url) => url.startsWith('https://')) ?? urls.find((url) => url.startsWith('http://'));
  if (found === undefined) return undefined;
  const url = new URL(found);
  // The listener is on every address of this machine: its name is the best guess of what others call it.
  if (anyHost.test(url.hostname)) url.hostname = hostname();
  return url.origin;
}
