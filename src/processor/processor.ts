import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { settle } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { aborted, sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import { formatPosition, type Position, parsePosition, START } from "../position.ts";
import { connectPipelined, type DatabaseAddress, type PipelinedConnection } from "../postgres/connection.ts";
import { type LedgerRow, parseLedgerRow, readLedger, takeCursor } from "../postgres/ledger.ts";
import { classify, messageOf, rejectionOf, sqlstateOf } from "../postgres/sqlstate.ts";
import { Part } from "../replication/part.ts";
import type { ProcessorStatus } from "../replication/status.ts";
import type { Rejection } from "../write.ts";
import {
  type Applier,
  applyBatch,
  type Batch,
  batchEnd,
  type Committed,
  type Outcome,
  rejectWrite,
  skipWrite,
} from "./batch.ts";
import { Lease } from "./lease.ts";

export interface ProcessorOptions {
  site: string;
  main: DatabaseAddress;
  buffer: RedisWriteBuffer;
  /** The catalog as it is now; undefined before it was read. */
  catalog: () => Catalog | undefined;
  /** Reads the main database's catalog, for a write that the local one does not fit. */
  catalogOfMain: () => Promise<Catalog>;
  batchWrites: number;
  batchBytes: number;
  /** Batches under way at once: what fills a long link. */
  inFlight: number;
  leaseMs: number;
  logger: Logger;
  /** Tells that a write's state or the processor's changed. */
  changed: () => void;
}

// The promise that a commit is on main's disk, and then in the WAL that standbys get, does not depend on the role's
// defaults (facts.md, PostgreSQL 2). A transaction that the link has left hanging gives its locks back.
const settings = {
  synchronous_commit: "on",
  idle_in_transaction_session_timeout: "15000",
  lock_timeout: "10000",
};

/** The most writes whose outcome is asked for after a reconnection; the replica tells those of the others. */
const OUTCOMES = 10_000;

/**
 * New writes wait this long for company, milliseconds: nothing beside the link, and a transaction for each of them would
 * take the time from those who acknowledge.
 */
const LINGER_MS = 5;

type Failure = Exclude<Outcome, { committed: Committed }>;

interface InFlight {
  batch: Batch;
  done: Promise<Outcome>;
}

/**
 * Drains the buffer to the main database, in order, once each.
 *
 * standby -> another process of the site holds the lease
 * connecting -> opening a connection to main, taking the cursor (which fences every other processor)
 * draining -> batches under way, several at once; each one's cursor guard fails it where its predecessor failed
 * isolating -> a batch failed for good: halves are tried one at a time until the guilty write stands alone, is rejected
 * retrying -> main is away or an outcome is unknown: connect again, read the cursor, go on from what it says
 */
export class Processor {
  readonly part: Part;
  readonly #options: ProcessorOptions;
  readonly #lease: Lease;
  readonly #moved = new Latest<Position>(START);
  /**
   * The most writes in a batch just now: smaller after a failure, so that a batch that is too slow gets through and
   * many bad writes do not each cost a search, and double with every batch that main commits.
   */
  #batchWrites: number;
  #appliedWrites = 0;
  #rejectedWrites = 0;

  constructor(options: ProcessorOptions) {
    this.#options = options;
    this.#batchWrites = options.batchWrites;
    this.part = new Part("IDLE", "not started yet", options.changed);
    this.#lease = new Lease({
      redis: options.buffer.redis,
      key: options.buffer.key("processor"),
      leaseMs: options.leaseMs,
    });
  }

  get status(): Omit<ProcessorStatus, "replicatedPosition"> {
    return {
      state: this.part.status,
      ...(this.cursor === START ? {} : { appliedPosition: this.cursor }),
      appliedWrites: this.#appliedWrites,
      rejectedWrites: this.#rejectedWrites,
    };
  }

  /** The last position that main is known to have decided. */
  get cursor(): Position {
    return this.#moved.value;
  }

  /** Resolves when main has decided every write up to the position; rejects with the signal's reason. */
  async reached(position: Position, signal: AbortSignal): Promise<void> {
    await this.#moved.until((cursor) => cursor >= position, signal);
  }

  /** Runs until the signal. What is under way at main then is left to its outcome; the next run reads it. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: 100, longestMs: 1_000 });
    while (!signal.aborted) {
      try {
        await this.#waitForLease(signal);
        await this.#runWithLease(signal, backoff);
      } catch (error) {
        if (signal.aborted) break;
        this.#batchWrites = Math.max(1, this.#batchWrites >> 1);
        const wait = backoff.next();
        this.#options.logger.warn({ error, retryInMs: wait }, "the drain is held up");
        this.part.set("RETRYING", messageOf(error), wait);
        await sleep(wait, signal).catch(() => {});
      }
    }
    await this.#lease.release().catch(() => {});
  }

  async #waitForLease(signal: AbortSignal): Promise<void> {
    if (!this.#options.buffer.accepting.value) this.part.set("RETRYING", "the buffer is not ready");
    await this.#options.buffer.accepting.until((ready) => ready, signal);
    while (!(await this.#lease.take())) {
      this.part.set("STANDBY", "another process of this site drains the buffer");
      await sleep(this.#options.leaseMs / 4, signal);
    }
  }

  async #runWithLease(signal: AbortSignal, backoff: Backoff): Promise<void> {
    const lost = new AbortController();
    const renewal = setInterval(() => {
      // While Redis is away nobody else can take the lease; the cursor guards what matters.
      this.#lease.take().then(
        (held) => held || lost.abort(new Error("another process took over the drain")),
        () => {},
      );
    }, this.#options.leaseMs / 3);
    try {
      await using connection = await connectPipelined(this.#options.main, {
        applicationName: `opsdb-processor-${this.#options.site}`,
        settings,
      });
      const { applier, cursor } = await this.#takeCursor(connection);
      await this.#options.buffer.neverBelow(cursor);
      if (cursor < this.#options.buffer.writes.forgottenTo)
        this.#options.logger.error(
          { cursor: formatPosition(cursor) },
          "main came back older than what this site still remembers: writes that were proven before may be missing there",
        );
      if (cursor < this.cursor) this.#options.buffer.writes.reopen(cursor); // main failed over to an older state
      await this.#learnOutcomes(connection, cursor);
      this.#moveCursor(cursor);
      await this.#drain(applier, AbortSignal.any([signal, lost.signal, connection.closed]), backoff);
    } finally {
      clearInterval(renewal);
    }
  }

  async #takeCursor(connection: PipelinedConnection): Promise<{ applier: Applier; cursor: Position }> {
    const taken = await connection.query(takeCursor(this.#options.site));
    const [position, token] = taken.rows[0] ?? [];
    if (position == null || token == null) throw new Error("the cursor could not be taken");
    return {
      applier: { connection, site: this.#options.site, token },
      cursor: parsePosition(position),
    };
  }

  /** What became of writes whose answer was lost, or that another processor has applied: their ledger rows tell. */
  async #learnOutcomes(connection: PipelinedConnection, cursor: Position): Promise<void> {
    const { writes } = this.#options.buffer;
    const open = writes.unprovenUpTo(cursor, OUTCOMES).filter(({ state }) => state === "ACCEPTED");
    if (open.length === 0) return;
    const { rows } = await connection.query(readLedger(open.map(({ writeId }) => writeId)));
    const outcomes = new Map(rows.map(parseLedgerRow).map((row) => [row.writeId, row]));
    for (const entry of open) {
      const row = outcomes.get(entry.writeId);
      if (row && entry.state === "ACCEPTED") settle(writes, entry, row);
    }
  }

  async #drain(applier: Applier, signal: AbortSignal, backoff: Backoff): Promise<void> {
    const { buffer, inFlight: limit } = this.#options;
    let underWay: InFlight[] = [];
    let sentTo = this.cursor;
    while (!signal.aborted) {
      const seen = buffer.tail.version;
      while (underWay.length < limit) {
        const batch = this.#nextBatch(sentTo);
        if (!batch) break;
        underWay.push({ batch, done: this.#send(applier, batch) });
        sentTo = batchEnd(batch);
      }
      const [oldest, ...later] = underWay;
      if (!oldest) {
        this.part.set("IDLE", "the buffer is empty");
        await buffer.tail.changed(seen, signal);
        await sleep(LINGER_MS, signal);
        continue;
      }
      this.part.set("RUNNING");
      // New writes go out while the oldest batch is still on its way, as long as there is room for them.
      const woken = new AbortController();
      const more = underWay.length < limit ? this.#moreWrites(seen, woken.signal) : undefined;
      const outcome = await aborted(signal, Promise.race([oldest.done, ...(more ? [more] : [])])).finally(() =>
        woken.abort(),
      );
      if (!outcome) continue;
      if ("committed" in outcome) {
        this.#committed(oldest.batch, outcome.committed);
        backoff.reset();
        underWay = later;
        continue;
      }
      if (!refuses(outcome.error)) throw outcome.error;
      await Promise.all(later.map(({ done }) => done)); // they fail by their cursor guard
      await this.#isolate(applier, oldest.batch, outcome);
      underWay = [];
      sentTo = this.cursor;
    }
    signal.throwIfAborted();
  }

  /** Resolves a little after new writes came in, or with the signal. */
  async #moreWrites(seen: number, signal: AbortSignal): Promise<void> {
    await this.#options.buffer.tail
      .changed(seen, signal)
      .then(() => sleep(LINGER_MS, signal))
      .catch(() => {});
  }

  /** Finds the write of the batch that main refuses, by halves, and rejects it. What comes before it is applied. */
  async #isolate(applier: Applier, failed: Batch, failure: Failure): Promise<void> {
    let suspects = failed.entries;
    /** Of all suspects together; undefined where they were not tried since their number fell. */
    let known: Failure | undefined = failure;
    while (suspects.length > 1) {
      const half = suspects.slice(0, Math.ceil(suspects.length / 2));
      const batch: Batch = { from: this.cursor, entries: half };
      if (known) this.part.set("RUNNING", `looking for the write that main refuses: ${messageOf(known.error)}`);
      const outcome = await this.#send(applier, batch);
      if ("committed" in outcome) {
        this.#committed(batch, outcome.committed);
        suspects = suspects.slice(half.length);
        known = undefined;
      } else if (refuses(outcome.error)) {
        suspects = half;
        known = outcome;
      } else throw outcome.error;
    }
    const alone: Batch = { from: this.cursor, entries: suspects };
    const outcome = known ?? (await this.#send(applier, alone));
    if ("committed" in outcome) this.#committed(alone, outcome.committed);
    else if (refuses(outcome.error)) await this.#refuse(applier, alone, outcome);
    else throw outcome.error;
  }

  /** Main refuses this one write: it had been applied before, under the same id, or it is rejected. */
  async #refuse(applier: Applier, batch: Batch, { error, effects }: Failure): Promise<void> {
    const [entry] = batch.entries;
    if (!entry) return;
    const ledger = sqlstateOf(error) === "23505" ? await this.#ledgerRow(applier, entry) : undefined;
    if (ledger) {
      await skipWrite(applier, batch);
      settle(this.#options.buffer.writes, entry, ledger);
      this.#moveCursor(batchEnd(batch));
      return;
    }
    const rejection: Rejection =
      error instanceof OpsDbError
        ? { reason: error.reason, message: error.message }
        : rejectionOf(error, effects?.[0]?.index);
    const { at } = await rejectWrite(applier, batch, rejection);
    this.#options.buffer.writes.reject(entry, rejection, at);
    this.#rejectedWrites += 1;
    this.#batchWrites = 1;
    this.#options.logger.error(
      { writeId: entry.writeId, position: formatPosition(entry.position), rejection },
      "main rejected an acknowledged write",
    );
    this.#moveCursor(batchEnd(batch));
  }

  async #ledgerRow({ connection }: Applier, entry: BufferedWrite): Promise<LedgerRow | undefined> {
    const { rows } = await connection.query(readLedger([entry.writeId]));
    return rows[0] && parseLedgerRow(rows[0]);
  }

  #nextBatch(from: Position): Batch | undefined {
    const entries: BufferedWrite[] = [];
    let bytes = 0;
    for (const entry of this.#options.buffer.writes.after(from, this.#batchWrites)) {
      bytes += entry.bytes;
      if (entries.length > 0 && bytes > this.#options.batchBytes) break;
      entries.push(entry);
    }
    return entries.length === 0 ? undefined : { from, entries };
  }

  async #send(applier: Applier, batch: Batch): Promise<Outcome> {
    const catalog = this.#options.catalog();
    if (!catalog) return { error: new Error("the catalog has not been read yet") };
    try {
      return await applyBatch(applier, catalog, batch);
    } catch (error) {
      if (!(error instanceof OpsDbError)) return { error };
    }
    // The catalog lacks a table or column, and nothing was sent. It may be older than the write; only main's own
    // catalog may decide that the write is refused.
    try {
      return await applyBatch(applier, await this.#options.catalogOfMain(), batch);
    } catch (error) {
      return { error };
    }
  }

  #committed(batch: Batch, { lsn, at }: Committed): void {
    for (const entry of batch.entries) {
      if (entry.state !== "ACCEPTED") continue; // the replica may have shown it already
      entry.state = "APPLIED";
      entry.lsn = lsn;
      entry.appliedAt = at;
    }
    this.#appliedWrites += batch.entries.length;
    this.#batchWrites = Math.min(this.#options.batchWrites, this.#batchWrites * 2);
    this.#moveCursor(batchEnd(batch));
  }

  #moveCursor(to: Position): void {
    this.#moved.set(to);
    this.#options.changed();
  }
}

/** Whether the same write would fail again, however often it is tried. */
function refuses(error: unknown): boolean {
  return error instanceof OpsDbError || classify(error) === "permanent";
}
