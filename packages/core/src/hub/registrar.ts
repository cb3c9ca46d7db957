/** Channels that get an endpoint and lose it. */
import { limitKeyOfPeer } from '../base/addresses.js';
import { isChannel, normalizeVapidKey } from '../domain/endpoint.js';
import type { Refusal } from '../domain/device.js';
import type { LinkCommand, LinkEvent } from '../domain/link.js';
import { AddressRates } from './address-rates.js';
import type { Device, Flow } from './device-state.js';
import { summaryOf } from './endpoints.js';
import type { Endpoint } from './endpoints.js';
import type { HubCore } from './hub-core.js';
import type { Publisher } from './publisher.js';
import { inboxTopic } from './publisher.js';

type Register = LinkCommand & { readonly kind: 'register' };
type Unregister = LinkCommand & { readonly kind: 'unregister' };

export class Registrar {
  readonly #core: HubCore;
  readonly #publisher: Publisher;
  readonly #rates: AddressRates;

  constructor(core: HubCore, publisher: Publisher) {
    this.#core = core;
    this.#publisher = publisher;
    this.#rates = new AddressRates(core.limits.registersPerAddressMax);
  }

  handleRegister(flow: Flow, command: Register): void {
    const core = this.#core;
    const { ticket, channel, tokenSha256, vapidKey, qos, packetId } = command;
    const isHeld = this.#publisher.mayHoldId(flow.device, qos, packetId);
    // Not kept from being done twice: who asks again has not got the answer, and so not the endpoint.
    const refusal = isHeld ? this.#refusalOf(flow, command) : 'quota-exceeded';
    if (refusal !== undefined) {
      core.answer(flow, { kind: 'registered', ticket, reason: refusal }, false, undefined);
      return this.#publisher.endRequest(flow, qos, packetId, isHeld ? undefined : refusal, false);
    }
    const device = flow.device.isDurable ? flow.device : this.#keep(flow);
    core.endpoints.put({ tokenSha256, device, channel, vapidKey, createdMs: core.now.wall }, core.now.wall);
    this.#handleChannelsChanged(device);
    const failure: LinkEvent = { kind: 'registered', ticket, reason: 'storage-failed' };
    core.answer(flow, { kind: 'registered', ticket, reason: undefined }, true, failure);
    this.#publisher.endRequest(flow, qos, packetId, undefined, true);
  }

  #refusalOf(flow: Flow, { channel, vapidKey }: Register): Refusal | undefined {
    const core = this.#core;
    const { device } = flow;
    if (!isChannel(channel)) return 'channel-invalid';
    if (vapidKey !== undefined && normalizeVapidKey(vapidKey) !== vapidKey) return 'key-invalid';
    if (!device.isDurable && !device.isAgent) return 'device-not-durable';
    if (!core.appendsAllowed) return 'storage-full';
    const isNew = device.endpoints?.find(channel) === undefined;
    if (isNew && (device.endpoints?.list.length ?? 0) >= core.limits.channelsPerDeviceMax)
      return 'channels-full';
    if (isNew && core.endpoints.count >= core.limits.endpointsMax) return 'quota-exceeded';
    return this.#rates.take(core.now, limitKeyOfPeer(flow.peer)) ? undefined : 'quota-exceeded';
  }

  /** The first channel of a user agent: from now on it is a device that is kept. */
  #keep(flow: Flow): Device {
    const core = this.#core;
    const device = core.makeDurable(flow.device);
    const session = device.session!;
    session.expirySeconds = core.limits.agentExpirySeconds;
    core.putDevice(device);
    core.queue.after({
      committed() {},
      undo: () => {
        // Nothing of it is on disk, and its number is not taken: it has to come again.
        if (device.flow !== null) core.endFlow(device.flow, 'storage-failed');
        core.removeDevice(device, 'not stored');
      },
    });
    return device;
  }

  handleUnregister(flow: Flow, command: Unregister): void {
    const core = this.#core;
    const { ticket, channel, qos, packetId } = command;
    const isHeld = this.#publisher.mayHoldId(flow.device, qos, packetId);
    if (!isHeld) {
      core.answer(
        flow,
        { kind: 'unregistered', ticket, reason: 'quota-exceeded', found: false },
        false,
        undefined,
      );
      return this.#publisher.endRequest(flow, qos, packetId, 'quota-exceeded', false);
    }
    const endpoint = flow.device.endpoints?.find(channel);
    const found = endpoint !== undefined;
    if (endpoint !== undefined) this.#end(endpoint, 'channel was unregistered');
    const failure: LinkEvent = { kind: 'unregistered', ticket, reason: 'storage-failed', found };
    core.answer(flow, { kind: 'unregistered', ticket, reason: undefined, found }, found, failure);
    this.#publisher.endRequest(flow, qos, packetId, undefined, found);
  }

  /** Of a user agent the channel goes with its endpoint; others have theirs anyhow. */
  #end(endpoint: Endpoint, reason: string): void {
    const core = this.#core;
    const { device, channel } = endpoint;
    core.endpoints.end(endpoint, core.now.wall);
    if (device.isAgent) core.endChannel(device, inboxTopic(channel), reason);
    this.#handleChannelsChanged(device);
    core.queue.after({
      committed: () => core.removeIfEmpty(device),
    });
  }

  /** What was passed over may be wanted now. */
  #handleChannelsChanged(device: Device): void {
    const lane = device.inboxView.addressedIfAny;
    if (lane === null || device.flow?.link !== 'webpush') return;
    this.#core.queue.log.rescan(lane);
    this.#core.deliverer.wake(device);
  }

  /** An operator ends an endpoint. False: there is no such. The rows go with the batch being filled. */
  endById(device: Device, endpointId: string): boolean {
    const found = device.endpoints?.list.find((endpoint) => summaryOf(endpoint).endpointId === endpointId);
    if (found === undefined) return false;
    this.#end(found, 'endpoint was ended');
    return true;
  }
}
