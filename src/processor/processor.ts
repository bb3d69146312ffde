import { ReplyError } from "ioredis";
import type { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import { ledgerIds, ledgerRowOf, settle } from "../buffer/settle.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { aborted, sleep } from "../lib/abort.ts";
import { Backoff } from "../lib/backoff.ts";
import { failpoint } from "../lib/failpoint.ts";
import type { Logger } from "../lib/logger.ts";
import { formatPosition, type Position, parsePosition, START } from "../position.ts";
import { connectPipelined, type DatabaseAddress, type PipelinedConnection } from "../postgres/connection.ts";
import { advanceCursor, parseDecision, parseLedgerRow, readLedger, takeCursor } from "../postgres/ledger.ts";
import { classify, messageOf, rejectionOf, saysOtherSchema, sqlstateOf } from "../postgres/sqlstate.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import { Part } from "../replication/part.ts";
import type { PartStatus, ProcessorStatus } from "../replication/status.ts";
import { reusedRejection } from "../reused-id.ts";
import type { Rejection } from "../write.ts";
import {
  type Applier,
  applyBatch,
  type Batch,
  batchEnd,
  type Committed,
  decideBatch,
  type Failure,
  type Outcome,
  sendBatch,
} from "./batch.ts";
import { CatalogChoice, type Effects } from "./catalog-choice.ts";
import { DrainMeasures } from "./drain-measures.ts";
import { DrainPause, pausedStatus } from "./drain-pause.ts";
import { Lease } from "./lease.ts";
import { traceBatch } from "./trace-batch.ts";

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
  /** Compares main's cursor with what main is known to have decided; without it nothing is. */
  tracker?: Pick<LsnTracker, "decided" | "mainIsAt">;
  /** Tells that a write's state or the processor's changed. */
  changed: () => void;
}

// The promise that a commit is on main's disk, and then in the WAL that standbys get, does not depend on the role's
// defaults (facts.md, PostgreSQL 2). A transaction that the link has left hanging gives its locks back.
const settings = {
  synchronous_commit: "on",
  idle_in_transaction_session_timeout: "8000",
  lock_timeout: "10000",
};

/** The most writes whose outcome is asked for after a reconnection; the replica tells those of the others. */
const OUTCOMES = 10_000;

/**
 * New writes wait this long for company, milliseconds: nothing beside the link, and a transaction for each of them would
 * take the time from those who acknowledge.
 */
const LINGER_MS = 5;

/** The most writes that main decides one by one in one transaction: each takes a subtransaction (facts.md, PostgreSQL 14). */
const DECIDE_WRITES = 50;

/** So many writes after one that was rejected are decided one by one as well: rejections come in swarms. */
const DECIDE_AFTER_REJECTION = 1_000;

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
 * deciding -> a batch failed for good: main decides its writes, and some after them, one by one, in small batches that
 *   are under way like others, and rejects the guilty ones; then draining again
 * paused -> an operator stopped it: what is under way ends, nothing new is sent
 * retrying -> main is away or an outcome is unknown: connect again, read the cursor, go on from what it says
 */
export class Processor {
  readonly part: Part;
  /** An operator's: while it holds nothing new is sent. */
  readonly pause: DrainPause;
  readonly measures = new DrainMeasures();
  readonly #options: ProcessorOptions;
  readonly #lease: Lease;
  #cursor: Position = START;
  readonly #catalogs: CatalogChoice;
  /** Redis refuses to store the lease, so that it keeps nobody from draining. */
  #leaseRefused = false;
  /**
   * The most writes in a batch just now: half as many after a failure that holds the drain up, so that a batch that is
   * too slow gets through, and twice as many with every batch that main commits.
   */
  #batchWrites: number;
  /** Main decides writes one by one up to here, and why. */
  #deciding: { to: Position; reason: string } = { to: START, reason: "" };
  /** What main said of a write's content, which it could not even read. */
  readonly #unreadable = new Map<BufferedWrite, Rejection>();
  #appliedWrites = 0;
  #rejectedWrites = 0;

  constructor(options: ProcessorOptions) {
    this.#options = options;
    this.#batchWrites = options.batchWrites;
    this.part = new Part("IDLE", "not started yet", options.changed);
    this.#catalogs = new CatalogChoice({
      local: options.catalog,
      readMain: options.catalogOfMain,
      writes: options.buffer.writes,
    });
    this.pause = new DrainPause(options.buffer, options.changed);
    this.#lease = new Lease({
      redis: options.buffer.redis,
      key: options.buffer.key("processor"),
      leaseMs: options.leaseMs,
    });
  }

  get status(): Omit<ProcessorStatus, "replicatedPosition"> {
    return {
      state: this.#state(),
      ...(this.cursor === START ? {} : { appliedPosition: this.cursor }),
      appliedWrites: this.#appliedWrites,
      rejectedWrites: this.#rejectedWrites,
    };
  }

  /** The last position that main is known to have decided. */
  get cursor(): Position {
    return this.#cursor;
  }

  /** Runs until the signal. What is under way at main then is left to its outcome; the next run reads it. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ firstMs: 100, longestMs: 1_000 });
    const pauseFollowed = this.pause.run(signal);
    while (!signal.aborted) {
      try {
        await this.#whilePaused(signal);
        await this.#waitForLease(signal);
        await this.#runWithLease(signal, backoff);
      } catch (error) {
        if (signal.aborted) break;
        this.#batchWrites = Math.max(1, this.#batchWrites >> 1);
        this.measures.heldUp();
        // Without a lease, whoever took the cursor has a turn of a lease's length.
        const fenced = this.#leaseRefused && sqlstateOf(error) === "OD001";
        const wait = fenced ? this.#options.leaseMs : backoff.next();
        this.#options.logger.warn({ error, retryInMs: wait }, "the drain is held up");
        this.part.set("RETRYING", messageOf(error), wait);
        await sleep(wait, signal).catch(() => {});
      }
    }
    await this.#lease.release().catch(() => {});
    this.measures.holdsLease = false;
    await pauseFollowed;
  }

  /** A pause is what holds everything up, in whichever process, as soon as what was under way has ended. */
  #state(): PartStatus {
    const { status } = this.part;
    const pause = this.pause.now;
    return pause && status.state !== "RUNNING" ? pausedStatus(pause) : status;
  }

  async #whilePaused(signal: AbortSignal): Promise<void> {
    const { pause } = this;
    if (!pause.known) this.part.set("RETRYING", "the buffer is not ready");
    await pause.seen(signal);
    if (pause.now) this.part.set("PAUSED", pausedStatus(pause.now).reason);
    await pause.over(signal);
  }

  async #waitForLease(signal: AbortSignal): Promise<void> {
    const { accepting, complete } = this.#options.buffer;
    if (!accepting.value || !complete.value) this.part.set("RETRYING", "the buffer is not ready");
    await accepting.until((ready) => ready, signal);
    await complete.until((read) => read, signal);
    while (!(await this.#takeLease())) {
      this.part.set("STANDBY", "another process of this site drains the buffer");
      await sleep(this.#options.leaseMs / 4, signal);
    }
  }

  /** Answers false while another process has it. True without it where Redis refuses: a drain is what frees its memory. */
  async #takeLease(): Promise<boolean> {
    try {
      const held = await this.#lease.take();
      this.measures.holdsLease = held;
      this.#leaseRefused = false;
      return held;
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      if (!this.#leaseRefused)
        this.#options.logger.warn({ error }, "Redis refuses the lease; the drain goes on without it");
      this.#leaseRefused = true;
      return true;
    }
  }

  async #runWithLease(signal: AbortSignal, backoff: Backoff): Promise<void> {
    const lost = new AbortController();
    const renewal = setInterval(() => {
      // While Redis is away nobody else can take the lease; the cursor guards what matters.
      this.#lease.take().then(
        (held) => {
          this.measures.holdsLease = held;
          if (!held) lost.abort(new Error("another process took over the drain"));
        },
        () => {},
      );
    }, this.#options.leaseMs / 3);
    try {
      await using connection = await connectPipelined(this.#options.main, {
        applicationName: `opsdb-processor-${this.#options.site}`,
        settings,
      });
      this.#unreadable.clear();
      const before = this.#options.tracker?.decided ?? START;
      const { applier, cursor: taken } = await this.#takeCursor(connection);
      const cursor = await this.#passOverForgotten(applier, taken);
      await this.#options.buffer.neverBelow(cursor);
      // Main failed over to an older state: what it had decided, and what the replica had proven, is open again.
      if (cursor < this.cursor) this.#options.buffer.writes.reopen(cursor);
      this.#options.tracker?.mainIsAt(cursor, before);
      await this.#learnOutcomes(connection, cursor);
      this.#moveCursor(cursor);
      await this.#drain(applier, AbortSignal.any([signal, lost.signal, connection.closed]), backoff);
    } finally {
      clearInterval(renewal);
    }
  }

  /**
   * Where main came back older than the oldest write that this process still remembers, what was between is lost, whoever
   * trimmed it; what is remembered is applied again, also where another process has trimmed it. The cursor
   * moves past what is lost, since a replica that stays behind what was proven would be refused to every merged read for ever.
   */
  async #passOverForgotten(applier: Applier, cursor: Position): Promise<Position> {
    const { buffer } = this.#options;
    const { forgottenTo } = buffer.writes;
    if (cursor >= forgottenTo) return cursor;
    // Before the cursor moves: afterwards nothing tells that there was a gap.
    await buffer.reportLoss(
      `main came back older, as after a failover to a standby that was behind: it has no write after position ${formatPosition(cursor)}, and those up to ${formatPosition(forgottenTo)} had left the buffer, so they are lost`,
    );
    await applier.connection.query(advanceCursor(applier.site, applier.token, cursor, forgottenTo));
    return forgottenTo;
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
    const { rows } = await connection.query(readLedger(open.flatMap(ledgerIds)));
    const outcomes = new Map(rows.map(parseLedgerRow).map((row) => [row.writeId, row]));
    for (const entry of open) {
      const row = ledgerRowOf(entry, outcomes);
      if (row && entry.state === "ACCEPTED") settle(writes, entry, row);
    }
  }

  async #drain(applier: Applier, signal: AbortSignal, backoff: Backoff): Promise<void> {
    const { buffer, inFlight: limit } = this.#options;
    let underWay: InFlight[] = [];
    let sentTo = this.cursor;
    while (!signal.aborted) {
      if (!buffer.complete.value) throw new Error("Redis has lost writes; they may have other positions now");
      const seen = buffer.tail.version;
      while (underWay.length < limit && !this.pause.now) {
        const batch = this.#nextBatch(sentTo);
        if (!batch) break;
        underWay.push({ batch, done: this.measures.follow(batch, traceBatch(batch, sendBatch(applier, batch))) });
        sentTo = batchEnd(batch);
      }
      const [oldest, ...later] = underWay;
      if (!oldest && this.pause.now) {
        await this.#whilePaused(signal);
        continue;
      }
      if (!oldest) {
        await this.#rest(sentTo, seen, signal);
        continue;
      }
      this.part.set("RUNNING", this.cursor < this.#deciding.to ? this.#deciding.reason : "");
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
      } else {
        this.#refused(oldest.batch, outcome);
        // Those behind it fail by their cursor guard, before anything that is sent from now on.
        underWay = [];
        sentTo = this.cursor;
      }
    }
    signal.throwIfAborted();
  }

  /** With nothing under way: waits for the next write, or asks main about the one that no known catalog fits. */
  async #rest(sentTo: Position, seen: number, signal: AbortSignal): Promise<void> {
    const { buffer } = this.#options;
    if (buffer.writes.firstAfter(sentTo)) {
      this.part.set("RUNNING", `reading main's catalog: ${this.#deciding.reason}`);
      await aborted(signal, this.#catalogs.askMain());
      return;
    }
    this.part.set("IDLE", "the buffer is empty");
    await buffer.tail.changed(seen, signal);
    await sleep(LINGER_MS, signal);
  }

  /** Resolves a little after new writes came in, or with the signal. */
  async #moreWrites(seen: number, signal: AbortSignal): Promise<void> {
    await this.#options.buffer.tail
      .changed(seen, signal)
      .then(() => sleep(LINGER_MS, signal))
      .catch(() => {});
  }

  /** The next writes after the position; undefined where there are none, or main's catalog is needed for the next. */
  #nextBatch(from: Position): Batch | undefined {
    const { site } = this.#options;
    if (from >= this.#deciding.to) {
      const entries = this.#take(from, this.#batchWrites);
      if (entries.length === 0) return undefined;
      const conflicting = entries.find((entry) => entry.conflicting);
      const effects = conflicting ? reusedRejection(conflicting.write) : this.#catalogs.effects(entries);
      if ("statements" in effects) return applyBatch(site, from, entries, effects.statements);
      this.#decide(batchEnd({ from, entries }), effects.message);
    }
    const attempts = new Map<BufferedWrite, Effects | Rejection>();
    for (const entry of this.#take(from, Math.min(DECIDE_WRITES, this.#batchWrites))) {
      const attempt = this.#attempt(entry);
      if (!attempt) break;
      attempts.set(entry, attempt);
    }
    return attempts.size === 0 ? undefined : decideBatch(site, from, attempts);
  }

  #take(from: Position, most: number): BufferedWrite[] {
    const entries: BufferedWrite[] = [];
    let bytes = 0;
    for (const entry of this.#options.buffer.writes.after(from, most)) {
      bytes += entry.bytes;
      if (entries.length > 0 && bytes > this.#options.batchBytes) break;
      entries.push(entry);
    }
    return entries;
  }

  /** What main is to try for the write, or to reject it for; undefined where main's catalog has to be read first. */
  #attempt(entry: BufferedWrite): Effects | Rejection | undefined {
    if (entry.conflicting) return reusedRejection(entry.write);
    const unreadable = this.#unreadable.get(entry);
    if (unreadable) return unreadable;
    const effects = this.#catalogs.effects([entry]);
    if (!(effects instanceof OpsDbError)) return effects;
    if (!this.#catalogs.decides(entry)) return undefined;
    const { mutation } = effects.metadata;
    return {
      reason: effects.reason,
      message: effects.message,
      ...(mutation === undefined ? {} : { mutation: Number(mutation) }),
    };
  }

  #decide(to: Position, why: unknown): void {
    this.#deciding = { to, reason: `main decides write by write: ${messageOf(why)}` };
  }

  /** A batch failed. Throws where that says nothing of its writes: then the drain is held up, and tries again. */
  #refused(batch: Batch, { error, statement }: Failure): void {
    if (classify(error) !== "permanent") throw error;
    if (saysOtherSchema(error) && (!batch.decides || batch.provisional)) {
      this.#catalogs.outdated();
      if (batch.decides) return; // once more, by main's catalog
    }
    if (!batch.decides) {
      this.#decide(batchEnd(batch), error);
      return;
    }
    // Main decides what a write does, whatever it is, but not what it cannot read: a text with a NUL, a limit exceeded.
    const entry = batch.decides[statement ?? -1];
    if (!entry || this.#unreadable.has(entry) || !/^(22|54)/.test(sqlstateOf(error) ?? "")) throw error;
    this.#unreadable.set(entry, rejectionOf(error));
  }

  #committed(batch: Batch, { lsn, at, answers }: Committed): void {
    failpoint("batch-committed");
    const decisions = batch.decides ? answers.map(({ rows }) => parseDecision(rows[0] ?? [])) : [];
    if (decisions.some(({ known, row }) => !known && row.rejection)) failpoint("rejection-stored");
    const { writes } = this.#options.buffer;
    const settled = new Set<BufferedWrite>();
    for (const [i, { known, row }] of decisions.entries()) {
      const entry = batch.decides?.[i];
      if (!entry || (!known && !row.rejection)) continue;
      settled.add(entry);
      settle(writes, entry, row);
      if (!known) this.#rejected(batch, entry);
    }
    for (const entry of batch.entries) {
      if (settled.has(entry)) continue;
      const first = entry.duplicateOf === undefined ? undefined : writes.byId(entry.writeId);
      if (first?.rejection) {
        writes.reject(entry, first.rejection, first.appliedAt ?? at);
        continue;
      }
      this.#appliedWrites += first ? 0 : 1;
      if (entry.state === "ACCEPTED") entry.state = "APPLIED"; // else the replica has shown it already
      entry.lsn = lsn;
      entry.appliedAt = at;
    }
    this.#batchWrites = Math.min(this.#options.batchWrites, this.#batchWrites * 2);
    this.#moveCursor(batchEnd(batch));
  }

  #rejected(batch: Batch, entry: BufferedWrite): void {
    const { rejection } = entry;
    this.#rejectedWrites += 1;
    this.#unreadable.delete(entry);
    const next = this.#options.buffer.writes.after(batchEnd(batch), DECIDE_AFTER_REJECTION).at(-1);
    if (next && next.position > this.#deciding.to) this.#deciding = { ...this.#deciding, to: next.position };
    this.#options.logger.error(
      { writeId: entry.writeId, position: formatPosition(entry.position), rejection },
      // Of two contents under one id the later one's caller may have been told at once.
      entry.conflicting ? "main rejected a second content of a write id" : "main rejected an acknowledged write",
    );
  }

  #moveCursor(to: Position): void {
    this.#cursor = to;
    this.#options.changed();
  }
}
