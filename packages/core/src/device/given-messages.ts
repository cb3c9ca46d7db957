/**
 * Messages between the server and the app's "done": given once, however often they come, and acknowledged only when the
 * cursor that says so is stored. Here is who may be given, and what may be acknowledged; nothing is sent here.
 */
import { Cursor, type CursorValue } from './cursor.js';

/** A message that the app has, or has finished while that is not stored yet. */
interface Given {
  readonly sequence: number;
  /** Of the connection on which it came last. */
  packetId: number;
  connection: number;
  /** Of the cursor that has it; 0: the app is not done. */
  revision: number;
}

export class GivenMessages {
  #cursor: Cursor | null;
  readonly #byId = new Map<number, Given>();
  readonly #idBySequence = new Map<number, number>();
  #nextId = 1;
  /** Counts changes of the cursor. */
  #revision = 0;
  #storedRevision = 0;
  /** The one that is being stored; 0: none is. */
  #storingRevision = 0;

  constructor(cursor: CursorValue | undefined) {
    this.#cursor = cursor === undefined ? null : new Cursor(cursor.epoch, cursor.through, cursor.beyond);
  }

  /** Messages that the app has, or of which the end is not stored. */
  get size(): number {
    return this.#byId.size;
  }

  get epoch(): string | undefined {
    return this.#cursor?.epoch;
  }

  /**
   * A connection has opened. Under another epoch the numbers mean nothing any more, and what was given under the old one
   * cannot be acknowledged.
   */
  handleEpoch(epoch: string | undefined): void {
    if (epoch === this.#cursor?.epoch) return;
    this.#byId.clear();
    this.#idBySequence.clear();
    this.#cursor = epoch === undefined ? null : new Cursor(epoch);
    this.#storedRevision = this.#revision;
  }

  /**
   * A message has come. A number: the id under which it is to be given. `known`: the app has it, or its end is being
   * stored. `repeat`: it is handled and that is stored; acknowledge it.
   *
   * @param packetId 0: it is not acknowledged.
   */
  take(sequence: number, packetId: number, connection: number): number | 'known' | 'repeat' {
    if (sequence > 0) {
      const known = this.#byId.get(this.#idBySequence.get(sequence) ?? 0);
      if (known !== undefined) {
        known.packetId = packetId;
        known.connection = connection;
        return 'known';
      }
      if (this.#cursor?.has(sequence) === true) return 'repeat';
    }
    const id = this.#nextId++;
    this.#byId.set(id, { sequence, packetId, connection, revision: 0 });
    if (sequence > 0) this.#idBySequence.set(sequence, id);
    return id;
  }

  /**
   * The app is done with it.
   *
   * @returns the packet id to acknowledge at once, of a message without a number; 0: none.
   */
  finish(id: number, isHandled: boolean, connection: number): number {
    const given = this.#byId.get(id);
    if (given === undefined || given.revision > 0) return 0;
    if (isHandled && given.sequence > 0 && this.#cursor !== null) {
      this.#cursor.add(given.sequence);
      given.revision = this.#revision += 1;
      return 0;
    }
    this.#forget(id, given);
    return isHandled && given.connection === connection ? given.packetId : 0;
  }

  /** The cursor to be stored now; undefined: it is stored, or being stored. */
  nextCursor(): CursorValue | undefined {
    if (this.#storingRevision > 0 || this.#revision === this.#storedRevision) return undefined;
    this.#storingRevision = this.#revision;
    return this.#cursor?.value;
  }

  /** It is stored, or could not be. Returns the packet ids to acknowledge on this connection. */
  handleStored(isStored: boolean, connection: number): readonly number[] {
    const revision = this.#storingRevision;
    this.#storingRevision = 0;
    if (!isStored || revision === 0) return [];
    this.#storedRevision = Math.max(this.#storedRevision, revision);
    const packetIds: number[] = [];
    for (const [id, given] of this.#byId) {
      if (given.revision === 0 || given.revision > revision) continue;
      this.#forget(id, given);
      if (given.connection === connection) packetIds.push(given.packetId);
    }
    return packetIds;
  }

  #forget(id: number, { sequence }: Given): void {
    this.#byId.delete(id);
    if (sequence > 0) this.#idBySequence.delete(sequence);
  }
}
