/**
 * The contract of {@link Store}, as cases that each adapter's tests run against it. Needs no test runner: an
 * adapter's test loops over the cases. The rules:
 *
 * - [ST-1] `get` returns the last committed value of a key, undefined when there is none or it was deleted. An
 *   empty value is a value. Tables do not see each other's keys.
 * - [ST-2] Bytes returned belong to the caller. Keys may be reused as soon as `commit` has returned, values as
 *   soon as it has settled.
 * - [ST-3] `scan` yields the entries from `from` (included) to `to` (excluded), at most `limit`, ordered as
 *   unsigned bytes with a prefix first; backwards with `reverse`.
 * - [ST-4] An iterator may be abandoned, and `get` and other scans may be made between its steps.
 * - [ST-5] Within one batch, the later of two changes to one key wins. Deleting what is not there is no error.
 *   An empty batch succeeds.
 * - [ST-6] A batch becomes visible as a whole, across tables, at the latest when its `commit` resolves.
 * - [ST-7] Batches take effect, and their promises resolve, in the order of the calls.
 * - [ST-8] What was resolved is there after closing and opening again.
 * - [ST-9] After a crash every resolved batch is there; of those under way the first few, each whole.
 * - [ST-10] A batch that failed has no effect, every batch called before that was known and behind it fails
 *   too, and the next call starts from the last batch that succeeded. The error is STORE_COMMIT_FAILED.
 * - [ST-11] `close` waits for the commits under way; afterwards `commit` rejects with STORE_CLOSED. Closing twice
 *   is no error.
 * - [ST-12] Keys of 1 … `limits.storeKeyBytesMax` bytes, values of 0 bytes to several MB and batches of thousands
 *   of changes are stored as they are.
 * - [ST-13] A key of another length is refused, with nothing of its batch.
 */
import { limits, Prng, WakelineError } from '../base/index.js';
import type { Store, StoreChange, StoreRange, Table } from '../ports/index.js';
import { compareBytes } from './sorted-table.js';

/** One adapter's data, for the length of one case. */
export interface StoreHarness {
  /** Opens the store on fresh data. Called once, first. */
  open(): Promise<Store>;
  /** Closes the store and opens it on the same data. */
  reopen(): Promise<Store>;
  /** Loss of power, then opens on what is left. Absent where an adapter cannot do it in its own process. */
  crash?(): Promise<Store>;
  /** Makes the next commit fail. Absent where an adapter cannot. */
  failNextCommit?(): void;
  /** Releases everything and removes the data. */
  dispose(): Promise<void>;
}

export interface StoreContractCase {
  /** Begins with the rule's number. */
  readonly title: string;
  /** Throws when the rule is broken. */
  run(): Promise<void>;
}

type CaseBody = (store: Store, harness: StoreHarness) => Promise<void>;

/** The cases for one adapter; each makes and disposes of its own harness. */
export function storeContract(makeHarness: () => StoreHarness): readonly StoreContractCase[] {
  return Object.entries(cases).map(([title, body]) => ({
    title,
    async run(): Promise<void> {
      const harness = makeHarness();
      try {
        await body(await harness.open(), harness);
      } finally {
        await harness.dispose();
      }
    },
  }));
}

const cases: Readonly<Record<string, CaseBody>> = {
  '[ST-1] returns what was committed, per table': async (store) => {
    check(store.get('log', bytes(1)) === undefined, 'nothing is there at first');
    await store.commit([
      put('log', bytes(1), bytes(7, 8)),
      put('cursor', bytes(1), bytes(9)),
      put('meta', bytes(2), bytes()),
    ]);
    checkBytes(store.get('log', bytes(1)), bytes(7, 8), 'log');
    checkBytes(store.get('cursor', bytes(1)), bytes(9), 'cursor');
    checkBytes(store.get('meta', bytes(2)), bytes(), 'an empty value is a value');
    check(store.get('device', bytes(1)) === undefined, 'another table does not see it');
    await store.commit([put('log', bytes(1), bytes(1)), drop('cursor', bytes(1)), drop('meta', bytes(2))]);
    checkBytes(store.get('log', bytes(1)), bytes(1), 'replaced');
    check(store.get('cursor', bytes(1)) === undefined, 'deleted');
    check(store.get('meta', bytes(2)) === undefined, 'the empty value deleted');
  },

  '[ST-2] bytes returned belong to the caller': async (store) => {
    for (const size of [1, 100, 4_000, 16_360, 40_000, 1_000_000]) {
      const key = bytes(size & 0xff, size >> 8);
      const value = filled(size, 3);
      await store.commit([put('log', key, value), put('cursor', bytes(1), filled(size, 4))]);
      const first = store.get('log', key)!;
      const scanned = [...store.scan('log', { from: key, limit: 1 })][0]!;
      store.get('cursor', bytes(1));
      for (const _ of store.scan('cursor'));
      await store.commit([put('log', key, filled(size, 5))]);
      checkBytes(first, value, `get, ${size} bytes`);
      checkBytes(scanned.value, value, `scan, ${size} bytes`);
      checkBytes(scanned.key, key, 'key');
      first.fill(9);
      scanned.key.fill(0xee);
      checkBytes(store.get('log', key), filled(size, 5), 'writing to the copy changes nothing');
    }
  },

  '[ST-2] lent values are what was committed, each in its step': async (store) => {
    const sizes = [1, 100, 0, 4_000, 16_360, 1_000_000, 40_000, 7];
    await store.commit(sizes.map((size, index) => put('log', bytes(index), filled(size, index))));
    const reverse = { isLent: true, reverse: true, from: bytes(1), to: bytes(6), limit: 3 } as const;
    for (const range of [
      { isLent: true },
      { isLent: true, from: bytes(2), to: bytes(5) },
      reverse,
    ] as const) {
      const whole = [...store.scan('log', { ...range, isLent: false })];
      const copies: Uint8Array[] = [];
      for (const { key, value } of store.scan('log', range)) {
        const { key: wantedKey, value: wanted } = whole[copies.length]!;
        checkBytes(key, wantedKey, 'key');
        checkBytes(value, wanted, 'value');
        copies.push(value.slice());
      }
      check(copies.length === whole.length, 'all of them');
      for (const [step, { value }] of whole.entries()) checkBytes(copies[step], value, 'copied in its step');
    }
    for (const _ of store.scan('log', { isLent: true })) break;
    await store.commit([drop('log', bytes(0))]);
    check(
      [...store.scan('log', { isLent: true })].length === sizes.length - 1,
      'after one that was abandoned',
    );
  },

  '[ST-2] keys and values may be reused afterwards': async (store) => {
    const key = bytes(1, 1);
    const value = bytes(5, 5, 5);
    const committing = store.commit([put('log', key, value)]);
    key.fill(0xff);
    await committing;
    value.fill(6);
    checkBytes(store.get('log', bytes(1, 1)), bytes(5, 5, 5), 'as given');
    check(store.get('log', bytes(0xff, 0xff)) === undefined, 'not under the later key');
  },

  '[ST-3] scans in the order of unsigned bytes': async (store) => {
    const keys = [
      bytes(0),
      bytes(0, 0),
      bytes(0, 1),
      bytes(1),
      bytes(1, 0),
      bytes(1, 255),
      bytes(2),
      bytes(127),
      bytes(128),
      bytes(255),
      bytes(255, 255),
    ];
    await store.commit(keys.toReversed().map((key) => put('device', key, key)));
    checkKeys(store, 'device', {}, keys);
    checkKeys(store, 'device', { reverse: true }, keys.toReversed());
    checkKeys(store, 'device', { from: bytes(1), to: bytes(2) }, keys.slice(3, 6));
    checkKeys(
      store,
      'device',
      { from: bytes(1), to: bytes(2), reverse: true },
      keys.slice(3, 6).toReversed(),
    );
    checkKeys(store, 'device', { from: bytes(1, 1) }, keys.slice(5));
    checkKeys(store, 'device', { to: bytes(0) }, []);
    checkKeys(store, 'device', { to: bytes(0), reverse: true }, []);
    checkKeys(store, 'device', { from: bytes(0), reverse: true, limit: 1 }, keys.slice(-1));
    checkKeys(store, 'device', { from: bytes(2), to: bytes(1) }, []);
    checkKeys(store, 'device', { from: bytes(2), to: bytes(1), reverse: true }, []);
    checkKeys(store, 'device', { from: bytes(3), to: bytes(3) }, []);
    checkKeys(store, 'device', { limit: 0 }, []);
    checkKeys(store, 'device', { limit: 3 }, keys.slice(0, 3));
    checkKeys(store, 'device', { limit: 100 }, keys);
    checkKeys(store, 'log', {}, []);
    checkKeys(store, 'log', { reverse: true }, []);
  },

  '[ST-3] agrees with a sorted list over random changes and ranges': async (store) => {
    for (let seed = 1; seed <= 4; seed++) {
      const prng = new Prng(seed);
      const model = new Map<string, Uint8Array>();
      await store.commit([...store.scan('receipt')].map(({ key }) => drop('receipt', key)));
      for (let round = 0; round < 40; round++) {
        const changes: StoreChange[] = [];
        for (let count = prng.nextInteger(0, 60); count > 0; count--) {
          const key = randomKey(prng);
          const value = prng.nextInteger(0, 3) === 0 ? undefined : filled(prng.nextInteger(0, 50), round);
          changes.push({ table: 'receipt', key, value });
          if (value === undefined) model.delete(key.join());
          else model.set(key.join(), key);
        }
        await store.commit(changes);
        const sorted = [...model.values()].sort(compareBytes);
        for (let probe = 0; probe < 8; probe++) {
          const range: { -readonly [Name in keyof StoreRange]: StoreRange[Name] } = {};
          if (prng.nextInteger(0, 1) === 0) range.from = randomKey(prng);
          if (prng.nextInteger(0, 1) === 0) range.to = randomKey(prng);
          if (prng.nextInteger(0, 1) === 0) range.reverse = true;
          if (prng.nextInteger(0, 3) === 0) range.limit = prng.nextInteger(0, 10);
          checkKeys(store, 'receipt', range, expected(sorted, range), `seed ${seed}, round ${round}`);
        }
      }
    }
  },

  '[ST-4] iterators may be abandoned and interleaved': async (store) => {
    const keys = Array.from({ length: 300 }, (_, index) => bytes(index >> 8, index & 0xff));
    await store.commit(
      keys.flatMap((key) => [put('log', key, filled(20_000, key[1]!)), put('cursor', key, key)]),
    );
    for (let round = 0; round < 200; round++) for (const _ of store.scan('log', { from: bytes(0, 5) })) break;
    let steps = 0;
    for (const outer of store.scan('log')) {
      const inner = [...store.scan('log', { from: outer.key, limit: 2 })];
      checkBytes(inner[0]!.key, outer.key, 'inner scan');
      checkBytes(store.get('cursor', outer.key), outer.key, 'get between');
      checkBytes(outer.value, filled(20_000, outer.key[1]!), 'outer value');
      steps++;
    }
    check(steps === keys.length, `outer scan of ${steps} entries`);
  },

  '[ST-5] the later change of a batch wins; deleting nothing and an empty batch are no errors': async (
    store,
  ) => {
    await store.commit([
      drop('log', bytes(9)),
      put('log', bytes(1), bytes(1)),
      put('log', bytes(1), bytes(2)),
      put('log', bytes(2), bytes(1)),
      drop('log', bytes(2)),
      drop('log', bytes(3)),
      put('log', bytes(3), bytes(3)),
    ]);
    checkBytes(store.get('log', bytes(1)), bytes(2), 'put, put');
    check(store.get('log', bytes(2)) === undefined, 'put, delete');
    checkBytes(store.get('log', bytes(3)), bytes(3), 'delete, put');
    await store.commit([]);
    await store.commit([drop('log', bytes(9))]);
    checkKeys(store, 'log', {}, [bytes(1), bytes(3)]);
  },

  '[ST-6] a batch becomes visible as a whole': async (store) => {
    const rows = Array.from({ length: 50 }, (_, index) => bytes(index));
    let settled = 0;
    const commits = Array.from({ length: 40 }, async (_, round) => {
      await store.commit(
        rows.flatMap((key) => [put('log', key, bytes(round)), put('cursor', key, bytes(round))]),
      );
      settled = round;
      check(look() >= round, `commit ${round} resolved and is not visible`);
    });
    const look = (): number => {
      const seen = new Set<number>();
      for (const table of ['log', 'cursor'] as const)
        for (const { value } of store.scan(table)) seen.add(value[0]!);
      check(seen.size <= 1, `a mixture of batches is visible: ${[...seen].join(', ')}`);
      return [...seen][0] ?? -1;
    };
    const all = Promise.all(commits);
    while (settled < 39) {
      look();
      await Promise.race([all, store.commit([])]);
    }
    await all;
  },

  '[ST-7] batches take effect and resolve in the order of the calls': async (store) => {
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 100 }, async (_, round) => {
        await store.commit([put('meta', bytes(1), bytes(round)), put('log', bytes(1, round), bytes(round))]);
        order.push(round);
      }),
    );
    check(
      order.every((round, index) => round === index),
      `resolved as ${order.join(', ')}`,
    );
    checkBytes(store.get('meta', bytes(1)), bytes(99), 'the last one stays');
    check([...store.scan('log')].length === 100, 'all are there');
  },

  '[ST-8] what was resolved is there after opening again': async (store, harness) => {
    await store.commit([put('log', bytes(1), filled(16_000, 1)), put('token', bytes(2), bytes(2))]);
    const again = await harness.reopen();
    checkBytes(again.get('log', bytes(1)), filled(16_000, 1), 'log');
    checkBytes(again.get('token', bytes(2)), bytes(2), 'token');
    await again.commit([drop('log', bytes(1))]);
    const third = await harness.reopen();
    check(third.get('log', bytes(1)) === undefined, 'deleted before opening again');
    checkKeys(third, 'token', {}, [bytes(2)]);
  },

  '[ST-9] after a crash resolved batches are there, others whole or not at all': async (first, harness) => {
    if (harness.crash === undefined) return;
    let store = first;
    let next = 0;
    let atLeast = 0;
    for (let round = 0; round < 25; round++) {
      let resolved = atLeast;
      for (let count = 0; count < 20; count++) {
        const number = ++next;
        const value = bytes(number >> 8, number & 0xff);
        const commit = store.commit([put('log', value, value), put('meta', bytes(1), value)]);
        void commit.then(() => (resolved = number));
        if (count % 7 === round % 7) await commit;
      }
      atLeast = resolved;
      store = await harness.crash();
      const numbers = [...store.scan('log')].map(({ key }) => key[0]! * 256 + key[1]!);
      check(
        numbers.every((number, index) => number === index + 1),
        'a gap',
      );
      check(numbers.length >= atLeast, `batch ${atLeast} was resolved, ${numbers.length} are there`);
      const last = numbers.length;
      checkBytes(store.get('meta', bytes(1)), bytes(last >> 8, last & 0xff), 'both halves of the last batch');
      next = atLeast = last;
    }
  },

  '[ST-10] a failed batch has no effect and fails those behind it': async (store, harness) => {
    if (harness.failNextCommit === undefined) return;
    await store.commit([put('log', bytes(1), bytes(1))]);
    harness.failNextCommit();
    const outcomes = await Promise.allSettled([
      store.commit([put('log', bytes(1), bytes(2)), put('log', bytes(2), bytes(2))]),
      store.commit([put('log', bytes(3), bytes(3))]),
      store.commit([]),
    ]);
    for (const outcome of outcomes) checkFailed(outcome, 'STORE_COMMIT_FAILED');
    checkKeys(store, 'log', {}, [bytes(1)]);
    checkBytes(store.get('log', bytes(1)), bytes(1), 'the value before');
    await store.commit([put('log', bytes(4), bytes(4))]);
    checkKeys(store, 'log', {}, [bytes(1), bytes(4)]);
  },

  '[ST-11] close waits for commits under way and refuses later ones': async (store, harness) => {
    let settled = 0;
    const commits = Array.from({ length: 5 }, (_, index) =>
      store.commit([put('log', bytes(index), bytes(index))]).then(() => settled++),
    );
    const closing = store.close();
    const late = await Promise.allSettled([store.commit([put('log', bytes(9), bytes(9))])]);
    checkFailed(late[0]!, 'STORE_CLOSED');
    await closing;
    await Promise.all(commits);
    check(settled === 5, `${settled} of 5 settled`);
    await store.close();
    checkFailed((await Promise.allSettled([store.commit([])]))[0]!, 'STORE_CLOSED');
    const again = await harness.reopen();
    checkKeys(
      again,
      'log',
      {},
      Array.from({ length: 5 }, (_, index) => bytes(index)),
    );
  },

  '[ST-12] stores large keys, large values and large batches': async (store) => {
    const long = filled(limits.storeKeyBytesMax, 0xff);
    const short = filled(limits.storeKeyBytesMax - 1, 0xff);
    await store.commit([
      put('subscription', long, filled(5_000_000, 1)),
      put('subscription', short, bytes(2)),
    ]);
    checkBytes(store.get('subscription', long), filled(5_000_000, 1), '5 MB');
    checkKeys(store, 'subscription', {}, [short, long]);
    checkBytes(
      [...store.scan('subscription', { from: long })][0]?.value,
      filled(5_000_000, 1),
      '5 MB scanned',
    );
    const many = Array.from({ length: 20_000 }, (_, index) =>
      put('receipt', bytes(index >> 8, index & 0xff), filled(index % 100, index)),
    );
    await store.commit(many);
    check([...store.scan('receipt')].length === 20_000, 'all of the batch');
    await store.commit(many.map(({ table, key }) => drop(table, key)));
    checkKeys(store, 'receipt', {}, []);
  },

  '[ST-13] refuses a key of the wrong length with its whole batch': async (store) => {
    for (const key of [bytes(), filled(limits.storeKeyBytesMax + 1, 1)]) {
      const outcomes = await Promise.allSettled([
        store.commit([put('log', bytes(1), bytes(1)), put('log', key, bytes(1))]),
      ]);
      check(outcomes[0]!.status === 'rejected', `a key of ${key.length} bytes was accepted`);
      checkKeys(store, 'log', {}, []);
    }
    await store.commit([put('log', bytes(2), bytes(2))]);
    checkKeys(store, 'log', {}, [bytes(2)]);
  },
};

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

function filled(size: number, seed: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let index = 0; index < size; index++) out[index] = seed + (index >> 4);
  if (seed === 0xff) out.fill(0xff);
  return out;
}

function put(table: Table, key: Uint8Array, value: Uint8Array): StoreChange {
  return { table, key, value };
}

function drop(table: Table, key: Uint8Array): StoreChange {
  return { table, key, value: undefined };
}

function randomKey(prng: Prng): Uint8Array {
  return Uint8Array.from({ length: prng.nextInteger(1, 3) }, () => prng.nextInteger(0, 3) * 85);
}

function expected(sorted: readonly Uint8Array[], range: StoreRange): Uint8Array[] {
  const { from, to, reverse, limit } = range;
  const inside = sorted.filter(
    (key) =>
      (from === undefined || compareBytes(key, from) >= 0) && (to === undefined || compareBytes(key, to) < 0),
  );
  return (reverse === true ? inside.toReversed() : inside).slice(0, limit);
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`store contract: ${what}`);
}

function checkBytes(actual: Uint8Array | undefined, wanted: Uint8Array, what: string): void {
  check(actual !== undefined, `${what}: nothing there`);
  check(actual.length === wanted.length, `${what}: ${actual.length} bytes instead of ${wanted.length}`);
  for (let index = 0; index < wanted.length; index++) {
    if (actual[index] !== wanted[index])
      check(false, `${what}: byte ${index} is ${actual[index]}, not ${wanted[index]}`);
  }
}

function checkKeys(
  store: Store,
  table: Table,
  range: StoreRange,
  wanted: readonly Uint8Array[],
  what = '',
): void {
  const keys = [...store.scan(table, range)].map(({ key }) => key.slice(0, 4).join('.'));
  const list = wanted.map((key) => key.slice(0, 4).join('.'));
  const asked = `${range.from?.join('.') ?? ''}…${range.to?.join('.') ?? ''}${range.reverse === true ? ' reverse' : ''} ${range.limit ?? ''}`;
  check(keys.join() === list.join(), `${what} scan ${asked} gave [${keys.join()}], not [${list.join()}]`);
}

function checkFailed(outcome: PromiseSettledResult<unknown>, code: WakelineError['code']): void {
  check(outcome.status === 'rejected', `resolved instead of ${code}`);
  const reason: unknown = outcome.reason;
  check(
    reason instanceof WakelineError && reason.code === code,
    `rejected with ${String(reason)} instead of ${code}`,
  );
}
