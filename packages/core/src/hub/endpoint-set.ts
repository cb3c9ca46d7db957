/** The endpoints of one device. Never changed: another set takes its place, because what is known of it is kept. */
import type { InboxFilters } from './inbox-filters.js';
import { INBOX_PREFIX } from './topic-filter.js';

export interface Endpoint<Device> {
  /** Hex. */
  readonly tokenSha256: string;
  readonly device: Device;
  readonly channel: string;
  /** undefined: everybody who knows the URL may push. */
  readonly vapidKey: string | undefined;
  /** Wall-clock ms. */
  readonly createdMs: number;
}

export class EndpointSet<Device> {
  /** One for each channel, oldest first. */
  readonly list: readonly Endpoint<Device>[];
  #topics: InboxFilters | null = null;

  constructor(list: readonly Endpoint<Device>[]) {
    this.list = list;
  }

  /** The topics of their channels. */
  get topics(): InboxFilters {
    return (this.#topics ??= this.list.map(({ channel }) => INBOX_PREFIX + channel));
  }

  find(channel: string): Endpoint<Device> | undefined {
    return this.list.find((endpoint) => endpoint.channel === channel);
  }

  /** With this one in place of the one of its channel. */
  with(endpoint: Endpoint<Device>): EndpointSet<Device> {
    const rest = this.list.filter(({ channel }) => channel !== endpoint.channel);
    return new EndpointSet([...rest, endpoint]);
  }

  /** Without this one; one that has taken its place stays. */
  without(endpoint: Endpoint<Device>): EndpointSet<Device> {
    return new EndpointSet(this.list.filter((other) => other !== endpoint));
  }
}
