import type pg from "pg";
import type { Catalog } from "../catalog/catalog.ts";
import { CatalogKeeper } from "../catalog/catalog-keeper.ts";
import type { Config } from "../config.ts";
import { OpsDbError } from "../errors.ts";
import { Latest } from "../lib/latest.ts";
import type { Logger } from "../lib/logger.ts";
import type { Lsn } from "../lsn.ts";
import { createPool } from "../postgres/connection.ts";
import { type ReadFacts, TableReader } from "../query/read-table.ts";
import { ResultCache, type ResultCacheState } from "../query/result-cache.ts";
import type { SqlQuery } from "../query/sql-query.ts";
import type { QueryPart, TableQuery } from "../query/table-query.ts";
import { localStatus } from "../replication/local-status.ts";
import { LsnTracker } from "../replication/lsn-tracker.ts";
import { MainWatch } from "../replication/main-watch.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import { decodeToken, encodeToken } from "../token.ts";
import type { RequestedWrite, WriteStatus } from "../write.ts";
import { DirectWriter } from "./direct-writer.ts";
import { checkSystem, waitForPosition, waitForTokenLsn, withinDeadline } from "./freshness.ts";
import { ledgerStatus } from "./ledger-status.ts";
import { MainOperator } from "./main-operator.ts";
import { noBuffer } from "./operator-errors.ts";
import { RejectedWrites } from "./rejected-writes.ts";
import type { Health, QueryOptions, Site, WriteAck, WriteOptions } from "./site.ts";
import type { SiteMeasures } from "./site-measures.ts";
import { writeDirectly } from "./write-directly.ts";

/**
 * The main site: writes go straight to the main database, each in one transaction with its ledger row, and reads come
 * straight from it.
 */
export class MainSite implements Site {
  readonly role = "main";
  readonly name: string;
  readonly status: Latest<ReplicationStatus>;
  readonly health: Latest<Record<"write" | "query" | "replication", Health>>;
  readonly #config: Config;
  readonly #main: pg.Pool;
  readonly #local: pg.Pool;
  readonly #catalog: CatalogKeeper;
  readonly #tracker: LsnTracker;
  readonly #mainWatch: MainWatch;
  readonly operator: MainOperator;
  readonly measures: SiteMeasures;
  readonly #writer: DirectWriter;
  readonly #reader: TableReader;
  readonly #results: ResultCache;

  constructor(config: Config, logger: Logger) {
    this.#config = config;
    this.name = config.site.name;
    const session = { applicationName: `opsdb-${this.name}`, settings: { synchronous_commit: "on" } };
    this.#main = createPool({ ...config.main, timeoutMs: config.mainTimeoutMs }, session, config.main.pool);
    this.#local = createPool({ ...config.local, timeoutMs: config.localTimeoutMs }, session, config.local.pool);
    this.measures = {
      pools: [
        { name: "main", pool: this.#main },
        { name: "local", pool: this.#local },
      ],
    };
    this.#catalog = new CatalogKeeper({
      pool: this.#main,
      refreshMs: config.catalogRefreshMs,
      timeoutMs: config.mainTimeoutMs,
      logger,
    });
    const changed = (): void => this.#changed();
    this.#tracker = new LsnTracker({
      local: this.#local,
      site: this.name,
      writes: undefined,
      pollMs: config.tracker.pollMs,
      idlePollMs: config.tracker.idlePollMs,
      timeoutMs: config.localTimeoutMs,
      logger,
      changed,
    });
    this.#mainWatch = new MainWatch({
      pool: this.#main,
      site: this.name,
      pollMs: config.statusPollMs,
      timeoutMs: config.mainTimeoutMs,
      logger,
      changed,
    });
    this.#writer = new DirectWriter({
      pool: this.#main,
      site: this.name,
      unavailable: "MAIN_UNAVAILABLE",
      timeoutMs: config.mainTimeoutMs,
    });
    this.#reader = new TableReader({ site: this.name, sql: config.sql });
    this.#results = new ResultCache(this.name, config.site.redisUrl, config.resultCache);
    this.operator = new MainOperator({
      site: this.name,
      writer: this.#writer,
      catalog: this.#catalog,
      rejected: new RejectedWrites({
        pool: this.#main,
        unavailable: "MAIN_UNAVAILABLE",
        timeoutMs: config.mainTimeoutMs,
      }),
      status: () => this.readStatus(),
      timeoutMs: config.mainTimeoutMs,
      logger,
    });
    this.status = new Latest(this.readStatus());
    this.health = new Latest(this.#readHealth());
  }

  catalog(): Catalog {
    return this.#catalog.get();
  }

  async write(requested: RequestedWrite, { signal }: WriteOptions): Promise<WriteAck> {
    return await this.#catalog.using(signal, (catalog) =>
      writeDirectly({
        writer: this.#writer,
        site: this.name,
        catalog,
        requested,
        token: (lsn) => this.#token(lsn),
      }),
    );
  }

  async getWrite(writeId: string): Promise<WriteStatus> {
    const row = await this.#writer.find(writeId);
    if (row) return ledgerStatus(row, true);
    throw new OpsDbError("WRITE_NOT_FOUND", `no write ${writeId} is known`, {
      field: "write_id",
      metadata: { write_id: writeId },
    });
  }

  async *followWrite(writeId: string): AsyncGenerator<WriteStatus> {
    yield await this.getWrite(writeId); // a ledger row here is the end of the way
  }

  watchWrites(): AsyncIterable<WriteStatus> {
    throw noBuffer();
  }

  async waitForLsn(lsn: Lsn, signal: AbortSignal): Promise<void> {
    await this.#tracker.until((state) => state.lsn >= lsn, signal);
  }

  query(query: TableQuery | SqlQuery, options: QueryOptions): AsyncGenerator<QueryPart> {
    const { reuse, signal, timeoutMs } = options;
    const context = (): string => JSON.stringify([this.catalog().fingerprint, this.#config.sql]);
    return this.#results.through({ reuse, context, batchSize: query.batchSize, timeoutMs, signal }, (left) =>
      this.#read(query, { ...options, timeoutMs: left }),
    );
  }

  async *#read(query: TableQuery | SqlQuery, { timeoutMs, signal }: QueryOptions): AsyncGenerator<QueryPart> {
    const started = performance.now();
    await this.#reader.check(this.catalog(), query);
    if (query.token.length > 0) await withinDeadline(timeoutMs, signal, (waiting) => this.#fresh(query, waiting));
    const atMain = query.consistency === "main";
    yield* this.#reader.read(this.catalog(), query, {
      pool: atMain ? this.#main : this.#local,
      unavailable: atMain ? "MAIN_UNAVAILABLE" : "LOCAL_UNAVAILABLE",
      timeoutMs: timeoutMs - (performance.now() - started),
      signal,
      newerCatalog: (waiting) => this.#catalog.newer(waiting),
      header: ({ columns, related, lsnAfter }: ReadFacts) => ({
        kind: "header",
        header: {
          columns,
          related,
          consistency: query.consistency,
          lsn: lsnAfter,
          timeline: this.#timeline,
          pendingWrites: 0,
          token: this.#token(lsnAfter),
          replicaAgeMs: this.#tracker.state.value?.replayAgeMs,
          bufferUnreachable: false,
        },
      }),
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#catalog.run(signal),
      this.#tracker.run(signal),
      this.#mainWatch.run(signal),
      this.#results.run(signal),
    ]);
  }

  get resultCache(): ResultCacheState {
    return this.#results.state;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#main.end(), this.#local.end()]);
  }

  get #timeline(): number {
    return this.#tracker.state.value?.timeline ?? 0;
  }

  /** Waits for a secondary site's writes, and, where the local database is a replica, for replay. */
  async #fresh(query: TableQuery | SqlQuery, signal: AbortSignal): Promise<void> {
    const token = decodeToken(query.token);
    checkSystem(token, this.#tracker.state.value?.systemIdentifier ?? "");
    const { position, site, lsn } = token;
    if (position !== undefined) await waitForPosition(this.#local, site, position, this.#config.tracker.pollMs, signal);
    if (lsn !== undefined && query.consistency !== "main") await waitForTokenLsn(this.#tracker, token, signal);
  }

  #token(lsn: Lsn | undefined): Uint8Array {
    return encodeToken({
      site: this.name,
      systemIdentifier: this.#tracker.state.value?.systemIdentifier ?? "",
      timeline: this.#timeline,
      position: undefined,
      lsn,
    });
  }

  #changed(): void {
    this.status.set(this.readStatus());
    this.health.set(this.#readHealth());
  }

  readStatus(): ReplicationStatus {
    const main = this.#mainWatch.status;
    return { site: this.name, role: this.role, at: new Date(), main, local: localStatus(this.#tracker, main) };
  }

  #readHealth(): Record<"write" | "query" | "replication", Health> {
    const { state, reason } = this.#mainWatch.part.status;
    const healthy: Health = this.#catalog.catalog.value
      ? state === "RUNNING"
        ? { serving: true }
        : { serving: false, reason: `the main database does not answer: ${reason}` }
      : { serving: false, reason: "the catalog has not been read yet" };
    return { write: healthy, query: healthy, replication: { serving: true } };
  }
}
