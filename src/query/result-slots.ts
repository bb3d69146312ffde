import { Redis } from "ioredis";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import { TokenBucket } from "../lib/token-bucket.ts";

export interface ResultSlotsOptions {
  url: string;
  site: string;
  /** Of all results together, bytes. */
  bytes: number;
  /** Of one result, bytes. */
  entryBytes: number;
  /** An answer that takes longer is not waited for, milliseconds. */
  timeoutMs: number;
}

/** What Redis has for an id. */
export interface Found {
  /** Redis's clock, milliseconds, at or after the moment of the look. */
  now: number;
  /** Undefined: it is not there. */
  stored: { text: string; ageMs: number } | undefined;
  /** Where it should be stored. */
  slot: string;
}

/** How long a result is kept at most, milliseconds. */
const KEEP_MS = 3_600_000;
/** Of one process, in bytes. */
const WRITTEN = { perSecond: 1024 ** 2, burst: 8 * 1024 ** 2 };
/** What a write costs beyond its bytes: with appendfsync always an fsync, which the buffer's appends wait for. */
const WRITE_COST = 64 * 1024;
const REST_MS = 1_000;

/**
 * Results in Redis, in a fixed number of string keys `opsdb:{site}:result:<n>`: each has at most `entryBytes`, so all of
 * them together have at most `bytes`, however many processes write and whenever they end. An id has two slots; the
 * one with the older result gives way. Redis does not evict and may hold the buffer as well, so besides, a process writes
 * no more than a megabyte and some writes each second, and nothing once Redis has half of its maxmemory in use.
 *
 * Ages are differences of Redis's clock, which all processes share. Where that clock is set back by some time, results
 * from before may be given that much older than asked, until the clock is past where it was; one that would be from the
 * future is not given. Where it is set forward, they look too old and are not given.
 *
 * Nothing here rejects: where Redis is away, refuses or does not answer in time, nothing is found and nothing stored. After
 * such a time it is left alone for a second, so that a slow one costs few readers anything.
 */
export class ResultSlots {
  readonly #options: ResultSlotsOptions;
  readonly #count: number;
  /** Of its own: an append to the buffer does not queue behind a result. */
  readonly #redis: Redis;
  readonly #written = new TokenBucket(WRITTEN);
  #restUntil = 0;
  #broken = new AbortController();

  constructor(options: ResultSlotsOptions) {
    this.#options = options;
    this.#count = Math.max(1, Math.floor(options.bytes / options.entryBytes));
    this.#redis = new Redis(options.url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    this.#redis.on("error", () => {}); // commands reject with the cause
    this.#redis.on("close", () => this.#broken.abort(new Error("the connection to Redis broke")));
  }

  /** Whether it can be asked now. */
  get up(): boolean {
    return this.#redis.status === "ready" && performance.now() >= this.#restUntil;
  }

  /** Keeps a connection until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#broken = new AbortController();
      try {
        using deadline = new Deadline(REST_MS + this.#options.timeoutMs);
        await aborted(AbortSignal.any([signal, deadline.signal]), this.#redis.connect());
        await sleepUntilAborted(AbortSignal.any([signal, this.#broken.signal]));
      } catch {
        // The next attempt tells.
      }
      this.#redis.disconnect();
      await sleep(REST_MS, signal).catch(() => {});
    }
  }

  /** Undefined: Redis does not tell. */
  async find(id: string): Promise<Found | undefined> {
    const slots = [0, 8].map((at) => this.#slot(Number.parseInt(id.slice(at, at + 8), 16)));
    return await this.#ask(async (redis) => {
      // The time last: what is found was stored before it, so that it does not look younger than it is.
      const answers = await redis.pipeline([...slots.map((slot) => ["get", slot]), ["time"]]).exec();
      const [seconds, micros] = answerOf<[string, string]>(answers, slots.length);
      const now = Number(seconds) * 1_000 + Number(micros) / 1_000;
      const entries = slots.map((slot, i) => ({ slot, ...readEntry(answerOf<string | null>(answers, i)) }));
      const same = entries.find((entry) => entry.id === id);
      const slot = same ?? entries.reduce((oldest, entry) => (entry.at < oldest.at ? entry : oldest));
      const ageMs = same ? now - same.at : Number.NaN;
      return { now, slot: slot.slot, stored: same && ageMs >= 0 ? { text: same.text, ageMs } : undefined };
    });
  }

  /** Stores what was read at or after `at`, by Redis's clock. Answers how many bytes were stored. */
  async store(
    id: string,
    text: string,
    { at, slot, keepMs }: { at: number; slot: string; keepMs: number },
  ): Promise<number> {
    const entry = Buffer.from(`${id} ${Math.floor(at)} ${text}`);
    if (entry.byteLength > this.#options.entryBytes || !this.#written.take(entry.byteLength + WRITE_COST)) return 0;
    const stored = await this.#ask(async (redis) => {
      if (isCrowded(await redis.info("memory"))) return false;
      // Redis 7.0 writes the removal of a key that has expired and its new value to its file as one transaction, of which
      // a crash may leave a part: looked at before, the removal is a command of its own.
      const answers = await redis
        .pipeline([
          ["exists", slot],
          ["set", slot, entry, "PX", Math.max(1, Math.ceil(Math.min(keepMs, KEEP_MS)))],
        ])
        .exec();
      return answerOf<string>(answers, 1) === "OK";
    });
    return stored ? entry.byteLength : 0;
  }

  async #ask<T>(question: (redis: Redis) => Promise<T>): Promise<T | undefined> {
    if (!this.up) return undefined;
    using deadline = new Deadline(this.#options.timeoutMs);
    try {
      return await aborted(deadline.signal, question(this.#redis));
    } catch {
      this.#restUntil = performance.now() + REST_MS;
      // What is unanswered must not pile up, and a half-open connection tells nothing by itself.
      if (deadline.signal.aborted) this.#broken.abort(deadline.signal.reason);
      return undefined;
    }
  }

  #slot(hash: number): string {
    return `opsdb:{${this.#options.site}}:result:${hash % this.#count}`;
  }
}

interface Entry {
  id: string;
  /** By Redis's clock, milliseconds; before everything where there is none. */
  at: number;
  text: string;
}

function readEntry(entry: string | null): Entry {
  const [, id = "", at = "-1"] = /^(\S+) (\d+) /.exec(entry ?? "") ?? [];
  return { id, at: Number(at), text: entry?.slice(id.length + at.length + 2) ?? "" };
}

function answerOf<T>(answers: [Error | null, unknown][] | null, i: number): T {
  const [error, answer] = answers?.[i] ?? [new Error("Redis did not answer")];
  if (error) throw error;
  return answer as T;
}

function isCrowded(memory: string): boolean {
  const figure = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(memory)?.[1] ?? 0);
  const most = figure("maxmemory");
  return most > 0 && figure("used_memory") > most / 2;
}

function sleepUntilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
