/**
 * The members of one shared subscription (`$share/NAME/FILTER`): each message goes to one of them. MQTT 5.0 §4.8.2.
 *
 * Members that are connected lie before those that are absent, so that choosing one looks at few of them, however many
 * there are.
 */
import { fnv1aOfText } from '../base/fnv1a.js';
import type { Subscription } from './subscription.js';

/** Connected members that are looked at for one with room. */
const LOOK_MAX = 32;

export class SharedGroup<Holder> {
  /** What the members subscribe to, `$share/` included. */
  readonly text: string;
  /** The first `#presentCount` are connected. */
  readonly #members: Subscription<Holder>[] = [];
  /** Where each of them lies: a device that comes or goes is found in all its groups, and they may be large. */
  readonly #positions = new Map<Subscription<Holder>, number>();
  #presentCount = 0;
  /** Whose turn it is, among the connected and among the absent. */
  #nextPresent = 0;
  #nextAbsent = 0;

  constructor(text: string) {
    this.text = text;
  }

  get size(): number {
    return this.#members.length;
  }

  add(member: Subscription<Holder>, isPresent: boolean): void {
    this.#positions.set(member, this.#members.push(member) - 1);
    if (isPresent) this.#swap(this.#members.length - 1, this.#presentCount++);
  }

  /** False: it is none of them. */
  remove(member: Subscription<Holder>): boolean {
    if (!this.setPresent(member, false)) return false;
    this.#swap(this.#positions.get(member)!, this.#members.length - 1);
    this.#members.pop();
    this.#positions.delete(member);
    return true;
  }

  /** A member has come or gone. False: it is none of them. */
  setPresent(member: Subscription<Holder>, isPresent: boolean): boolean {
    const index = this.#positions.get(member);
    if (index === undefined) return false;
    const wasPresent = index < this.#presentCount;
    if (isPresent && !wasPresent) this.#swap(index, this.#presentCount++);
    else if (!isPresent && wasPresent) this.#swap(index, --this.#presentCount);
    return true;
  }

  /** The member that gets the next message. There must be one. */
  pick(hasRoom: (holder: Holder) => boolean): Subscription<Holder> {
    const present = this.#presentCount;
    if (present === 0) {
      this.#nextAbsent = (this.#nextAbsent + 1) % this.#members.length;
      return this.#members[this.#nextAbsent]!;
    }
    const start = this.#nextPresent % present;
    for (let look = 0; look < Math.min(present, LOOK_MAX); look++) {
      const index = (start + look) % present;
      const member = this.#members[index]!;
      if (!hasRoom(member.holder)) continue;
      this.#nextPresent = index + 1;
      return member;
    }
    this.#nextPresent = start + 1;
    return this.#members[start]!;
  }

  #swap(a: number, b: number): void {
    const members = this.#members;
    [members[a], members[b]] = [members[b]!, members[a]!];
    this.#positions.set(members[a]!, a);
    this.#positions.set(members[b]!, b);
  }
}

/** Names a shared subscription in a record of the log: FNV-1a of its text, never 0. */
export function groupHash(text: string): number {
  return fnv1aOfText(text) >>> 0 || 1;
}
