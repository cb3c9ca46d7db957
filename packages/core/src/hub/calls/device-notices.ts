/**
 * What the Wakeline devices of a user are told of calls: a message in their inboxes, on the channel `calls`. It wakes
 * like any message of high urgency, carries the identity of the call and the server's own deadline, and is replaced by
 * what became of the call. docs/spec/calls.md has its form.
 */
import type { Aor } from '../../domain/call.js';
import type { Publication, Urgency } from '../../domain/message.js';
import { encodeProperties } from '../../domain/properties.js';
import type { Device } from '../device-state.js';
import type { HubCore } from '../hub-core.js';
import type { Publisher } from '../publisher.js';
import { inboxTopic } from '../publisher.js';
import { encodeJson } from '../rows.js';
import { isDeviceId } from '../sessions.js';

/** Channel of the inbox. */
const CALLS_CHANNEL = 'calls';

const properties = encodeProperties({ isText: true, contentType: 'application/json' });

/** What a call, or a request that waits for an instance, is to a device. Body of the message, as JSON. */
export interface CallNotice {
  /** Id of the call; of a request that is none, an id of its own. */
  readonly call: string;
  readonly aor: Aor;
  /**
   * `ringing`: come and take it, before the deadline. `request`: something that is no call waits for the phone. The
   * others are ends; `cancelled` and `missed` stay as the record of a missed call.
   */
  readonly state:
    'ringing' | 'request' | 'cancelled' | 'answered-elsewhere' | 'declined-elsewhere' | 'missed';
  /** SIP's Call-ID, as in the INVITE. */
  readonly sipCallId?: string | undefined;
  readonly from?: string | undefined;
  readonly fromName?: string | undefined;
  /** Wall-clock ms. */
  readonly startedMs?: number | undefined;
  /** Wall-clock ms until which the server waits. */
  readonly deadlineMs?: number | undefined;
  /** The instance that answered. */
  readonly instance?: string | undefined;
  /** Why it was missed, in a sentence. */
  readonly reason?: string | undefined;
}

export interface NoticeOptions {
  readonly urgency: Urgency;
  /** undefined: until the device has it. */
  readonly ttlSeconds: number | undefined;
  readonly replaceKey: string;
}

/** Its number in the inbox (0: it was sent to a device that keeps nothing); or why it cannot be. */
export type NoticeOutcome = { readonly sequence: number } | string;

export class DeviceNotices {
  readonly #core: HubCore;
  readonly #publisher: Publisher;

  constructor(core: HubCore, publisher: Publisher) {
    this.#core = core;
    this.#publisher = publisher;
  }

  /** The message goes with the batch being filled. */
  send(deviceId: string, notice: CallNotice, options: NoticeOptions): NoticeOutcome {
    const core = this.#core;
    if (!core.appendsAllowed) return 'free space is below the floor';
    const device = this.#durable(deviceId);
    if (typeof device === 'string') return device;
    if (device.isDurable && core.isFull(device.inboxView)) return 'its inbox is full';
    const publication: Publication = {
      topic: inboxTopic(CALLS_CHANNEL),
      body: encodeJson(notice),
      properties,
      qos: 1,
      retain: false,
      expirySeconds: options.ttlSeconds,
      urgency: options.urgency,
      replaceKey: options.replaceKey,
    };
    if (device.isDurable) {
      this.#publisher.address(device, publication, null);
      return { sequence: device.inboxView.lastSequence };
    }
    const isTaken = this.#publisher.addressNow(device, { ...publication, qos: 0 });
    return isTaken ? { sequence: 0 } : 'it keeps nothing and did not take the message at once';
  }

  /** Whether the device has acknowledged the message with this number. */
  hasAcknowledged(deviceId: string, sequence: number): boolean {
    const device = this.#core.devices.get(deviceId);
    return sequence > 0 && device?.isDurable === true && device.inboxView.finished.has(sequence);
  }

  /** A device that does not exist is made, so that its inbox keeps what it is told until it comes. */
  #durable(deviceId: string): Device | string {
    const core = this.#core;
    let device = core.devices.get(deviceId);
    if (device?.isDurable === true) return device;
    if (device !== undefined) {
      // What it was sent or subscribed to in memory cannot be kept: it is told only while it is there.
      if (device.waiting > 0 || device.session?.subscriptionCount !== 0) return device;
      const { flow } = device;
      device = core.makeDurable(device);
      return this.#keep(device, () => {
        if (flow !== null && device!.flow === flow) core.endFlow(flow, 'storage-failed');
      });
    }
    if (!isDeviceId(deviceId)) return 'no device can have that id';
    if (core.devices.size >= core.limits.devicesMax) return 'the server has as many devices as it may';
    return this.#keep(core.createDevice(deviceId, true), () => {});
  }

  #keep(device: Device, undo: () => void): Device {
    const core = this.#core;
    core.putDevice(device);
    core.queue.after({
      committed() {},
      undo: () => {
        undo();
        core.removeDevice(device, 'not stored');
      },
    });
    return device;
  }
}
