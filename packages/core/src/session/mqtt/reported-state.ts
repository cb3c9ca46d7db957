/** `$line/state`: what a device says it is doing, as a JSON text, to what the hub is told. */
import { decodeUtf8, limits, utf8Bytes } from '../../base/index.js';
import { activities, type Activity, type DeviceState } from '../../domain/index.js';
import type { Packet } from '../../wire/mqtt/index.js';
import { mqttLimits } from './limits.js';

/** The topic; private to each device, and for publishing only. */
export const STATE_TOPIC = '$line/state';

/**
 * `{"state":"active|background|asleep","window":ms,"network":"key"}`, of which `state` must be there; other members
 * are left alone. Undefined: the text is none of this, or a value is outside its bounds.
 */
export function readState(payload: Uint8Array): DeviceState | undefined {
  if (payload.length > mqttLimits.stateBytesMax) return undefined;
  const text = decodeUtf8(payload, 0, payload.length);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { state, window, network } = value as { state?: unknown; window?: unknown; network?: unknown };
  if (!activities.includes(state as Activity)) return undefined;
  if (window !== undefined && !isWindow(window)) return undefined;
  if (network !== undefined && !isNetwork(network)) return undefined;
  return { activity: state as Activity, windowMs: window, network };
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

function isNetwork(network: unknown): network is string {
  return (
    typeof network === 'string' && network !== '' && utf8Bytes(network) <= mqttLimits.stateNetworkBytesMax
  );
}
