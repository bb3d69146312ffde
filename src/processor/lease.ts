import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";

// KEYS[1] string: the holder. ARGV[1] holder, ARGV[2] milliseconds. Answers 1 where the caller holds the lease afterwards.
// Renewing needs no memory, so that Redis does it although it has none left.
const TAKE = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if holder then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

// KEYS[1] string: the holder. ARGV[1] holder. Answers 1 where the caller held it.
const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/**
 * Decides which of a site's processes drains the buffer. It only spares useless work: what makes a second processor
 * harmless is the fencing token of the cursor on the main database.
 */
export class Lease {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #leaseMs: number;
  readonly #holder = randomUUID();

  constructor({ redis, key, leaseMs }: { redis: Redis; key: string; leaseMs: number }) {
    this.#redis = redis;
    this.#key = key;
    this.#leaseMs = leaseMs;
  }

  /**
   * Takes or renews it. Answers false while another process holds it; rejects while Redis is away, and with a ReplyError
   * where Redis refuses.
   */
  async take(): Promise<boolean> {
    return (await this.#redis.eval(TAKE, 1, this.#key, this.#holder, this.#leaseMs)) === 1;
  }

  async release(): Promise<void> {
    await this.#redis.eval(RELEASE, 1, this.#key, this.#holder);
  }
}
