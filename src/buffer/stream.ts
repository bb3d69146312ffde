import type { Redis } from "ioredis";
import { formatPosition, type Position, parsePosition, START } from "../position.ts";
import type { RawEntry } from "./buffered-writes.ts";

/** What Redis says of a stream without reading it. */
export interface StreamInfo {
  length: number;
  /** The last position that it has given; START where there is no stream. */
  generated: Position;
  /** Its oldest entry's position; undefined while it is empty. */
  first: Position | undefined;
}

/**
 * The Redis stream of one site: an entry per write with its id (i) and payload (w). Its ids are the positions. Every
 * change is one single command, so that a torn tail of the append-only file holds all of it or nothing.
 */
export class Stream {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(redis: Redis, key: string) {
    this.#redis = redis;
    this.#key = key;
  }

  /** Appends an entry, under the position where one is given; rejects where that is not after the last one given. */
  async add(writeId: string, payload: string, position?: Position): Promise<Position> {
    const id = position === undefined ? "*" : formatPosition(position);
    const given = await this.#redis.xadd(this.#key, id, "i", writeId, "w", payload);
    if (given === null) throw new Error("XADD answered nothing");
    return parsePosition(given);
  }

  async info(): Promise<StreamInfo> {
    if ((await this.#redis.exists(this.#key)) === 0) return { length: 0, generated: START, first: undefined };
    const fields = (await this.#redis.xinfo("STREAM", this.#key)) as unknown[];
    const field = (name: string): unknown => fields[fields.indexOf(name) + 1];
    const first = field("first-entry");
    return {
      length: Number(field("length")),
      generated: parsePosition(String(field("last-generated-id"))),
      first: Array.isArray(first) ? parsePosition(String(first[0])) : undefined,
    };
  }

  /** At most `count` entries after the position. */
  async after(position: Position, count: number): Promise<RawEntry[]> {
    return readEntries(await this.#redis.xread("COUNT", count, "STREAMS", this.#key, formatPosition(position)));
  }

  /** Later positions will be greater than this one. */
  async moveTo(position: Position): Promise<void> {
    const id = formatPosition(position);
    if ((await this.#redis.exists(this.#key)) === 0) {
      await this.#redis.xadd(this.#key, id, "m", "positions up to here were used before");
      await this.#redis.xdel(this.#key, id);
    } else await this.#redis.call("XSETID", this.#key, id);
  }

  /** Removes the entries up to the position. */
  async trim(to: Position): Promise<void> {
    await this.#redis.xtrim(this.#key, "MINID", formatPosition(to + 1n));
  }
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
