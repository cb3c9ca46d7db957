/** Finds what a mistyped name was probably meant to be. */

/** Edits (insert, delete, replace, swap of neighbours) between two words, case left aside. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const same = left[row - 1] === right[column - 1];
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && left[row - 1] === right[column - 2];
      if (swapped && left[row - 2] === right[column - 1]) cost = Math.min(cost, beforeLast[column - 2]! + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[right.length]!;
}

/** The known name closest to `name`; undefined when none is close enough to be meant. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const plain = (word: string): string => word.toLowerCase().replaceAll(/[-_]/g, '');
  const wanted = plain(name).slice(0, 100);
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
