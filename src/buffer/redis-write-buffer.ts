import { Redis, type RedisOptions } from "ioredis";
import { OpsDbError } from "../errors.ts";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import { failpoint } from "../lib/failpoint.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { formatPosition, type Position, START } from "../position.ts";
import { Part } from "../replication/part.ts";
import type { DataLoss } from "../replication/status.ts";
import type { Write } from "../write.ts";
import { AppendMeasures } from "./append-measures.ts";
import { BufferedWrites, type RawEntry } from "./buffered-writes.ts";
import { DataMarks } from "./data-marks.ts";
import { verifyDurability } from "./durability.ts";
import { encodeWrite } from "./entry-codec.ts";
import { appendFailed, closedBy } from "./refusal.ts";
import { restoreWrites } from "./restore-writes.ts";
import { leftTo, readEntries, Stream, type StreamInfo } from "./stream.ts";
import { UnreadWrites } from "./unread-writes.ts";
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
  position: Position;
  /** The write as it stands in this process's memory; undefined while the stream is still being loaded. */
  entry: BufferedWrite | undefined;
  /** The first write with this id, where this one came second; then nothing new was stored in effect. */
  first: BufferedWrite | undefined;
}

const PAGE = 1_000;
/** Redis serves nobody else while it trims. */
const TRIM_PAGE = 1_000;
const CHECK_EVERY_MS = 1_000;

/**
 * The durable buffer of a site: one Redis stream `opsdb:{site}:writes`. Every process of the site reads the whole stream
 * in order, its own writes included, so that all of them agree on what came first.
 *
 * connecting -> the connection is away; memory, if it is complete, still tells what was acknowledged before
 * verifying -> settings, and the file after a restart of Redis
 * restoring -> what this process remembers and Redis lost is written again
 * loading -> appends are accepted; memory is a prefix of the stream and grows
 * running -> memory is complete and follows the stream
 *
 * A connection that breaks leads back to connecting. Where Redis lost something while it was connected, too.
 */
export class RedisWriteBuffer implements AsyncDisposable {
  readonly writes = new BufferedWrites();
  readonly appended = new AppendMeasures();
  /** Moves with every entry that was read, so that waiting readers and the processor go on. */
  readonly tail = new Latest<Position>(0n);
  readonly part: Part;
  /** Whether appends are accepted: connected, durable, and nothing known to be missing. */
  readonly accepting = new Latest(false);
  /** Whether memory has everything that the stream had when it was read: before, it says nothing of what is not in it. */
  readonly complete = new Latest(false);
  readonly #options: RedisWriteBufferOptions;
  readonly #commands: Redis;
  readonly #reader: Redis;
  readonly #stream: Stream;
  /** Writes that this process has sent and not yet read back, by id and payload: saves decoding them. */
  readonly #sending = new Map<string, Write>();
  readonly #unread: UnreadWrites;
  readonly #marks: DataMarks;
  /** Where memory stood at the last look at the stream: of what left it after that, some may have been missed. */
  #lookedTo: Position = START;
  #refusal = new OpsDbError("BUFFER_UNAVAILABLE", "the buffer is not connected yet", { retryAfterMs: 1_000 });
  #catchingUp: Promise<void> | undefined;
  #session = 0;

  constructor(options: RedisWriteBufferOptions, changed: () => void) {
    this.#options = options;
    this.part = new Part("RETRYING", "not connected yet", changed);
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
    this.#stream = new Stream(this.#commands, this.key("writes"));
    this.#unread = new UnreadWrites(this.writes);
    this.#marks = new DataMarks({
      redis: this.#commands,
      key: (name) => this.key(name),
      logger: options.logger,
      changed,
      leasesDropped: () => {
        this.#session += 1;
      },
    });
    for (const redis of [this.#commands, this.#reader]) redis.on("error", () => {}); // commands reject with the cause
  }

  /** Keys of the site other than the stream, for the lease and the kept catalog. */
  key(name: string): string {
    return `opsdb:{${this.#options.site}}:${name}`;
  }

  /**
   * Another one with each connection, and with each loss that was found: what was taken out of Redis in an earlier one may
   * be in Redis again.
   */
  get session(): number {
    return this.#session;
  }

  /** The connection for short commands; they reject at once while Redis is away. */
  get redis(): Redis {
    return this.#commands;
  }

  /** What Redis is known to have lost, until an operator has acknowledged it; undefined: nothing. */
  get loss(): DataLoss | undefined {
    return this.#marks.loss;
  }

  /** Writes in the stream that are not in memory yet, as far as that is known. */
  get unread(): number {
    return this.#unread.count;
  }

  /** How full it is, of its limits: 1 and more is full. What was not read yet counts with the bytes of what was. */
  get fill(): number {
    const { maxWrites, maxBytes } = this.#options;
    const { size, bytes } = this.writes;
    const writes = size + this.unread;
    return Math.max(writes / maxWrites, (size === 0 ? 0 : (bytes / size) * writes) / maxBytes);
  }

  /** Throws what an append would throw now; undefined while writes are accepted. */
  get refusal(): OpsDbError | undefined {
    return this.accepting.value ? this.#full() : this.#refusal;
  }

  /**
   * Stores a write durably and answers once it is on disk and, unless the stream is still being loaded, read back in
   * order. Throws BUFFER_FULL, BUFFER_NOT_DURABLE or BUFFER_UNAVAILABLE; with the write id in the metadata of the last
   * the outcome is unknown, and a repeated append is harmless. `reserve`: also where the buffer is full.
   */
  async append(write: Write, { reserve = false } = {}): Promise<Appended> {
    const refusal = this.refusal;
    if (refusal && !(reserve && this.accepting.value)) throw refusal;
    const payload = encodeWrite(write);
    const startedAt = performance.now();
    // Of the whole append: ioredis's own timeout begins anew for a command that waited behind a pipeline under way.
    using deadline = new Deadline(this.#options.timeoutMs);
    this.#sending.set(write.writeId + payload, write);
    try {
      const position = await aborted(deadline.signal, this.#stream.append(write.writeId, payload));
      if (!this.complete.value) {
        this.#unread.append({ position, writeId: write.writeId, payload });
        failpoint("append-stored");
        this.appended.appended(payload.length, startedAt);
        return { position, entry: undefined, first: undefined };
      }
      await this.#readBack(position, deadline.signal);
      const entry = this.writes.firstAfter(position - 1n);
      if (entry?.position !== position) throw new Error("the entry was not read back");
      failpoint("append-stored");
      this.appended.appended(payload.length, startedAt);
      const first = this.writes.byId(write.writeId);
      return { position, entry, first: first && first.position < position ? first : undefined };
    } catch (error) {
      throw appendFailed(error, write.writeId);
    } finally {
      this.#sending.delete(write.writeId + payload);
    }
  }

  /**
   * Resolves when every write that was acknowledged before the call, by any process of the site, is in memory; waits
   * for a load that is under way, until the signal. Answers false where Redis could not be asked; then memory is as
   * it was, or, where `complete` is false, no memory at all.
   */
  async catchUp(signal: AbortSignal): Promise<boolean> {
    if (this.accepting.value && !this.complete.value) await this.#loaded(signal);
    if (!this.accepting.value) return false;
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
    const { generated } = await this.#stream.info();
    if (position <= generated) return;
    await this.#marks.dropLeases();
    // Before the evidence goes: a process that ends in between finds it again, or has told it.
    await this.#marks.reportLoss(
      `Redis knows positions up to ${formatPosition(generated)}, the databases up to ${formatPosition(position)}: it was emptied or restored from an older copy, and writes that were acknowledged and not applied by then are lost`,
    );
    await this.#stream.moveTo(position);
  }

  /** What becomes known elsewhere to be lost, told as what Redis has lost. */
  async reportLoss(message: string): Promise<void> {
    await this.#marks.reportLoss(message);
  }

  /** Removes proven entries up to the position from the stream and from memory. */
  async trim(to: Position): Promise<void> {
    for (let begun = false; ; begun = true) {
      const page = this.writes.provenUpTo(to, TRIM_PAGE);
      const end = page.at(-1)?.position;
      if (end === undefined) return;
      if (!begun) failpoint("trim-begin");
      await this.#stream.trim(page.map(({ position }) => position));
      failpoint("trim-middle");
      this.writes.forget(end);
    }
  }

  /** An operator has taken note of the loss, as `loss` answered it. */
  async acknowledgeLoss(loss = this.loss): Promise<void> {
    await this.#marks.acknowledgeLoss(loss);
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
          this.accepting.set(false);
          this.#refusal = closedBy(error);
          this.#options.logger.warn({ error }, "the buffer does not accept writes");
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
    if (!this.#options.allowUnsafe) await verifyDurability(this.#commands, this.key("verified-run-id"), signal);
    await this.#marks.read();
    const known = await knownTo();
    await this.#restore(known);
    await this.neverBelow(known > this.writes.last ? known : this.writes.last);
    if (!this.complete.value) await this.#look();
    this.accepting.set(true);
    await this.#load();
    this.part.set("RUNNING");
  }

  /** Appends are accepted meanwhile, so nothing here may hold the event loop for long. */
  async #load(): Promise<void> {
    let lookAt = performance.now() + CHECK_EVERY_MS;
    while (!this.complete.value) {
      this.part.set("RETRYING", `loading the stream: ${this.writes.size} of ${this.writes.size + this.unread} writes`);
      const atTail = await this.#readPage();
      // A stream that was emptied ends early, too.
      if (atTail || performance.now() >= lookAt) {
        await this.#look();
        lookAt = performance.now() + CHECK_EVERY_MS;
      }
      if (!atTail) continue;
      this.#unread.allRead();
      this.complete.set(true);
    }
    await this.#readToTail();
  }

  async #look(): Promise<void> {
    const seen = await this.#checkData();
    this.#unread.look(this.#marks.epoch, seen);
  }

  async #loaded(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    try {
      const either = AbortSignal.any([signal, stop.signal]);
      await Promise.race([
        this.complete.until((complete) => complete, either),
        this.accepting.until((accepting) => !accepting, either),
      ]);
    } catch {
      // The caller looks at what there is.
    } finally {
      stop.abort();
    }
  }

  async #restore(knownTo: Position): Promise<void> {
    const readTo = this.#lookedTo;
    if (this.complete.value) await this.#readToTail();
    const { last } = this.writes;
    await restoreWrites({
      writes: this.writes,
      unread: this.#unread,
      stream: this.#stream,
      marks: this.#marks,
      readTo,
      knownTo,
      incomplete: () => this.complete.set(false),
      progress: (reason) => this.part.set("RETRYING", reason),
    });
    // What Redis had lost is read once more.
    this.#lookedTo = last < this.writes.last ? last : this.writes.last;
  }

  /** Reads new entries as they come; also notices a connection that stays silent. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { timeoutMs } = this.#options;
    const blockMs = 1_000;
    let checkAt = performance.now() + CHECK_EVERY_MS;
    while (!signal.aborted) {
      const from = formatPosition(this.writes.last);
      const answer = this.#reader.xread("COUNT", PAGE, "BLOCK", blockMs, "STREAMS", this.key("writes"), from);
      using silence = new Deadline(blockMs + timeoutMs);
      this.#take(readEntries(await aborted(AbortSignal.any([signal, silence.signal]), answer)));
      // The reader's connection alone does not tell whether appends can still be sent.
      if (this.#commands.status !== "ready") throw new Error("the connection to Redis broke");
      if (performance.now() < checkAt) continue;
      await this.#checkData();
      checkAt = performance.now() + CHECK_EVERY_MS;
    }
  }

  /** Throws where Redis has lost data although its connection stands; opening again then restores it. */
  async #checkData(): Promise<StreamInfo> {
    const known = this.#marks.epoch;
    const { last } = this.writes;
    const seen = await this.#stream.info();
    // After it, so that what was seen is of this epoch.
    await this.#marks.read();
    if ((known !== undefined && this.#marks.epoch !== known) || seen.generated < last)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "Redis has lost data while it was connected; it is being restored");
    const swept = await this.#stream.sweep(this.writes.forgottenTo, seen);
    this.writes.leftStream(leftTo(swept), this.#lookedTo);
    this.#lookedTo = last;
    return swept;
  }

  async #readToTail(): Promise<void> {
    while (!(await this.#readPage())) {
      // the next page
    }
  }

  /** Reads one page behind what is known. Answers whether it was the last. */
  async #readPage(): Promise<boolean> {
    const page = await this.#stream.after(this.writes.last, PAGE);
    this.#take(page);
    return page.length < PAGE;
  }

  #take(entries: readonly RawEntry[]): void {
    let moved = false;
    for (const { position, writeId, payload } of entries) {
      if (position <= this.writes.last) continue; // read on the other connection already
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
    if (this.fill < 1) return undefined;
    return new OpsDbError(
      "BUFFER_FULL",
      `the buffer holds ${this.writes.size} writes and ${this.writes.bytes} bytes; its limits are ${maxWrites} and ${maxBytes}`,
      { retryAfterMs: 5_000 },
    );
  }

  #disconnect(): void {
    this.#session += 1;
    this.accepting.set(false);
    this.#commands.disconnect();
    this.#reader.disconnect();
  }
}
