import type pg from "pg";
import { LeasedValues } from "../buffer/leased-values.ts";
import { RedisWriteBuffer } from "../buffer/redis-write-buffer.ts";
import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import { loadCatalog } from "../catalog/load-catalog.ts";
import type { Config, SecondarySiteConfig } from "../config.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import type { Lsn } from "../lsn.ts";
import { type Position, START } from "../position.ts";
import { createPool } from "../postgres/connection.ts";
import { useClient } from "../postgres/use-client.ts";
import { Processor } from "../processor/processor.ts";
import { ResultCache, type ResultCacheState } from "../query/result-cache.ts";
import type { SqlQuery } from "../query/sql-query.ts";
import type { QueryPart, TableQuery } from "../query/table-query.ts";
import { LsnTracker } from "../replication/lsn-tracker.ts";
import { MainWatch } from "../replication/main-watch.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import type { RequestedWrite, WriteStatus } from "../write.ts";
import { BufferedWriter } from "./buffered-writer.ts";
import { DirectWriter } from "./direct-writer.ts";
import { entryStatus } from "./entry-status.ts";
import { MergedReader } from "./merged-reader.ts";
import { RejectedWrites } from "./rejected-writes.ts";
import { SecondaryOperator } from "./secondary-operator.ts";
import { secondaryHealth, secondaryStatus } from "./secondary-status.ts";
import { secondaryToken } from "./secondary-token.ts";
import { SequenceLeases } from "./sequence-leases.ts";
import type { Health, QueryOptions, Site, WatchWritesOptions, WriteAck, WriteOptions } from "./site.ts";
import type { SiteMeasures } from "./site-measures.ts";
import { trimBuffer } from "./trim-buffer.ts";
import { writeDirectly } from "./write-directly.ts";
import { WriteLookup } from "./write-lookup.ts";

const PROBES = 8;
const STATUS_EVERY_MS = 50;
/** Of a block of a sequence's values: what a process that is killed leaves unused is one of them at most, of each sequence. */
const PIECES = 100;

/**
 * A secondary site: critical writes go into the local Redis and are drained to main in the background; reads come from
 * the local replica, merged with what is still on its way.
 */
export class SecondarySite implements Site {
  readonly role = "secondary";
  readonly name: string;
  readonly status: Latest<ReplicationStatus>;
  readonly health: Latest<Record<"write" | "query" | "replication", Health>>;
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
  readonly #lookup: WriteLookup;
  readonly #leases: SequenceLeases;
  readonly #writer: BufferedWriter;
  readonly #reader: MergedReader;
  readonly #results: ResultCache;
  readonly #sql: Config["sql"];
  readonly operator: SecondaryOperator;
  readonly measures: SiteMeasures;
  /** Moves with every change of a write's state. */
  readonly #changes = new Latest(0);
  #statusDue: NodeJS.Timeout | undefined;

  constructor(config: Config, site: SecondarySiteConfig, logger: Logger) {
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
    const parts = {
      site: site.name,
      buffer: this.#buffer,
      catalog: this.#catalog,
      tracker: this.#tracker,
      mainWatch: this.#mainWatch,
      main: this.#main,
      pollMs: config.tracker.pollMs,
      timeoutMs: config.localTimeoutMs,
      changes: this.#changes,
      logger,
    };
    this.#lookup = new WriteLookup({ ...parts, local: this.#probe });
    this.#reader = new MergedReader({ ...parts, local: this.#local, sql: config.sql });
    this.#sql = config.sql;
    this.#results = new ResultCache(site.name, site.redisUrl, config.resultCache);
    this.#leases = new SequenceLeases({
      ...parts,
      values: new LeasedValues({
        buffer: this.#buffer,
        pieceSize: Math.ceil(site.sequenceBlock / PIECES),
        timeoutMs: config.redisTimeoutMs,
      }),
      block: site.sequenceBlock,
      pollMs: config.statusPollMs,
      timeoutMs: config.mainTimeoutMs,
    });
    this.#writer = new BufferedWriter({ ...parts, local: this.#probe, lookup: this.#lookup, leases: this.#leases });
    const statusOf = (entry: BufferedWrite): WriteStatus => entryStatus(site.name, entry);
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
      readBuffer: () => this.#lookup.readBuffer(),
      logger,
    });
    this.measures = {
      pools: [
        { name: "main", pool: this.#main },
        { name: "local", pool: this.#local },
        { name: "probe", pool: this.#probe },
      ],
      buffer: { appended: this.#buffer.appended, refusing: () => this.#buffer.refusal?.reason },
      drain: this.#processor.measures,
    };
    this.status = new Latest(this.readStatus());
    this.health = new Latest(this.#readHealth());
  }

  catalog(): Catalog {
    return this.#catalog.get();
  }

  async write(requested: RequestedWrite, options: WriteOptions): Promise<WriteAck> {
    if (options.mode === "critical") return await this.#writer.write(requested, options);
    return await writeDirectly({
      writer: this.#direct,
      site: this.name,
      catalog: this.catalog(),
      requested,
      token: () => secondaryToken(this.name, this.#tracker, undefined),
    });
  }

  async getWrite(writeId: string): Promise<WriteStatus> {
    return await this.#lookup.get(writeId);
  }

  followWrite(writeId: string, signal: AbortSignal): AsyncIterable<WriteStatus> {
    return this.#lookup.follow(writeId, signal);
  }

  watchWrites(options: WatchWritesOptions): AsyncIterable<WriteStatus> {
    return this.#lookup.watch(options);
  }

  async waitForLsn(lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.#tracker.until((state) => state.lsn >= lsn, signal);
  }

  /** A merged read is never an earlier one: it would miss what this site has written since. */
  query(query: TableQuery | SqlQuery, options: QueryOptions): AsyncIterable<QueryPart> {
    const { signal, timeoutMs } = options;
    const reuse = query.consistency === "merged" ? undefined : options.reuse;
    const context = (): string => JSON.stringify([this.catalog().fingerprint, this.#sql]);
    return this.#results.through({ reuse, context, batchSize: query.batchSize, timeoutMs, signal }, (left) =>
      this.#reader.query(query, { ...options, timeoutMs: left }),
    );
  }

  get resultCache(): ResultCacheState {
    return this.#results.state;
  }

  readStatus(): ReplicationStatus {
    return secondaryStatus(this.name, {
      buffer: this.#buffer,
      processor: this.#processor,
      tracker: this.#tracker,
      main: this.#mainWatch.status,
      sequences: this.#leases.status,
      limits: this.#site.buffer,
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
        this.#results.run(signal),
        this.#leases.run(signal),
        trimBuffer(
          { buffer: this.#buffer, mainWatch: this.#mainWatch, limits: this.#site.buffer, logger: this.#logger },
          signal,
        ),
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

  /** The highest position that the databases speak of: the buffer must never give it again. */
  async #knownPosition(): Promise<Position> {
    // The replica is asked once, shortly: while it is away there is only what this process has seen.
    const first = this.#tracker.state.until((seen) => seen !== undefined, AbortSignal.timeout(1_000));
    const replica = (await first.catch(() => undefined))?.cursor ?? START;
    const main = this.#processor.cursor;
    return replica > main ? replica : main;
  }

  #changed(): void {
    this.#changes.set(this.#changes.value + 1);
    this.#statusDue ??= setTimeout(() => {
      this.#statusDue = undefined;
      this.status.set(this.readStatus());
      this.health.set(this.#readHealth());
    }, STATUS_EVERY_MS);
  }

  #readHealth(): Record<"write" | "query" | "replication", Health> {
    return secondaryHealth(this.#buffer, this.#tracker.part.status, this.#catalog.catalog.value !== undefined);
  }
}
