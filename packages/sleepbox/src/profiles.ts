/**
 * What each imitated platform does to a background program. This table is the only place that decides it;
 * docs/sleep-profiles.md prints the same rows, and a test compares the two.
 */
import { limits } from './limits.js';

/** What may end sleep, besides the user (`ctl wake`). */
export const WakeSource = {
  /** Data, FIN or RST on a marked connection. */
  Network: 'network',
  /** The keep-alive handler, or on Android an alarm that may run while idle. */
  Keepalive: 'keepalive',
  /** Maintenance windows. */
  Maintenance: 'maintenance',
} as const;
export type WakeSource = (typeof WakeSource)[keyof typeof WakeSource];

/** What sleep does to the program's sockets. */
export const SocketFate = {
  /** The kernel keeps and acknowledges. */
  Kept: 'kept',
  /** Kept, and nothing gets in outside maintenance windows. */
  Cut: 'cut',
  /** Aborted; the program finds an error when it runs again. */
  Destroyed: 'destroyed',
} as const;
export type SocketFate = (typeof SocketFate)[keyof typeof SocketFate];

/** Background modes an app may declare. */
export const Mode = { Voip: 'voip', Audio: 'audio' } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** One row of the table. */
export interface Profile {
  readonly wakesOn: readonly WakeSource[];
  /** Length of a wake window unless `--window` says else, ms. */
  readonly windowMs: number;
  /** Whether data that arrives in a window begins a new one. */
  readonly dataExtends: boolean;
  /** Modes that `--modes` may name. */
  readonly modes: readonly Mode[];
  readonly sockets: SocketFate;
  /** Smallest keep-alive timeout, ms. */
  readonly keepaliveMsMin: number;
  /** Longest time the program stays awake while it has no marked connection, ms; 0: frozen all the same. */
  readonly unconnectedAwakeMs: number;
  /** First and longest time between maintenance windows, ms, doubling in between; undefined: none. */
  readonly maintenance?: { readonly firstMs: number; readonly maxMs: number; readonly windowMs: number };
}

const second = 1_000;
const minute = 60 * second;

/** The profiles by name. */
export const profiles = {
  'ios-voip': {
    wakesOn: ['network', 'keepalive'],
    windowMs: 10 * second,
    dataExtends: true,
    modes: ['voip', 'audio'],
    sockets: 'kept',
    keepaliveMsMin: 600 * second,
    unconnectedAwakeMs: 0,
  },
  'linux-phone': {
    wakesOn: ['network', 'keepalive'],
    windowMs: 10 * second,
    dataExtends: true,
    modes: ['voip', 'audio'],
    sockets: 'kept',
    keepaliveMsMin: second,
    unconnectedAwakeMs: limits.unconnectedAwakeMsMax,
  },
  'android-doze': {
    wakesOn: ['keepalive', 'maintenance'],
    windowMs: 10 * second,
    dataExtends: false,
    modes: ['voip', 'audio'],
    sockets: 'cut',
    keepaliveMsMin: 540 * second,
    unconnectedAwakeMs: 0,
    maintenance: { firstMs: 60 * minute, maxMs: 360 * minute, windowMs: 5 * minute },
  },
  'android-frozen': {
    wakesOn: ['keepalive'],
    windowMs: 10 * second,
    dataExtends: false,
    modes: ['voip', 'audio'],
    sockets: 'destroyed',
    keepaliveMsMin: 540 * second,
    unconnectedAwakeMs: 0,
  },
} as const satisfies Record<string, Profile>;

/** A profile's name. */
export type ProfileName = keyof typeof profiles;

/** Whether this is the name of a profile. */
export function isProfileName(name: string): name is ProfileName {
  return Object.hasOwn(profiles, name);
}

/** The row of a profile, widened. */
export function profileOf(name: ProfileName): Profile {
  return profiles[name];
}
