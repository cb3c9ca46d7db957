/**
 * Packet ids of deliveries. An id is the inbox sequence number folded to 16 bits, so that it survives a crash of
 * the server without a write, and is unfolded by arithmetic, without a table.
 */

/** Ids are 1 … 65,535: zero is not allowed ([MQTT-2.2.1-3]). */
const IDS = 65_535;

/** The packet id of an inbox sequence number, 1 …. */
export function packetIdOf(sequence: number): number {
  return 1 + ((sequence - 1) % IDS);
}

/**
 * The sequence number that was sent with this id: the one at or below `lastSequence` that folds to it, which the
 * hub keeps unique by never having more than 65,534 numbers under way. 0: nothing was sent with this id.
 */
export function sequenceOf(packetId: number, lastSequence: number): number {
  if (lastSequence === 0) return 0;
  const sequence = lastSequence - ((packetIdOf(lastSequence) - packetId + IDS) % IDS);
  return sequence > 0 ? sequence : 0;
}
