/**
 * Keeps foreign web pages away from the WebSockets of a server that trusts its own machine.
 *
 * A server on loopback may ask for no credential, and any page that a browser on the machine shows may open
 * WebSockets there. A page served from this machine (a developer's own) is welcome, whatever its port. Browsers say where a page came from (`Origin`), and a page that had its
 * own name point to 127.0.0.1 (DNS rebinding) cannot hide that name (`Host`). Programs send no Origin and a
 * loopback Host; they pass.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopbackHost } from '../config/listener-url.js';

/** Whether an upgrade request to a loopback listener comes from a program or a page of this machine. */
export function isLocalRequest(headers: IncomingHttpHeaders): boolean {
  const { host, origin } = headers;
  if (host !== undefined && !isLoopbackHost(hostName(`http://${host}`))) return false;
  return origin === undefined || isLoopbackHost(hostName(origin));
}

/** The host of a URL without the brackets of IPv6; empty (so: not loopback) for `null` and what is no URL. */
function hostName(url: string): string {
  if (!URL.canParse(url)) return '';
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
