import { OpsDbError } from "../errors.ts";
import { aborted, Deadline } from "../lib/abort.ts";
import { LEASED_VALUES } from "./data-marks.ts";
import type { RedisWriteBuffer } from "./redis-write-buffer.ts";

/** Values of a sequence: from, from + step, and so on, so many. */
export interface ValueRange {
  from: bigint;
  count: number;
  step: bigint;
}

export interface LeasedValuesOptions {
  buffer: Pick<RedisWriteBuffer, "redis" | "key" | "session" | "accepting" | "refusal">;
  /** How many values a process takes out of Redis at once, at most. */
  pieceSize: number;
  /** Longest time for taking values, milliseconds. */
  timeoutMs: number;
}

/** How far main has given values of each sequence to this site. */
const LEASED_TO = "leased-to";
const LEASED_ON = "leased-on-timeline";
const LEASING = "leasing";
/** At most so many pieces are taken at once. */
const PIECES_AT_ONCE = 1_000;

/**
 * Values of main's sequences that this site has leased and not handed out yet. They lie in Redis in pieces, members of one
 * sorted set: `{sequence id} {first value} {count} {step}`. A process takes a piece by removing it, one command that only one
 * process is told to have done, on disk before the answer; what it then holds in memory is gone when it ends.
 *
 * A value is handed out once. Redis may come back as an older copy, with pieces that had been taken: so what was taken on
 * one connection is not handed out on another (`session`), and a write is appended on the connection on which its values
 * were taken. A copy that lacks writes is found out by them (`RedisWriteBuffer`), and then all pieces are dropped.
 */
export class LeasedValues {
  readonly #options: LeasedValuesOptions;
  /** By sequence: what this process has taken, and in which session. */
  readonly #taken = new Map<string, { session: number; ranges: ValueRange[]; size: number }>();
  /** What is in Redis, as it was counted last. */
  readonly #counted = new Map<string, { pieces: number; size: number }>();
  readonly #taking = new Map<string, Promise<boolean>>();

  constructor(options: LeasedValuesOptions) {
    this.#options = options;
  }

  /** Hands out so many values; undefined where there are not that many. Throws BUFFER_UNAVAILABLE. */
  async take(id: string, count: number): Promise<TakenValues | undefined> {
    while (this.#own(id).size < count) {
      // One at a time, so that callers who come together share a piece.
      const running = this.#taking.get(id);
      if (running) {
        await running.catch(() => {});
        continue;
      }
      const taking = this.#takePieces(id, count).finally(() => this.#taking.delete(id));
      this.#taking.set(id, taking);
      if (!(await taking)) return undefined;
    }
    return new TakenValues(id, this.#options.buffer.session, shift(this.#own(id), count));
  }

  /** Whether a write may still be stored with them. */
  isCurrent({ session }: TakenValues): boolean {
    return session === this.#options.buffer.session;
  }

  /** Values that no caller was told and no write was stored with. */
  giveBack(taken: TakenValues): void {
    if (!this.isCurrent(taken)) return;
    const own = this.#own(taken.id);
    own.ranges.unshift(...taken.values.map((from) => ({ from, count: 1, step: 1n })));
    own.size += taken.values.length;
  }

  /** How many are left of each, with what this process has taken. */
  async sizes(ids: readonly string[]): Promise<number[]> {
    const sizes = await Promise.all(ids.map((id) => this.#sizeInRedis(id)));
    return sizes.map((size, i) => size + this.#own(ids[i] ?? "").size);
  }

  /**
   * Keeps what was leased, and answers how many values of it. Those that main has given before are left out: a main that
   * failed over without its last commits, or whose sequence was set back, gives them again.
   */
  async add(id: string, ranges: readonly ValueRange[]): Promise<number> {
    const { buffer, pieceSize } = this.#options;
    const [first] = ranges;
    if (!first) return 0;
    const marks = buffer.key(LEASED_TO);
    // The furthest in the sequence's own direction. Scores are floats: beyond 2^53 a few more are left out.
    const distance = (value: bigint): number => Number(first.step > 0n ? value : -value);
    const mark = await buffer.redis.zscore(marks, id);
    const fresh = mark === null ? [...ranges] : ranges.flatMap((range) => beyond(range, Number(mark), distance));
    const last = Math.max(...fresh.map(({ from, count, step }) => distance(from + step * BigInt(count - 1))));
    if (fresh.length === 0) return 0;
    // The mark first: what it does not know of must not be in stock.
    await buffer.redis.zadd(marks, "GT", last, id);
    const pieces = fresh.flatMap((range) => cut(range, pieceSize));
    await buffer.redis.zadd(this.#key, ...pieces.flatMap((piece) => [0, nameOf(id, piece)]));
    return fresh.reduce((sum, { count }) => sum + count, 0);
  }

  /** Lets one process of the site at a time lease, to spare main useless work. Answers whether it is this one. */
  async begin(longestMs: number): Promise<boolean> {
    const { buffer } = this.#options;
    return (await buffer.redis.set(buffer.key(LEASING), "1", "PX", longestMs, "NX")) !== null;
  }

  async end(): Promise<void> {
    const { buffer } = this.#options;
    await buffer.redis.del(buffer.key(LEASING));
  }

  /** The timeline of main on which values were leased last. */
  async timeline(): Promise<number | undefined> {
    const { buffer } = this.#options;
    const text = await buffer.redis.get(buffer.key(LEASED_ON));
    return text === null ? undefined : Number(text);
  }

  async noteTimeline(timeline: number): Promise<void> {
    const { buffer } = this.#options;
    await buffer.redis.set(buffer.key(LEASED_ON), timeline);
  }

  /** Pieces are looked at only where their number has changed. */
  async #sizeInRedis(id: string): Promise<number> {
    const { redis } = this.#options.buffer;
    const pieces = await redis.zlexcount(this.#key, ...within(id));
    const counted = this.#counted.get(id);
    if (counted?.pieces === pieces) return counted.size;
    const members = await redis.zrangebylex(this.#key, ...within(id));
    const size = members.reduce((sum, member) => sum + rangeOf(member).count, 0);
    this.#counted.set(id, { pieces: members.length, size });
    return size;
  }

  get #key(): string {
    return this.#options.buffer.key(LEASED_VALUES);
  }

  #own(id: string): { session: number; ranges: ValueRange[]; size: number } {
    const { session } = this.#options.buffer;
    let own = this.#taken.get(id);
    if (own?.session !== session) {
      own = { session, ranges: [], size: 0 };
      this.#taken.set(id, own);
    }
    return own;
  }

  /** Answers false where Redis has too few. */
  async #takePieces(id: string, count: number): Promise<boolean> {
    const { buffer, pieceSize, timeoutMs } = this.#options;
    if (!buffer.accepting.value) throw buffer.refusal ?? unavailable("the buffer is not connected");
    const { redis, session } = buffer;
    const wanted = Math.ceil((count - this.#own(id).size) / pieceSize);
    using deadline = new Deadline(timeoutMs);
    try {
      const limit = Math.min(wanted, PIECES_AT_ONCE);
      const members = await aborted(deadline.signal, redis.zrangebylex(this.#key, ...within(id), "LIMIT", 0, limit));
      // Each by itself: only so is it known which of them another process was faster with.
      const removals = members.map((member) => redis.zrem(this.#key, member));
      const removed = await aborted(deadline.signal, Promise.allSettled(removals));
      if (buffer.session !== session) throw new Error("the connection to Redis broke");
      const own = this.#own(id);
      for (const [i, removal] of removed.entries()) {
        if (removal.status === "rejected" || removal.value === 0) continue;
        const range = rangeOf(members[i] ?? "");
        own.ranges.push(range);
        own.size += range.count;
      }
      return members.length > 0;
    } catch (error) {
      throw unavailable(error instanceof Error ? error.message : String(error), error);
    }
  }
}

/** Values that were taken for one write. */
export class TakenValues {
  readonly id: string;
  readonly session: number;
  readonly values: readonly bigint[];

  constructor(id: string, session: number, values: readonly bigint[]) {
    this.id = id;
    this.session = session;
    this.values = values;
  }
}

function unavailable(reason: string, cause?: unknown): OpsDbError {
  return new OpsDbError("BUFFER_UNAVAILABLE", `no value of a sequence can be taken out of Redis: ${reason}`, {
    retryAfterMs: 1_000,
    cause,
  });
}

function shift(own: { ranges: ValueRange[]; size: number }, count: number): bigint[] {
  const values: bigint[] = [];
  while (values.length < count) {
    const [range] = own.ranges;
    if (!range) throw new RangeError("bug: fewer values than counted");
    values.push(range.from);
    range.from += range.step;
    range.count -= 1;
    if (range.count === 0) own.ranges.shift();
  }
  own.size -= count;
  return values;
}

/** The rest of a range behind the mark. */
function beyond(range: ValueRange, mark: number, distance: (value: bigint) => number): ValueRange[] {
  let skipped = 0;
  while (skipped < range.count && distance(range.from + range.step * BigInt(skipped)) <= mark) skipped += 1;
  if (skipped === range.count) return [];
  return [{ ...range, from: range.from + range.step * BigInt(skipped), count: range.count - skipped }];
}

function cut(range: ValueRange, size: number): ValueRange[] {
  const pieces: ValueRange[] = [];
  for (let done = 0; done < range.count; done += size)
    pieces.push({
      from: range.from + range.step * BigInt(done),
      count: Math.min(size, range.count - done),
      step: range.step,
    });
  return pieces;
}

/** Members of one sequence. */
function within(id: string): [string, string] {
  return [`[${id} `, `(${id}!`];
}

/** With zeros in front, so that values are handed out in their order. */
function nameOf(id: string, { from, count, step }: ValueRange): string {
  const digits = (from < 0n ? -from : from).toString().padStart(20, "0");
  return `${id} ${from < 0n ? "-" : ""}${digits} ${count} ${step}`;
}

function rangeOf(member: string): ValueRange {
  const [, from = "", count = "", step = ""] = member.split(" ");
  return { from: BigInt(from), count: Number(count), step: BigInt(step) };
}
