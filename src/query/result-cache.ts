import { createHash } from "node:crypto";
import { aborted, Deadline } from "../lib/abort.ts";
import { sizeOf } from "../postgres/row-bytes.ts";
import { ResultSlots } from "./result-slots.ts";
import { decodeResult, encodeResult, partsOf, type StoredResult } from "./stored-result.ts";
import type { QueryPart } from "./table-query.ts";

/** A reader is content with a result that was read before. */
export interface Reuse {
  /** No longer ago than this, milliseconds, above 0. */
  maxAgeMs: number;
  /** Equal for requests that ask the same, but for what does not change the rows. */
  identity: string;
}

export interface Reader {
  /** Undefined: the reader wants what is true now. */
  reuse: Reuse | undefined;
  /** What the result depends on besides the request: the schema, and what is allowed. */
  context: () => string;
  batchSize: number;
  timeoutMs: number;
  signal: AbortSignal;
}

type Read = (timeoutMs: number) => AsyncGenerator<QueryPart>;

/** What became of reads that would do with an earlier result, since the process started. */
export interface ResultCacheState {
  /** Whether Redis can be asked; undefined: there is none. */
  up: boolean | undefined;
  hits: number;
  misses: number;
  storedBytes: number;
}

export interface ResultCacheSettings {
  /** Of all results in Redis together; 0: nothing is cached. */
  readonly bytes: number;
  /** Of one result; a larger one is not stored. */
  readonly entryBytes: number;
  /** How long Redis may take to answer, milliseconds. */
  readonly timeoutMs: number;
}

interface Known {
  result: StoredResult;
  /** When it was read at the earliest, by this process's clock. */
  readAt: number;
}

/**
 * Gives results of identical queries again to readers who allow it, from other processes of the site as well. Where
 * several ask at once in one process, one of them reads. A result counts from before its snapshot was opened, so it is
 * never older than asked; too large a result, or one that was not read to its end, is given to nobody else.
 */
export class ResultCache {
  readonly #counts = { hits: 0, misses: 0, storedBytes: 0 };
  readonly #slots: ResultSlots | undefined;
  readonly #entryBytes: number;
  /** Reads under way, by id; undefined comes where there is nothing to share. */
  readonly #underWay = new Map<string, Promise<Known | undefined>>();

  /** Without a Redis, or room in it, nothing is cached. */
  constructor(site: string, redisUrl: string | undefined, { bytes, entryBytes, timeoutMs }: ResultCacheSettings) {
    this.#entryBytes = Math.min(bytes, entryBytes);
    if (redisUrl !== undefined && bytes > 0)
      this.#slots = new ResultSlots({ url: redisUrl, site, bytes, entryBytes: this.#entryBytes, timeoutMs });
  }

  get state(): ResultCacheState {
    return { up: this.#slots?.up, ...this.#counts };
  }

  /** Keeps the connection to what is stored, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#slots?.run(signal);
  }

  /** A result from before where the reader allows it and there is one, or else `read`, with the time that is left. */
  through(reader: Reader, read: Read): AsyncGenerator<QueryPart> {
    const slots = this.#slots;
    const { reuse } = reader;
    return reuse && slots ? this.#readOnce(reader, reuse, slots, read) : read(reader.timeoutMs);
  }

  async *#readOnce(
    { context, batchSize, timeoutMs, signal }: Reader,
    reuse: Reuse,
    slots: ResultSlots,
    read: Read,
  ): AsyncGenerator<QueryPart> {
    const started = performance.now();
    const left = (): number => timeoutMs - (performance.now() - started);
    const { maxAgeMs } = reuse;
    const id = idOf(reuse, context());
    const answer = (known: Known | undefined): QueryPart[] | undefined => {
      const ageMs = known ? performance.now() - known.readAt : Number.POSITIVE_INFINITY;
      const parts = known && ageMs <= maxAgeMs ? partsOf(known.result, ageMs, batchSize) : undefined;
      this.#counts[parts ? "hits" : "misses"] += 1;
      return parts;
    };

    const other = this.#underWay.get(id);
    if (other) {
      using deadline = new Deadline(timeoutMs);
      const waiting = AbortSignal.any([signal, deadline.signal]);
      const parts = answer(await aborted(waiting, other).catch(() => undefined));
      signal.throwIfAborted();
      if (parts) yield* parts;
      else yield* read(left());
      return;
    }

    const { promise, resolve } = Promise.withResolvers<Known | undefined>();
    this.#underWay.set(id, promise);
    const share = (known: Known | undefined): void => {
      if (this.#underWay.get(id) === promise) this.#underWay.delete(id);
      resolve(known);
    };
    try {
      const found = await slots.find(id);
      const stored = found?.stored && readStored(found.stored);
      const parts = answer(stored);
      if (parts) {
        share(stored);
        yield* parts;
        return;
      }
      const readAt = performance.now();
      await using reading = read(left());
      // All of it before the first row goes out: whoever else waits for it must not wait for this reader.
      const { first, result } = await this.#gather(reading);
      share(result && { result, readAt });
      if (result && found) this.#store(slots, id, result, { at: found.now, slot: found.slot, keepMs: maxAgeMs });
      yield* first;
      if (!result) yield* reading;
    } finally {
      share(undefined);
    }
  }

  /** Reads to the end, or, without a result then, until there is more than may be stored. */
  async #gather(reading: AsyncGenerator<QueryPart>): Promise<{ first: QueryPart[]; result?: StoredResult }> {
    const first: QueryPart[] = [];
    const batches: StoredResult["batches"] = [];
    let bytes = 0;
    while (bytes <= this.#entryBytes) {
      const { done, value: part } = await reading.next();
      if (done) break;
      first.push(part);
      const [head] = first;
      if (part.kind === "trailer" && head?.kind === "header")
        return { first, result: { header: head.header, batches } };
      if (part.kind !== "batch") continue;
      batches.push(part);
      const columns = head?.kind === "header" ? head.header.columns.length : 0;
      for (const row of part.rows) bytes += sizeOf(row) + 3 * columns;
    }
    return { first };
  }

  /** Nobody waits for it. */
  #store(slots: ResultSlots, id: string, result: StoredResult, where: Parameters<ResultSlots["store"]>[2]): void {
    slots.store(id, encodeResult(result), where).then(
      (bytes) => {
        this.#counts.storedBytes += bytes;
      },
      () => {},
    );
  }
}

/** Another one for each form in which results are stored. */
const FORM = "1";

function idOf({ identity }: Reuse, context: string): string {
  return createHash("sha256")
    .update(JSON.stringify([FORM, identity, context]))
    .digest("hex");
}

function readStored({ text, ageMs }: { text: string; ageMs: number }): Known | undefined {
  try {
    return { result: decodeResult(text), readAt: performance.now() - ageMs };
  } catch {
    return undefined; // whoever wrote that, it is as good as nothing
  }
}
