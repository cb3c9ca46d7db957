/** `$line/state`: what a device says it is doing, as a JSON text, to what the hub is told. */
import { limits, utf8Bytes } from '../../base/index.js';
import { activities, type Activity, type DeviceState } from '../../domain/index.js';
import type { Packet } from '../../wire/mqtt/index.js';
import { readJsonObject } from './json-payload.js';
import { mqttLimits } from './limits.js';

/** The topic; private to each device, and for publishing only. */
export const STATE_TOPIC = '$line/state';

/** What a device said. */
export interface ReportedState {
  /** For the hub. */
  readonly state: DeviceState;
  /** The longest silence that its network allows, ms, where the device cannot see to it itself; undefined: not said. */
  readonly gapMs: number | undefined;
}

/**
 * `{"state":"active|background|asleep","window":ms,"network":"key","gap":ms}`, of which `state` must be there; other
 * members are left alone. Undefined: the text is none of this, or a value is outside its bounds.
 */
export function readState(payload: Uint8Array): ReportedState | undefined {
  const members = readJsonObject(payload, mqttLimits.stateBytesMax);
  if (members === undefined) return undefined;
  const { state, window, network, gap } = members;
  if (!activities.includes(state as Activity)) return undefined;
  if (window !== undefined && !isWindow(window)) return undefined;
  if (network !== undefined && !isNetwork(network)) return undefined;
  if (gap !== undefined && !isGap(gap)) return undefined;
  return { state: { activity: state as Activity, windowMs: window, network }, gapMs: gap };
}

/** What the hub is told of a device that said it is asleep, before what it sent. */
export const awakeCommand = { kind: 'awake' } as const;

/** A packet that a device sends by itself. Acknowledgements answer us, and the hub knows them; a state says it all. */
export function isOwnAct(packet: Packet): boolean {
  switch (packet.type) {
    case 'publish':
      return packet.topic !== STATE_TOPIC;
    case 'pubrel':
    case 'subscribe':
    case 'unsubscribe':
    case 'pingreq':
      return true;
    default:
      return false;
  }
}

function isWindow(window: unknown): window is number {
  return Number.isSafeInteger(window) && Number(window) >= 0 && Number(window) <= limits.wakeWindowMsMax;
}

function isGap(gap: unknown): gap is number {
  const { stateGapMsMin, stateGapMsMax } = mqttLimits;
  return Number.isSafeInteger(gap) && Number(gap) >= stateGapMsMin && Number(gap) <= stateGapMsMax;
}

function isNetwork(network: unknown): network is string {
  return (
    typeof network === 'string' && network !== '' && utf8Bytes(network) <= mqttLimits.stateNetworkBytesMax
  );
}
