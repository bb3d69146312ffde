import type { Redis } from "ioredis";
import { formatPosition, type Position, parsePosition, START } from "../position.ts";
import type { RawEntry } from "./buffered-writes.ts";
import { withIdUnchecked } from "./entry-codec.ts";

/** The least that can be in a stream. */
const FIRST: Position = START + 1n;
const SWEEP_PAGE = 1_000;

/** What Redis says of a stream without reading it. */
export interface StreamInfo {
  length: number;
  /** How many entries were ever added to it; undefined where Redis does not count. */
  added: number | undefined;
  /** The last position that it has given; START where there is no stream. */
  generated: Position;
  /** Its oldest entry's position; undefined while it is empty. */
  first: Position | undefined;
  /** What is missing up to here was trimmed, with proof; START where nothing was. */
  trimmedTo: Position;
}

const noStream: StreamInfo = { length: 0, added: 0, generated: START, first: undefined, trimmedTo: START };

/** Everything up to here has left the stream. Less than the mark where somebody has deleted single entries by hand. */
export function leftTo({ first, trimmedTo }: StreamInfo): Position {
  return first !== undefined && first <= trimmedTo ? first - 1n : trimmedTo;
}

/**
 * The Redis stream of one site: an entry per write with its id (i) and payload (w). Its ids are the positions. Every
 * change is one single command, so that a torn tail of the append-only file holds all of it or nothing.
 */
export class Stream {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #movedKey: string;

  constructor(redis: Redis, key: string) {
    this.#redis = redis;
    this.#key = key;
    this.#movedKey = `${key}:moved`;
  }

  /**
   * Appends an entry. Rejects where there is no stream, because Redis was emptied: what comes after a loss must not get
   * between what was lost.
   */
  async append(writeId: string, payload: string): Promise<Position> {
    const given = await this.#redis.xadd(this.#key, "NOMKSTREAM", "*", "i", writeId, "w", payload);
    if (given === null) throw new Error("Redis was emptied: the stream is gone");
    return parsePosition(given);
  }

  /** Writes an entry again: under its old position where the stream is not past it and has it no more, else at the end. */
  async writeAgain({ position, writeId, payload }: RawEntry): Promise<void> {
    const id = formatPosition(position);
    try {
      await this.#redis.xadd(this.#key, id, "i", writeId, "w", payload);
    } catch (error) {
      if (!isBehind(error)) throw error;
      if ((await this.#redis.xrange(this.#key, id, id)).length > 0) return; // another process was faster
      // Behind later writes now, and possibly applied before: the ledger is asked before it is shown.
      await this.append(writeId, withIdUnchecked(payload));
    }
  }

  /**
   * Makes the stream where there is none, with an entry that the same command takes out again: no write was, so its
   * position is the least. In two commands, a crash between them would leave it at the head for ever.
   */
  async create(): Promise<void> {
    if ((await this.#redis.exists(this.#key)) === 1) return;
    const id = formatPosition(FIRST);
    await this.#redis.xadd(this.#key, "MAXLEN", 0, id, "m", "the stream begins").catch((error: unknown) => {
      if (!isBehind(error)) throw error; // another process was faster
    });
  }

  /**
   * Takes out what stands at the head and has left before: an older copy of Redis has it still, and nobody else would
   * trim it. Everything up to the position must have left with proof. Answers the stream as it is then.
   */
  async sweep(to: Position, seen: StreamInfo): Promise<StreamInfo> {
    const end = to > FIRST ? to : FIRST;
    if (seen.first === undefined || seen.first > end) return seen;
    for (;;) {
      const page = await this.#redis.xrange(this.#key, "-", formatPosition(end), "COUNT", SWEEP_PAGE);
      if (page.length === 0) return await this.info();
      await this.#redis.xdel(this.#key, ...page.map(([id]) => id));
    }
  }

  async info(): Promise<StreamInfo> {
    if ((await this.#redis.exists(this.#key)) === 0) return noStream;
    const fields = (await this.#redis.xinfo("STREAM", this.#key)) as unknown[];
    const field = (name: string): unknown => fields[fields.indexOf(name) + 1];
    const first = field("first-entry");
    const deleted = fields.includes("max-deleted-entry-id")
      ? parsePosition(String(field("max-deleted-entry-id")))
      : START;
    return {
      length: Number(field("length")),
      added: fields.includes("entries-added") ? Number(field("entries-added")) : undefined,
      generated: parsePosition(String(field("last-generated-id"))),
      first: Array.isArray(first) ? parsePosition(String(first[0])) : undefined,
      trimmedTo: deleted > FIRST ? deleted : START,
    };
  }

  /** Whether it was ever moved past positions that it had not given itself: it has lost what was there. */
  async wasMoved(): Promise<boolean> {
    return (await this.#redis.exists(this.#movedKey)) === 1;
  }

  /** At most `count` entries after the position. */
  async after(position: Position, count: number): Promise<RawEntry[]> {
    return readEntries(await this.#redis.xread("COUNT", count, "STREAMS", this.#key, formatPosition(position)));
  }

  /** Later positions will be greater than this one. */
  async moveTo(position: Position): Promise<void> {
    await this.create();
    // First, for what had left the stream before it was lost shows in no mark of the new one.
    await this.#redis.set(this.#movedKey, formatPosition(position));
    await this.#redis.call("XSETID", this.#key, formatPosition(position));
  }

  /**
   * Removes proven entries from its head. By XDEL and not XTRIM, because Redis keeps the greatest position that XDEL has
   * deleted with the stream, in its file and in every copy: the mark that tells what was trimmed from what was lost. An
   * older copy has an older mark. Redis does it without memory left, too.
   */
  async trim(positions: readonly Position[]): Promise<void> {
    await this.#redis.xdel(this.#key, ...positions.map(formatPosition));
  }
}

/** The stream has given the position, or a later one, before. */
function isBehind(error: unknown): boolean {
  return error instanceof Error && error.message.includes("equal or smaller");
}

/** The entries in an answer of XREAD. What is no write, the service's own marks, is left out. */
export function readEntries(
  answer: [key: string, items: [id: string, fields: string[]][]][] | null | undefined,
): RawEntry[] {
  return (answer?.[0]?.[1] ?? []).flatMap(([id, [name, writeId, , payload]]) =>
    name === "i" && writeId !== undefined && payload !== undefined
      ? [{ position: parsePosition(id), writeId, payload }]
      : [],
  );
}
