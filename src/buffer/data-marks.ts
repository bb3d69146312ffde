import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Logger } from "../lib/logger.ts";
import type { DataLoss } from "../replication/status.ts";
import { ignoreOutOfMemory } from "./durability.ts";

export interface DataMarksOptions {
  redis: Redis;
  /** Keys of the site. */
  key: (name: string) => string;
  logger: Logger;
  /** The loss that is known is another one now. */
  changed: () => void;
  /** Values of sequences that were leased before are not to be handed out any more. */
  leasesDropped: () => void;
}

/** Where a site keeps the values of sequences that nobody has taken yet. */
export const LEASED_VALUES = "leased-values";

/** Stands for the one loss that an older version kept, in a key of its own: it sorts before all fields. */
const SINGLE = "";

/**
 * What stands in Redis beside a site's stream, about its data: the epoch, a random key that is made where there is none,
 * so that emptied data shows, and the losses that no operator has acknowledged yet. Each loss is a field of its own in
 * a hash, so that no process overwrites or acknowledges what another one has told meanwhile.
 */
export class DataMarks {
  readonly #options: DataMarksOptions;
  #epoch: string | undefined;
  /** By field. Fields sort by the time at which they were told. */
  #stored = new Map<string, DataLoss>();
  readonly #unstored = new Map<string, DataLoss>();
  /** A read that was under way must not bring them back. */
  readonly #acknowledged = new Set<string>();
  #loss: DataLoss | undefined;
  /** What each loss that was shown is made of. */
  readonly #shown = new WeakMap<DataLoss, readonly string[]>();
  #told = 0;

  constructor(options: DataMarksOptions) {
    this.#options = options;
  }

  /** Names the data that Redis holds: another one was started since, where it differs. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** All losses that nobody has acknowledged, in one; only the first and the last of many are told in words. */
  get loss(): DataLoss | undefined {
    return this.#loss;
  }

  async read(): Promise<void> {
    const { redis, key } = this.#options;
    await redis.set(key("epoch"), randomUUID(), "NX").catch(ignoreOutOfMemory);
    await this.#store().catch(ignoreOutOfMemory);
    const before = new Set(this.#stored.keys());
    const [[epoch, single], losses] = await Promise.all([
      redis.mget(key("epoch"), key("loss")),
      redis.hgetall(key("losses")),
    ]);
    this.#epoch = epoch ?? undefined;
    const told = Object.entries({ ...(single ? { [SINGLE]: single } : {}), ...losses })
      .filter(([field]) => !this.#acknowledged.has(field))
      .map(([field, text]) => [field, readLoss(text)] as const);
    // What was stored while Redis was asked may not be in its answer.
    const since = [...this.#stored].filter(([field]) => !before.has(field));
    this.#stored = new Map([...told, ...since]);
    this.#show();
  }

  /**
   * Redis has lost something: what it still has of leased values may have been handed out since, so none of it is handed
   * out again. Before anything else is mended, for after that the loss cannot be told from the data any more.
   */
  async dropLeases(): Promise<void> {
    await this.#options.redis.del(this.#options.key(LEASED_VALUES));
    this.#options.leasesDropped();
  }

  /** Loudly: in the log, in the status, and in Redis, so that a restart does not hide it. */
  async reportLoss(message: string): Promise<void> {
    this.#options.logger.error({}, message);
    // What had to be begun again is told once.
    if (![...this.#stored.values(), ...this.#unstored.values()].some((known) => known.message === message)) {
      const at = new Date();
      this.#told += 1;
      this.#unstored.set(`${at.toISOString()} ${String(this.#told).padStart(9, "0")} ${randomUUID()}`, { at, message });
      this.#show();
    }
    await this.#store().catch(ignoreOutOfMemory);
  }

  /** An operator has taken note of the loss as it was shown; what was told since stays. */
  async acknowledgeLoss(loss = this.#loss): Promise<void> {
    const fields = (loss && this.#shown.get(loss)) ?? [];
    const { redis, key } = this.#options;
    const single = fields.includes(SINGLE);
    const own = fields.filter((field) => field !== SINGLE);
    await Promise.all([single && redis.del(key("loss")), own.length > 0 && redis.hdel(key("losses"), ...own)]);
    for (const field of fields) {
      if (field !== SINGLE) this.#acknowledged.add(field);
      this.#stored.delete(field);
      this.#unstored.delete(field);
    }
    this.#show();
  }

  async #store(): Promise<void> {
    for (const [field, { at, message }] of this.#unstored) {
      await this.#options.redis.hsetnx(this.#options.key("losses"), field, JSON.stringify({ at, message }));
      const stored = this.#unstored.get(field);
      if (!stored) continue; // acknowledged meanwhile
      this.#stored.set(field, stored);
      this.#unstored.delete(field);
    }
  }

  #show(): void {
    const known = [...this.#stored, ...this.#unstored].sort(([one], [other]) => (one < other ? -1 : 1));
    const fields = [...new Set(known.map(([field]) => field))];
    const before = this.#loss && this.#shown.get(this.#loss);
    const loss = joined(known.map(([, each]) => each));
    if (before?.join() === fields.join() && this.#loss?.message === loss?.message) return;
    this.#loss = loss;
    if (loss) this.#shown.set(loss, fields);
    this.#options.changed();
  }
}

function joined(losses: readonly DataLoss[]): DataLoss | undefined {
  const [first] = losses;
  const last = losses.at(-1);
  if (!first || !last) return undefined;
  const messages = new Set(losses.map(({ message }) => message));
  if (messages.size === 1) return { ...first };
  const count = losses.length > 2 ? ` (${losses.length} losses in all)` : "";
  return { at: first.at, message: `${first.message} -- and after that${count}: ${last.message}` };
}

function readLoss(text: string): DataLoss {
  try {
    const { at, message } = JSON.parse(text) as { at: string; message: string };
    if (!Number.isNaN(Date.parse(at))) return { at: new Date(at), message: String(message) };
  } catch {
    // Somebody else wrote it; it is told as it is.
  }
  return { at: new Date(), message: text };
}
