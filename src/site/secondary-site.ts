import type pg from "pg";
import { neverTrimmed } from "../buffer/never-trimmed.ts";
import { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { checkOnReplica } from "../catalog/check-on-replica.ts";
import { completeWrite } from "../catalog/complete-write.ts";
import { loadCatalog } from "../catalog/load-catalog.ts";
import type { Config, SecondarySiteConfig } from "../config.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline, sleep } from "../lib/abort.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import type { Lsn } from "../lsn.ts";
import { type Position, START } from "../position.ts";
import { createPool } from "../postgres/connection.ts";
import { type LedgerRow, parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { translate } from "../postgres/sqlstate.ts";
import { queryRows, useClient } from "../postgres/use-client.ts";
import { Processor } from "../processor/processor.ts";
import { type ReadFacts, TableReader } from "../query/read-table.ts";
import type { QueryPart, TableQuery } from "../query/table-query.ts";
import { LsnTracker } from "../replication/lsn-tracker.ts";
import { MainWatch } from "../replication/main-watch.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import { decodeToken, encodeToken } from "../token.ts";
import type { RequestedWrite, Write, WriteState, WriteStatus } from "../write.ts";
import { checkAgainstMergedView, checkPayload } from "./acceptance.ts";
import { DirectWriter } from "./direct-writer.ts";
import { checkSystem, waitForPosition, waitForTokenLsn, withinDeadline } from "./freshness.ts";
import { ledgerStatus } from "./ledger-status.ts";
import { RejectedWrites } from "./rejected-writes.ts";
import { SecondaryOperator } from "./secondary-operator.ts";
import { secondaryHealth, secondaryStatus } from "./secondary-status.ts";
import type { Health, QueryOptions, Site, WatchWritesOptions, WriteAck, WriteOptions } from "./site.ts";
import { watchWrites } from "./watch-writes.ts";
import { writeDirectly } from "./write-directly.ts";
import { determinedRows, writtenRows } from "./written-row.ts";

/** Asking the replica while a write waits to be accepted must not hold it up for long: G7. */
const CHECK_MS = 250;
const PROBES = 8;
/** While the buffer is still being read, a write whose id may be in it waits this long for it, milliseconds. */
const LOOK_FOR_ID_MS = 500;
/** Longest wait of GetWrite for a buffer that is still being read, milliseconds. */
const LOOK_FOR_OUTCOME_MS = 10_000;
const TRIM_EVERY_MS = 1_000;
const STATUS_EVERY_MS = 50;

/**
 * A secondary site: critical writes go into the local Redis and are drained to main in the background; reads come from
 * the local replica, merged with what is still on its way.
 */
export class SecondarySite implements Site {
  readonly role = "secondary";
  readonly name: string;
  readonly status: Latest<ReplicationStatus>;
  readonly health: Latest<Record<"write" | "query" | "replication", Health>>;
  readonly #config: Config;
  readonly #site: SecondarySiteConfig;
  readonly #logger: Logger;
  readonly #local: pg.Pool;
  /** For what must go on however many readers there are: following, checking, looking up. */
  readonly #probe: pg.Pool;
  readonly #main: pg.Pool;
  readonly #buffer: RedisWriteBuffer;
  readonly #catalog: CatalogKeeper;
  readonly #tracker: LsnTracker;
  readonly #processor: Processor;
  readonly #mainWatch: MainWatch;
  readonly #direct: DirectWriter;
  readonly #merged: TableReader;
  readonly #plain: TableReader;
  readonly operator: SecondaryOperator;
  /** Moves with every change of a write's state. */
  readonly #changes = new Latest(0);
  #statusDue: NodeJS.Timeout | undefined;
  /** The tracker's look since which the replica has left a check without an answer. */
  #unansweredSince: number | undefined;

  constructor(config: Config, site: SecondarySiteConfig, logger: Logger) {
    this.#config = config;
    this.#site = site;
    this.#logger = logger;
    this.name = site.name;
    const session = { applicationName: `opsdb-${site.name}` };
    const mainAddress = { ...config.main, timeoutMs: config.mainTimeoutMs };
    this.#main = createPool(mainAddress, session, config.main.pool);
    const localAddress = { ...config.local, timeoutMs: config.localTimeoutMs };
    this.#local = createPool(localAddress, session, config.local.pool);
    this.#probe = createPool(localAddress, session, PROBES);
    const changed = (): void => this.#changed();
    this.#buffer = new RedisWriteBuffer(
      {
        url: site.redisUrl,
        site: site.name,
        timeoutMs: config.redisTimeoutMs,
        maxWrites: site.buffer.maxWrites,
        maxBytes: site.buffer.maxBytes,
        allowUnsafe: site.buffer.allowUnsafe,
        logger,
      },
      changed,
    );
    const { redis } = this.#buffer;
    const catalogKey = this.#buffer.key("catalog");
    this.#catalog = new CatalogKeeper({
      pool: this.#probe,
      refreshMs: config.catalogRefreshMs,
      timeoutMs: config.localTimeoutMs,
      logger,
      copy: {
        load: async () => (await redis.get(catalogKey)) ?? undefined,
        save: async (text) => void (await redis.set(catalogKey, text)),
      },
    });
    this.#tracker = new LsnTracker({
      local: this.#probe,
      site: site.name,
      writes: this.#buffer.writes,
      pollMs: config.tracker.pollMs,
      idlePollMs: config.tracker.idlePollMs,
      timeoutMs: config.localTimeoutMs,
      logger,
      changed,
    });
    this.#processor = new Processor({
      site: site.name,
      main: mainAddress,
      buffer: this.#buffer,
      catalog: () => this.#catalog.catalog.value,
      catalogOfMain: () => useClient(this.#main, AbortSignal.timeout(config.mainTimeoutMs), loadCatalog),
      ...site.processor,
      logger,
      tracker: this.#tracker,
      changed: () => {
        this.#tracker.hurry();
        changed();
      },
    });
    this.#mainWatch = new MainWatch({
      pool: this.#main,
      site: site.name,
      pollMs: config.statusPollMs,
      timeoutMs: config.mainTimeoutMs,
      tracker: this.#tracker,
      logger,
      changed,
    });
    this.#direct = new DirectWriter({
      pool: this.#local,
      site: site.name,
      unavailable: "LOCAL_UNAVAILABLE",
      timeoutMs: config.localTimeoutMs,
    });
    this.#merged = new TableReader({ site: site.name, pending: this.#buffer.writes });
    this.#plain = new TableReader({ site: site.name });
    const statusOf = (entry: BufferedWrite): WriteStatus => this.#statusOf(entry);
    this.operator = new SecondaryOperator({
      site: site.name,
      buffer: this.#buffer,
      pause: this.#processor.pause,
      catalog: this.#catalog,
      rejected: new RejectedWrites({
        pool: this.#probe,
        unavailable: "LOCAL_UNAVAILABLE",
        timeoutMs: config.localTimeoutMs,
        memory: { writes: this.#buffer.writes, statusOf },
      }),
      local: this.#probe,
      decided: () => (this.#processor.cursor > this.#tracker.proven ? this.#processor.cursor : this.#tracker.proven),
      status: () => this.readStatus(),
      statusOf,
      readBuffer: async () => {
        using deadline = new Deadline(LOOK_FOR_OUTCOME_MS);
        return await this.#readBuffer(deadline.signal);
      },
      logger,
    });
    this.status = new Latest(this.readStatus());
    this.health = new Latest(this.#readHealth());
  }

  catalog(): Catalog {
    return this.#catalog.get();
  }

  /** refused? -> known id? -> check and complete -> check against the merged view -> append -> acknowledge, or wait. */
  async write(requested: RequestedWrite, options: WriteOptions): Promise<WriteAck> {
    if (options.mode === "direct")
      return await writeDirectly({
        writer: this.#direct,
        site: this.name,
        catalog: this.catalog(),
        requested,
        token: () => this.#token(undefined),
      });

    const seen = this.#buffer.writes.byId(requested.writeId);
    if (seen) return await this.#acknowledgeAgain(requested, seen, options);
    const refusal = this.#buffer.refusal;
    if (refusal) throw refusal;

    if (!requested.fresh && !this.#buffer.complete.value) {
      using deadline = new Deadline(LOOK_FOR_ID_MS);
      await this.#buffer.catchUp(AbortSignal.any([options.signal, deadline.signal]));
      const read = this.#buffer.writes.byId(requested.writeId);
      if (read) return await this.#acknowledgeAgain(requested, read, options);
    }
    const { write, known } = await this.#checkUpToDate(requested);
    if (known) return await this.#acknowledgeFromLedger(requested, write);
    const { position, entry, first } = await this.#buffer.append(write);
    // Somebody else of this site was faster with the same id: the order of the stream decides which write it is.
    if (first) return await this.#acknowledgeAgain(requested, first, options);
    if (entry) return await this.#acknowledge(entry, options, false);
    return await this.#acknowledgeUnread(write, position, options);
  }

  async getWrite(writeId: string): Promise<WriteStatus> {
    using deadline = new Deadline(LOOK_FOR_OUTCOME_MS);
    const complete = this.#buffer.writes.byId(writeId) !== undefined || (await this.#readBuffer(deadline.signal));
    const entry = this.#buffer.writes.byId(writeId);
    if (entry) return { ...this.#statusOf(entry), writeId };
    const local = await this.#ledger(this.#probe, writeId).catch((error: unknown) => error as OpsDbError);
    if (local && !(local instanceof OpsDbError)) return ledgerStatus(local, true);
    // It may be acknowledged by another process of this site, or be on main and not here yet: only who could look
    // everywhere may say that it is unknown.
    if (!complete)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "the buffer cannot be read, and the write is nowhere else", {
        retryAfterMs: 1_000,
      });
    const there = await this.#ledgerOfMain(writeId);
    if (there) return ledgerStatus(there, false);
    if (local) throw local;
    throw new OpsDbError("WRITE_NOT_FOUND", `no write ${writeId} is known`, {
      field: "write_id",
      metadata: { write_id: writeId },
    });
  }

  async *followWrite(writeId: string, signal: AbortSignal): AsyncGenerator<WriteStatus> {
    using _attention = this.#tracker.attend();
    let last: WriteState | undefined;
    for (;;) {
      const version = this.#changes.version;
      const status = await this.getWrite(writeId);
      if (status.state !== last) yield status;
      last = status.state;
      if (last === "REPLICATED" || last === "REJECTED") return;
      if (this.#buffer.writes.byId(writeId)) await this.#changes.changed(version, signal);
      else await sleep(this.#config.tracker.pollMs, signal);
    }
  }

  async *watchWrites(options: WatchWritesOptions): AsyncGenerator<WriteStatus> {
    await this.#readBuffer(options.signal);
    yield* watchWrites(
      {
        writes: this.#buffer.writes,
        statusOf: (entry) => this.#statusOf(entry),
        changes: this.#changes,
        neverTrimmed: () => neverTrimmed(this.#buffer.redis, this.#buffer.key("writes")),
        // While main is away nothing arrives: looking often would be for nothing, all night.
        attend: () => (this.#mainWatch.part.status.state === "RUNNING" ? this.#tracker.attend() : undefined),
      },
      options,
    );
  }

  async waitForLsn(lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.#tracker.until((state) => state.lsn >= lsn, signal);
  }

  /** fresh enough? -> buffer to its tail -> snapshot -> overlay -> PostgreSQL evaluates. */
  async *query(query: TableQuery, options: QueryOptions): AsyncGenerator<QueryPart> {
    const started = performance.now();
    const { signal, timeoutMs } = options;
    const catalog = await this.#catalog.using(signal, (known) => {
      known.table(query.table, "table");
      return known;
    });
    using deadline = new Deadline(timeoutMs);
    const waiting = AbortSignal.any([signal, deadline.signal]);
    if (query.token.length > 0) await withinDeadline(timeoutMs, signal, (fresh) => this.#fresh(query, fresh));
    // Last, so that the reader begins with what it says.
    const bufferRead = query.consistency === "merged" ? await this.#readBuffer(waiting) : true;
    const atMain = query.consistency === "main";
    const reader = query.consistency === "merged" ? this.#merged : this.#plain;
    const before = this.#tracker.state.value;
    yield* reader.read(catalog, query, {
      pool: atMain ? this.#main : this.#local,
      unavailable: atMain ? "MAIN_UNAVAILABLE" : "LOCAL_UNAVAILABLE",
      timeoutMs: timeoutMs - (performance.now() - started),
      signal,
      header: ({ columns, pendingWrites, position, lsnAfter }: ReadFacts) => ({
        kind: "header",
        header: {
          columns,
          consistency: query.consistency,
          lsn: atMain ? lsnAfter : (before?.lsn ?? 0n),
          timeline: (atMain ? this.#mainWatch.status.timeline : before?.timeline) ?? 0,
          pendingWrites,
          token: this.#token(position, lsnAfter, atMain ? this.#mainWatch.status.timeline : before?.timeline),
          replicaAgeMs: atMain ? undefined : before?.replayAgeMs,
          bufferUnreachable: !bufferRead,
        },
      }),
    });
  }

  /** Stops in this order: the processor, which gives its lease back, and the followers; then the buffer. */
  async run(signal: AbortSignal): Promise<void> {
    const buffering = new AbortController();
    const buffer = this.#buffer.run(buffering.signal, () => this.#knownPosition());
    try {
      await Promise.all([
        this.#catalog.run(signal),
        this.#tracker.run(signal),
        this.#processor.run(signal),
        this.#mainWatch.run(signal),
        this.#trim(signal),
      ]);
    } finally {
      buffering.abort(new Error("stopping"));
      await buffer;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#statusDue);
    await this.#buffer[Symbol.asyncDispose]();
    await Promise.all([this.#local.end(), this.#probe.end(), this.#main.end()]);
  }

  /**
   * Answers whether memory is up to date with the stream; waits for a load that is under way, until the signal. Throws
   * where the stream was not read to its end.
   */
  async #readBuffer(signal: AbortSignal): Promise<boolean> {
    const upToDate = await this.#buffer.catchUp(signal);
    if (this.#buffer.complete.value) return upToDate;
    throw new OpsDbError("BUFFER_UNAVAILABLE", `the buffer has not been read yet: ${this.#buffer.part.status.reason}`, {
      retryAfterMs: 1_000,
    });
  }

  /** What another process of the site has just acknowledged may not be in memory yet: no row is missed because of that. */
  async #checkUpToDate(requested: RequestedWrite): Promise<{ write: Write; known: boolean }> {
    try {
      return await this.#check(requested);
    } catch (error) {
      if (!(error instanceof OpsDbError) || !["ROW_EXISTS", "ROW_NOT_FOUND"].includes(error.reason)) throw error;
      using deadline = new Deadline(CHECK_MS);
      if (!(await this.#buffer.catchUp(deadline.signal))) throw error;
      return await this.#check(requested);
    }
  }

  async #check(requested: RequestedWrite): Promise<{ write: Write; known: boolean }> {
    using deadline = new Deadline(CHECK_MS);
    const { write, unchecked } = await this.#catalog.using(deadline.signal, (known) =>
      completeWrite(known, requested, { generateAtMain: false, now: new Date() }),
    );
    const looks = this.#tracker.state.version;
    // One check that was not answered is enough until the tracker has seen the replica answer again.
    if (this.#tracker.part.status.state !== "RUNNING" || looks === this.#unansweredSince)
      return { write: unasked(requested, write), known: false };
    const catalog = this.catalog();
    try {
      if (unchecked.length > 0)
        await useClient(this.#probe, deadline.signal, (client) => checkOnReplica(client, catalog, write, unchecked));
      const { known } = await checkAgainstMergedView({
        pool: this.#probe,
        catalog,
        pending: this.#buffer.complete.value ? this.#buffer.writes : undefined,
        requested,
        write,
        signal: deadline.signal,
      });
      return { write, known };
    } catch (error) {
      if (error instanceof OpsDbError) throw error;
      // The replica cannot be asked: the in-memory checks have to do (G7), and main has the last word.
      this.#unansweredSince = looks;
      this.#logger.warn({ error }, "writes are accepted without asking the replica");
      return { write: unasked(requested, write), known: false };
    }
  }

  async #acknowledge(entry: BufferedWrite, options: WriteOptions, duplicate: boolean): Promise<WriteAck> {
    const reached = await this.#waitFor(entry, options);
    return {
      status: this.#statusOf(entry),
      rows: writtenRows(this.catalog(), entry.write),
      token: this.#token(
        entry.position,
        entry.lsn,
        entry.lsn === undefined ? undefined : this.#mainWatch.status.timeline,
      ),
      waitTimedOut: !reached,
      duplicate,
    };
  }

  /** Stored while the stream is still being read: only once it was read, more can be told than that. */
  async #acknowledgeUnread(write: Write, position: Position, options: WriteOptions): Promise<WriteAck> {
    const { writeId } = write;
    if (options.waitFor !== "ACCEPTED") {
      const started = performance.now();
      using deadline = new Deadline(options.waitMs);
      await this.#buffer.catchUp(AbortSignal.any([options.signal, deadline.signal]));
      options.signal.throwIfAborted();
      const read = this.#buffer.writes.firstAfter(position - 1n);
      const waitMs = options.waitMs - (performance.now() - started);
      if (read?.position === position) {
        // What turns out to come second is answered as the first, unless that is other content: then it will be rejected.
        const repeated = read.duplicateOf !== undefined && !read.conflicting;
        const entry = (repeated && this.#buffer.writes.byId(writeId)) || read;
        return await this.#acknowledge(entry, { ...options, waitMs }, entry !== read);
      }
    }
    return {
      status: { writeId, state: "ACCEPTED", site: this.name, position },
      rows: writtenRows(this.catalog(), write),
      token: this.#token(position),
      waitTimedOut: options.waitFor !== "ACCEPTED",
      duplicate: false,
    };
  }

  async #acknowledgeAgain(requested: RequestedWrite, first: BufferedWrite, options: WriteOptions): Promise<WriteAck> {
    checkPayload(requested, first.write.payloadHash);
    return await this.#acknowledge(first, options, true);
  }

  async #acknowledgeFromLedger(requested: RequestedWrite, write: Write): Promise<WriteAck> {
    const row = await this.#ledger(this.#probe, requested.writeId);
    if (!row) throw new OpsDbError("LOCAL_UNAVAILABLE", "the ledger cannot be read; retry", { retryAfterMs: 1_000 });
    return {
      status: ledgerStatus(row, true),
      rows: determinedRows(this.catalog(), write, requested),
      token: this.#token(row.site === this.name ? row.position : undefined),
      waitTimedOut: false,
      duplicate: true,
    };
  }

  /** Answers false where the time ran out first; the write goes on. */
  async #waitFor(entry: BufferedWrite, { waitFor, waitMs, signal }: WriteOptions): Promise<boolean> {
    const done = (): boolean =>
      waitFor === "ACCEPTED" ||
      entry.state === "REJECTED" ||
      entry.state === "REPLICATED" ||
      (waitFor === "APPLIED" && entry.state === "APPLIED");
    if (done()) return true;
    using _attention = this.#tracker.attend();
    using deadline = new Deadline(waitMs);
    try {
      await this.#changes.until(done, AbortSignal.any([signal, deadline.signal]));
      return true;
    } catch {
      signal.throwIfAborted();
      return done();
    }
  }

  #statusOf(entry: BufferedWrite): WriteStatus {
    return {
      writeId: entry.writeId,
      state: entry.state,
      site: this.name,
      position: entry.position,
      ...(entry.lsn === undefined ? {} : { lsn: entry.lsn }),
      ...(entry.appliedAt === undefined ? {} : { appliedAt: entry.appliedAt }),
      ...(entry.rejection === undefined ? {} : { rejection: entry.rejection }),
    };
  }

  async #ledger(pool: pg.Pool, writeId: string): Promise<LedgerRow | undefined> {
    try {
      const [row] = await queryRows(pool, AbortSignal.timeout(this.#config.localTimeoutMs), readLedger([writeId]));
      return row && parseLedgerRow(row);
    } catch (error) {
      throw translate(error, pool === this.#main ? "MAIN_UNAVAILABLE" : "LOCAL_UNAVAILABLE");
    }
  }

  async #ledgerOfMain(writeId: string): Promise<LedgerRow | undefined> {
    const { state, reason } = this.#mainWatch.part.status;
    if (state === "RUNNING") return await this.#ledger(this.#main, writeId);
    throw new OpsDbError("MAIN_UNAVAILABLE", `the write is not known here, and main cannot be asked: ${reason}`, {
      retryAfterMs: 1_000,
    });
  }

  async #fresh(query: TableQuery, signal: AbortSignal): Promise<void> {
    const token = decodeToken(query.token);
    checkSystem(token, this.#tracker.state.value?.systemIdentifier ?? "");
    const atMain = query.consistency === "main";
    const merged = query.consistency === "merged" && token.site === this.name;
    // The overlay shows every write of this site that the replica does not; another site's must have come home.
    if (token.position !== undefined && !merged)
      await waitForPosition(
        atMain ? this.#main : this.#local,
        token.site,
        token.position,
        this.#config.tracker.pollMs,
        signal,
      );
    if (token.lsn !== undefined && !atMain) await waitForTokenLsn(this.#tracker, token, signal);
  }

  /** The highest position that the databases speak of: the buffer must never give it again. */
  async #knownPosition(): Promise<Position> {
    // The replica is asked once, shortly: while it is away there is only what this process has seen.
    const first = this.#tracker.state.until((seen) => seen !== undefined, AbortSignal.timeout(1_000));
    const replica = (await first.catch(() => undefined))?.cursor ?? START;
    const main = this.#processor.cursor;
    return replica > main ? replica : main;
  }

  async #trim(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(TRIM_EVERY_MS, signal).catch(() => {});
      if (this.#buffer.part.status.state !== "RUNNING") continue;
      const { maxWrites, maxBytes, retentionMs } = this.#site.buffer;
      const { size, bytes } = this.#buffer.writes;
      // Proven writes are kept for a failover only; they must not be what new writes are refused for.
      const crowded = size > maxWrites / 2 || bytes > maxBytes / 2;
      // While main does not answer nothing says that it will not come back older than it was.
      if (!crowded && this.#mainWatch.part.status.state !== "RUNNING") continue;
      const to = this.#buffer.writes.trimmableTo(crowded ? Number.POSITIVE_INFINITY : performance.now() - retentionMs);
      await this.#buffer
        .trim(to)
        .catch((error: unknown) => this.#logger.warn({ error }, "the buffer could not be trimmed"));
    }
  }

  #token(position: Position | undefined, lsn?: Lsn, timeline?: number): Uint8Array {
    return encodeToken({
      site: this.name,
      systemIdentifier: this.#tracker.state.value?.systemIdentifier ?? "",
      timeline: timeline ?? this.#tracker.state.value?.timeline ?? 0,
      position,
      lsn: timeline === undefined ? undefined : lsn,
    });
  }

  #changed(): void {
    this.#changes.set(this.#changes.value + 1);
    this.#statusDue ??= setTimeout(() => {
      this.#statusDue = undefined;
      this.status.set(this.readStatus());
      this.health.set(this.#readHealth());
    }, STATUS_EVERY_MS);
  }

  readStatus(): ReplicationStatus {
    return secondaryStatus(this.name, {
      buffer: this.#buffer,
      processor: this.#processor,
      tracker: this.#tracker,
      main: this.#mainWatch.status,
      limits: this.#site.buffer,
    });
  }

  #readHealth(): Record<"write" | "query" | "replication", Health> {
    return secondaryHealth(this.#buffer, this.#tracker.part.status, this.#catalog.catalog.value !== undefined);
  }
}

/** Accepted without asking the ledger for its id. */
function unasked(requested: RequestedWrite, write: Write): Write {
  return requested.fresh ? write : { ...write, idUnchecked: true };
}
