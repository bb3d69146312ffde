import { Redis, type RedisOptions } from "ioredis";
import { OpsDbError } from "../errors.ts";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { formatPosition, type Position, parsePosition, START } from "../position.ts";
import { Part } from "../replication/part.ts";
import type { Write } from "../write.ts";
import { BufferedWrites } from "./buffered-writes.ts";
import { verifyDurability } from "./durability.ts";
import { encodeWrite } from "./entry-codec.ts";
import type { BufferedWrite } from "./write-buffer.ts";

export interface RedisWriteBufferOptions {
  url: string;
  site: string;
  /** A command that is not answered in this time is given up, milliseconds. */
  timeoutMs: number;
  maxWrites: number;
  maxBytes: number;
  /** Development only: acknowledge without verified durability. */
  allowUnsafe: boolean;
  logger: Logger;
}

export interface Appended {
  entry: BufferedWrite;
  /** The first write with this id, where this one came second; then nothing new was stored in effect. */
  first: BufferedWrite | undefined;
}

const PAGE = 2_000;

/**
 * The durable buffer of a site: one Redis stream `opsdb:{site}:writes`, an entry per write with its id (i) and payload
 * (w). Positions are the stream's ids. Every process of the site reads the whole stream in order, its own writes
 * included, so that all of them agree on what came first.
 *
 * States: connecting -> verifying -> loading -> running, and back to connecting when the connection breaks.
 * Appends are accepted while running only.
 */
export class RedisWriteBuffer implements AsyncDisposable {
  readonly writes = new BufferedWrites();
  /** Moves with every entry that was read, so that waiting readers and the processor go on. */
  readonly tail = new Latest<Position>(0n);
  readonly part: Part;
  readonly #options: RedisWriteBufferOptions;
  readonly #commands: Redis;
  readonly #reader: Redis;
  readonly #stream: string;
  readonly #verifiedKey: string;
  /** Writes that this process has sent and not yet read back, by id and payload: saves decoding them. */
  readonly #sending = new Map<string, Write>();
  /** Whether appends are accepted: connected, durable, and read to the tail. */
  readonly accepting = new Latest(false);
  #loaded = false;
  #refusal = new OpsDbError("BUFFER_UNAVAILABLE", "the buffer is not connected yet", { retryAfterMs: 1_000 });
  #catchingUp: Promise<void> | undefined;

  constructor(options: RedisWriteBufferOptions, changed: () => void) {
    this.#options = options;
    this.part = new Part("RETRYING", "not connected yet", changed);
    this.#stream = this.key("writes");
    this.#verifiedKey = this.key("verified-run-id");
    const common = {
      lazyConnect: true,
      // An append that was queued or resent behind the caller's back would be acknowledged late or twice.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: options.timeoutMs,
      retryStrategy: () => null,
    } satisfies RedisOptions;
    this.#commands = new Redis(options.url, {
      ...common,
      commandTimeout: options.timeoutMs,
      enableAutoPipelining: true,
    });
    this.#reader = new Redis(options.url, common);
    for (const redis of [this.#commands, this.#reader]) redis.on("error", () => {}); // commands reject with the cause
  }

  /** Keys of the site other than the stream, for the lease and the kept catalog. */
  key(name: string): string {
    return `opsdb:{${this.#options.site}}:${name}`;
  }

  /** The connection for short commands; they reject at once while Redis is away. */
  get redis(): Redis {
    return this.#commands;
  }

  /** Whether the stream was read to its tail once. Before, memory says nothing of what was acknowledged. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Throws what an append would throw now; undefined while writes are accepted. */
  get refusal(): OpsDbError | undefined {
    return this.accepting.value ? this.#full() : this.#refusal;
  }

  /**
   * Stores a write durably and answers once it is on disk and read back in order. Throws BUFFER_FULL, BUFFER_NOT_DURABLE
   * or BUFFER_UNAVAILABLE; with the write id in the metadata of the last the outcome is unknown, and a repeated append
   * is harmless.
   */
  async append(write: Write): Promise<Appended> {
    const refusal = this.refusal;
    if (refusal) throw refusal;
    const payload = encodeWrite(write);
    // Of the whole append: ioredis's own timeout begins anew for a command that waited behind a pipeline under way.
    using deadline = new Deadline(this.#options.timeoutMs);
    this.#sending.set(write.writeId + payload, write);
    try {
      // One single command: a torn tail of the append-only file holds all of a write or nothing of it.
      const id = await aborted(
        deadline.signal,
        this.#commands.xadd(this.#stream, "*", "i", write.writeId, "w", payload),
      );
      if (id === null) throw new Error("XADD answered nothing");
      const position = parsePosition(id);
      await this.#readBack(position, deadline.signal);
      const entry = this.writes.firstAfter(position - 1n);
      if (entry?.position !== position) throw new Error("the entry was not read back");
      const first = this.writes.byId(write.writeId);
      return { entry, first: first && first.position < position ? first : undefined };
    } catch (error) {
      throw this.#appendError(error, write.writeId);
    } finally {
      this.#sending.delete(write.writeId + payload);
    }
  }

  /**
   * Resolves when every write that was acknowledged before the call, by any process of the site, is in memory. Answers
   * false where Redis could not be asked.
   */
  async catchUp(): Promise<boolean> {
    if (this.part.status.state !== "RUNNING") return false;
    using deadline = new Deadline(this.#options.timeoutMs);
    try {
      // A read that begins now sees all that was acknowledged before; one already under way may not.
      if (this.#catchingUp)
        await aborted(
          deadline.signal,
          this.#catchingUp.catch(() => {}),
        );
      this.#catchingUp ??= this.#readToTail().finally(() => {
        this.#catchingUp = undefined;
      });
      await aborted(deadline.signal, this.#catchingUp);
      return true;
    } catch {
      return false;
    }
  }

  /** Sees to it that no position up to this one, which main speaks of, is given again. */
  async neverBelow(position: Position): Promise<void> {
    if (position > (await this.#generated())) await this.#moveTo(position);
  }

  /** Removes entries up to the position from the stream and from memory; they must be proven. */
  async trim(to: Position): Promise<void> {
    if (to <= this.writes.forgottenTo) return;
    await this.#commands.xtrim(this.#stream, "MINID", formatPosition(to + 1n));
    this.writes.forget(to);
  }

  /** Follows the stream until the signal. `knownTo` answers the highest position that the databases speak of. */
  async run(signal: AbortSignal, knownTo: () => Promise<Position>): Promise<void> {
    const backoff = new Backoff({ firstMs: 50, longestMs: 1_000 });
    const stop = (): void => this.#disconnect();
    signal.addEventListener("abort", stop, { once: true });
    try {
      while (!signal.aborted) {
        try {
          await this.#connect(signal);
          await this.#open(signal, knownTo);
          backoff.reset();
          await this.#follow(signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#refuse(error);
          const wait = backoff.next();
          this.part.set("RETRYING", this.#refusal.message, wait);
          this.#disconnect();
          await sleep(wait, signal).catch(() => {});
        }
      }
    } finally {
      this.accepting.set(false);
      signal.removeEventListener("abort", stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disconnect();
    await Promise.resolve();
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    await Promise.all(
      [this.#commands, this.#reader].map((redis) =>
        aborted(AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * 2)]), redis.connect()),
      ),
    );
  }

  async #open(signal: AbortSignal, knownTo: () => Promise<Position>): Promise<void> {
    this.part.set("RETRYING", "verifying durability");
    if (!this.#options.allowUnsafe) await verifyDurability(this.#commands, this.#verifiedKey, signal);
    await this.#restore(await knownTo());
    this.part.set("RETRYING", "loading the stream");
    await this.#readToTail();
    this.#loaded = true;
    this.part.set("RUNNING");
    this.accepting.set(true);
  }

  /**
   * Where Redis came back with less than this process has seen (an older copy, a lost disk), writes what is missing
   * again, and makes sure that no position is given twice, whatever the clock does.
   */
  async #restore(knownTo: Position): Promise<void> {
    const generated = await this.#generated();
    if (generated < this.writes.last) {
      const lost = this.writes.payloadsAfter(generated);
      this.#options.logger.error(
        { lost: lost.length, stored: formatPosition(generated), seen: formatPosition(this.writes.last) },
        "Redis has lost acknowledged writes; those that this process remembers are written again",
      );
      for (const { position, writeId, payload } of lost)
        await this.#commands.xadd(this.#stream, formatPosition(position), "i", writeId, "w", payload);
    }
    if (knownTo > generated && knownTo > this.writes.last) {
      this.#options.logger.error(
        { generated: formatPosition(generated), knownTo: formatPosition(knownTo) },
        "the databases know later writes of this site than Redis does: it was restored from an older copy or emptied, and writes that had not been applied are lost",
      );
      await this.#moveTo(knownTo);
    }
  }

  /** The last position that the stream has given; START where there is no stream. */
  async #generated(): Promise<Position> {
    if ((await this.#commands.exists(this.#stream)) === 0) return START;
    const info = (await this.#commands.xinfo("STREAM", this.#stream)) as (string | number)[];
    return parsePosition(String(info[info.indexOf("last-generated-id") + 1]));
  }

  /** Later ids of the stream are greater than the position. */
  async #moveTo(position: Position): Promise<void> {
    const id = formatPosition(position);
    if ((await this.#commands.exists(this.#stream)) === 0) {
      await this.#commands.xadd(this.#stream, id, "m", "positions up to here were used before");
      await this.#commands.xdel(this.#stream, id);
    } else await this.#commands.call("XSETID", this.#stream, id);
  }

  /** Reads new entries as they come; also notices a connection that stays silent. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    const blockMs = 1_000;
    while (!signal.aborted) {
      const answer = this.#reader.xread(
        "COUNT",
        PAGE,
        "BLOCK",
        blockMs,
        "STREAMS",
        this.#stream,
        formatPosition(this.writes.last),
      );
      const silence = AbortSignal.timeout(blockMs + timeoutMs);
      this.#take((await aborted(AbortSignal.any([signal, silence]), answer)) ?? []);
      // The reader's connection alone does not tell whether appends can still be sent.
      if (this.#commands.status !== "ready") throw new Error("the connection to Redis broke");
    }
  }

  async #readToTail(): Promise<void> {
    for (;;) {
      const page = await this.#commands.xread("COUNT", PAGE, "STREAMS", this.#stream, formatPosition(this.writes.last));
      this.#take(page ?? []);
      if (!page || (page[0]?.[1].length ?? 0) < PAGE) return;
    }
  }

  #take(streams: [key: string, items: [id: string, fields: string[]][]][]): void {
    let moved = false;
    for (const [id, fields] of streams[0]?.[1] ?? []) {
      const position = parsePosition(id);
      if (position <= this.writes.last) continue; // read on the other connection already
      const [, writeId, , payload] = fields;
      if (fields[0] !== "i" || writeId === undefined || payload === undefined) continue;
      this.writes.add(position, writeId, payload, this.#sending.get(writeId + payload));
      moved = true;
    }
    if (moved) this.tail.set(this.writes.last);
  }

  async #readBack(position: Position, deadline: AbortSignal): Promise<void> {
    if (this.writes.last >= position) return;
    await this.tail.until((last) => last >= position, deadline);
  }

  #full(): OpsDbError | undefined {
    const { maxWrites, maxBytes } = this.#options;
    if (this.writes.size < maxWrites && this.writes.bytes < maxBytes) return undefined;
    return new OpsDbError(
      "BUFFER_FULL",
      `the buffer holds ${this.writes.size} writes and ${this.writes.bytes} bytes; its limits are ${maxWrites} and ${maxBytes}`,
      { retryAfterMs: 5_000 },
    );
  }

  #refuse(error: unknown): void {
    this.accepting.set(false);
    this.#refusal =
      error instanceof OpsDbError
        ? new OpsDbError(error.reason, error.message, { retryAfterMs: 1_000, cause: error })
        : new OpsDbError("BUFFER_UNAVAILABLE", `the buffer cannot be reached: ${errorText(error)}`, {
            retryAfterMs: 1_000,
            cause: error,
          });
    this.#options.logger.warn({ error }, "the buffer does not accept writes");
  }

  #appendError(error: unknown, writeId: string): OpsDbError {
    if (error instanceof OpsDbError) return error;
    const text = errorText(error);
    if (text.startsWith("OOM"))
      return new OpsDbError("BUFFER_FULL", "Redis is out of memory", { retryAfterMs: 5_000, cause: error });
    return new OpsDbError(
      "BUFFER_UNAVAILABLE",
      `the buffer did not confirm the write (${text}); whether it is stored is unknown: retry with the same write id`,
      { retryAfterMs: 1_000, metadata: { write_id: writeId }, cause: error },
    );
  }

  #disconnect(): void {
    this.accepting.set(false);
    this.#commands.disconnect();
    this.#reader.disconnect();
  }
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
