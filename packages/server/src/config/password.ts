/**
 * Passwords of users as the configuration keeps them: `scrypt$N$r$p$salt$hash`, salt and hash in base64url.
 *
 * Verifying costs tens of milliseconds on a thread of the pool that the store also uses: callers must bound how
 * many run at once.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

/** RFC 7914 cost of new hashes: 32 MiB and about 90 ms. */
const COST = { N: 32_768, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A configured hash may not ask for more memory than this for one password. */
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;

interface ParsedHash {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function parse(line: string): ParsedHash | undefined {
  const match = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]{11,128})\$([\w-]{22,128})$/.exec(line);
  if (match === null) return undefined;
  const [N, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const isPower = N > 1 && (N & (N - 1)) === 0;
  if (!isPower || r < 1 || p < 1 || p > 16 || 128 * N * r > MEMORY_BYTES_MAX) return undefined;
  return {
    N,
    r,
    p,
    salt: Buffer.from(match[4]!, 'base64url'),
    hash: Buffer.from(match[5]!, 'base64url'),
  };
}

function derive(password: string, salt: Buffer, bytes: number, cost: Omit<ParsedHash, 'salt' | 'hash'>) {
  const { N, r, p } = cost;
  return new Promise<Buffer>((resolve, reject) => {
    scrypt(
      password,
      salt,
      bytes,
      { N, r, p, maxmem: 128 * N * r + 128 * r * p + 1_048_576 },
      (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      },
    );
  });
}

/** Whether `line` is a hash that {@link verifyPassword} can check, at a cost that is bearable. */
export function isPasswordHash(line: string): boolean {
  return parse(line) !== undefined;
}

/** The line for the configuration file. Two calls never give the same line. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, HASH_BYTES, COST);
  const cost = `${COST.N}$${COST.r}$${COST.p}`;
  return `scrypt$${cost}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

/** Compares in constant time. False for a line that is no hash. */
export async function verifyPassword(password: string, line: string): Promise<boolean> {
  const parsed = parse(line);
  if (parsed === undefined) return false;
  const derived = await derive(password, parsed.salt, parsed.hash.length, parsed);
  return timingSafeEqual(derived, parsed.hash);
}
