/**
 * Where one side of a call or dialog is, in a form that outlives what is in memory: kept with a call as `callerPlace`,
 * and signed in the Route tokens that dialogs carry through us.
 *
 * A registered instance is named by itself, never by its flow: a dialog must live on when the phone comes back on
 * another one. Only who has no registration is named by the path it came on. A place says nothing about whether
 * anybody is there.
 */
import { assert, decodeUtf8, encodeUtf8, fromBase64Url, toBase64Url } from '../../../base/index.js';
import type { Aor, CallId } from '../../../domain/index.js';
import type { SipCrypto } from '../machine.js';

export type Place =
  /** An instance of a user of ours: on its live flow, whichever that is. */
  | { readonly kind: 'instance'; readonly aor: Aor; readonly instance: string }
  /** A trunk, on the stream that it came on while that lives, else at a next hop (a SIP URI) of its own. */
  | {
      readonly kind: 'trunk';
      readonly name: string;
      readonly hop: string;
      /** 0: none. */
      readonly flow: number;
      readonly life: string;
    }
  /** Somebody without a registration on UDP, at the address that the request came from. */
  | {
      readonly kind: 'datagram';
      readonly listener: number;
      readonly address: string;
      readonly port: number;
    }
  /** Somebody without a registration on a stream: reached as long as it lives. `life` names our process. */
  | { readonly kind: 'stream'; readonly flow: number; readonly life: string };

/** What a token says. */
export interface SignedPlace {
  readonly place: Place;
  readonly call: CallId | undefined;
}

/** Bytes of the HMAC that a token carries. */
const MAC_BYTES = 16;
const SEPARATOR = '\0';

/** As text that {@link parsePlace} reads. */
export function formatPlace(place: Place): string {
  switch (place.kind) {
    case 'instance':
      return ['i', place.aor, place.instance].join(SEPARATOR);
    case 'trunk':
      return ['t', place.name, place.hop, place.flow, place.life].join(SEPARATOR);
    case 'datagram':
      return ['u', place.listener, place.address, place.port].join(SEPARATOR);
    case 'stream':
      return ['s', place.flow, place.life].join(SEPARATOR);
  }
}

/** undefined: no place of this version. */
export function parsePlace(text: string): Place | undefined {
  const [kind, first = '', second = '', third = '', fourth = ''] = text.split(SEPARATOR);
  switch (kind) {
    case 'i':
      return { kind: 'instance', aor: first, instance: second };
    case 't':
      return { kind: 'trunk', name: first, hop: second, flow: Number(third), life: fourth };
    case 'u':
      return { kind: 'datagram', listener: Number(first), address: second, port: Number(third) };
    case 's':
      return { kind: 'stream', flow: Number(first), life: second };
    default:
      return undefined;
  }
}

/** Signs places and reads back what it signed. */
export class PlaceTokens {
  readonly #crypto: SipCrypto;
  readonly #key: Uint8Array;

  /** @param key 32 bytes; used for nothing else. */
  constructor(crypto: SipCrypto, key: Uint8Array) {
    assert(key.length === 32, 'a key has 32 bytes');
    this.#crypto = crypto;
    this.#key = key;
  }

  /**
   * Letters, digits, `-` and `_`: fit for the user part of a URI.
   *
   * @param dialog the Call-ID of the dialog that it is good for, and for no other: whoever was called once by way of a trunk
   *   cannot call out by it.
   * @param call the call that the dialog began with, for its trace; undefined: it was none.
   */
  sign(place: Place, dialog: string, call?: CallId): string {
    const payload = encodeUtf8(`${call ?? ''}${SEPARATOR}${formatPlace(place)}`);
    const token = new Uint8Array(payload.length + MAC_BYTES);
    token.set(payload);
    token.set(this.#macOf(payload, dialog), payload.length);
    return toBase64Url(token);
  }

  /** undefined: we did not sign it, or not for this dialog. */
  read(token: string, dialog: string): SignedPlace | undefined {
    const bytes = fromBase64Url(token);
    if (bytes === undefined || bytes.length <= MAC_BYTES) return undefined;
    const payload = bytes.subarray(0, bytes.length - MAC_BYTES);
    const mac = this.#macOf(payload, dialog);
    // Every byte is compared, so that the time taken tells nothing.
    let difference = 0;
    for (let index = 0; index < MAC_BYTES; index++) {
      difference |= mac[index]! ^ bytes[payload.length + index]!;
    }
    if (difference !== 0) return undefined;
    const text = decodeUtf8(payload, 0, payload.length);
    const end = text?.indexOf(SEPARATOR) ?? -1;
    const place = end < 0 ? undefined : parsePlace(text!.slice(end + 1));
    return place === undefined ? undefined : { place, call: text!.slice(0, end) || undefined };
  }

  #macOf(payload: Uint8Array, dialog: string): Uint8Array {
    const suffix = encodeUtf8(`${SEPARATOR}${dialog}`);
    const signed = new Uint8Array(payload.length + suffix.length);
    signed.set(payload);
    signed.set(suffix, payload.length);
    return this.#crypto.hmacSha256(this.#key, signed).subarray(0, MAC_BYTES);
  }
}
