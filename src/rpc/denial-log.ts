import { TokenBucket } from "../lib/token-bucket.ts";

/** Denials in the log for each caller; beyond that they are counted. */
const logged = { perSecond: 10, burst: 100 };
/** Known callers that are counted each for themselves. */
const counted = 1_000;

interface Allowance {
  bucket: TokenBucket;
  unlogged: number;
}

/**
 * Which denials go into the log: so many of each known caller, and so many of all others together, whose noise hides nothing
 * that a known one does.
 */
export class DenialLog {
  readonly #strangers = allowance();
  /** By the caller's id; whose denial is longest ago goes first. */
  readonly #known = new Map<string, Allowance>();

  /** How many were left out before this one; undefined: this one is left out. */
  take(id: string | undefined): number | undefined {
    const allowed = id === undefined ? this.#strangers : this.#of(id);
    if (!allowed.bucket.take(1)) {
      allowed.unlogged += 1;
      return undefined;
    }
    const { unlogged } = allowed;
    allowed.unlogged = 0;
    return unlogged;
  }

  #of(id: string): Allowance {
    const allowed = this.#known.get(id) ?? allowance();
    this.#known.delete(id);
    this.#known.set(id, allowed);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= counted) break;
      this.#known.delete(oldest);
    }
    return allowed;
  }
}

function allowance(): Allowance {
  return { bucket: new TokenBucket(logged), unlogged: 0 };
}
