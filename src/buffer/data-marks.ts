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

/**
 * What stands in Redis beside a site's stream, about its data: the epoch, a random key that is made where there is none,
 * so that emptied data shows, and the loss that no operator has acknowledged yet.
 */
export class DataMarks {
  readonly #options: DataMarksOptions;
  #epoch: string | undefined;
  #loss: DataLoss | undefined;
  #lossUnstored = false;

  constructor(options: DataMarksOptions) {
    this.#options = options;
  }

  /** Names the data that Redis holds: another one was started since, where it differs. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  get loss(): DataLoss | undefined {
    return this.#loss;
  }

  async read(): Promise<void> {
    const { redis, key, changed } = this.#options;
    await redis.set(key("epoch"), randomUUID(), "NX").catch(ignoreOutOfMemory);
    if (this.#lossUnstored) await this.#storeLoss().catch(ignoreOutOfMemory);
    const [epoch, loss] = await redis.mget(key("epoch"), key("loss"));
    this.#epoch = epoch ?? undefined;
    if (!loss && this.#lossUnstored) return;
    const known = this.#loss;
    this.#loss = loss ? readLoss(loss) : undefined;
    if (known?.message !== this.#loss?.message) changed();
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
    this.#loss = joined(this.#loss, message);
    this.#options.changed();
    this.#lossUnstored = true;
    await this.#storeLoss().catch(ignoreOutOfMemory);
  }

  /** An operator has taken note of the loss. */
  async acknowledgeLoss(): Promise<void> {
    await this.#options.redis.del(this.#options.key("loss"));
    this.#loss = undefined;
    this.#options.changed();
  }

  async #storeLoss(): Promise<void> {
    await this.#options.redis.set(this.#options.key("loss"), JSON.stringify(this.#loss));
    this.#lossUnstored = false;
  }
}

/** One that nobody has acknowledged yet stays told; only the first and the last of many are. */
function joined(open: DataLoss | undefined, message: string): DataLoss {
  if (!open || open.message.includes(message)) return open ?? { at: new Date(), message };
  const [first = ""] = open.message.split(NEXT_LOSS);
  return { at: open.at, message: `${first}${NEXT_LOSS}${message}` };
}

const NEXT_LOSS = " -- and after that: ";

function readLoss(text: string): DataLoss {
  try {
    const { at, message } = JSON.parse(text) as { at: string; message: string };
    if (!Number.isNaN(Date.parse(at))) return { at: new Date(at), message: String(message) };
  } catch {
    // Somebody else wrote it; it is told as it is.
  }
  return { at: new Date(), message: text };
}
