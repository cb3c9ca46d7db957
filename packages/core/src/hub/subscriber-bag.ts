/**
 * The subscribers of one filter. Most filters have one, which then needs no collection; many need one from which a
 * single one is taken without a search.
 */

/** An array up to here: smaller and faster to walk than a set. */
const ARRAY_MAX = 32;

export type SubscriberBag<Item extends object> = Item | Item[] | Set<Item>;

/** The bag with one more. */
export function bagAdd<Item extends object>(
  bag: SubscriberBag<Item> | undefined,
  item: Item,
): SubscriberBag<Item> {
  if (bag === undefined) return item;
  if (bag instanceof Set) return bag.add(item);
  if (!Array.isArray(bag)) return [bag, item];
  if (bag.length >= ARRAY_MAX) return new Set(bag).add(item);
  bag.push(item);
  return bag;
}

/** The bag without one; undefined: nothing is left. `isFound` says whether it was there. */
export function bagDelete<Item extends object>(
  bag: SubscriberBag<Item> | undefined,
  item: Item,
): { readonly bag: SubscriberBag<Item> | undefined; readonly isFound: boolean } {
  if (bag === undefined) return { bag, isFound: false };
  if (bag === item) return { bag: undefined, isFound: true };
  if (bag instanceof Set) {
    const isFound = bag.delete(item);
    return { bag: bag.size > ARRAY_MAX / 2 ? bag : [...bag], isFound };
  }
  if (!Array.isArray(bag)) return { bag, isFound: false };
  const index = bag.indexOf(item);
  if (index < 0) return { bag, isFound: false };
  bag.splice(index, 1);
  return { bag: bag.length === 1 ? bag[0] : bag, isFound: true };
}

/** One by one: a list of arguments has a limit, a list of subscribers has not. */
export function bagInto<Item extends object>(bag: SubscriberBag<Item> | undefined, items: Item[]): void {
  if (bag === undefined) return;
  if (Array.isArray(bag) || bag instanceof Set) for (const item of bag) items.push(item);
  else items.push(bag);
}
