import type pg from "pg";
import type { BufferedWrites } from "../buffer/buffered-writes.ts";
import type { Catalog, Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import { linkSignals } from "../lib/linked-signal.ts";
import { eachInSpan, type SpanWords } from "../lib/trace.ts";
import type { Lsn } from "../lsn.ts";
import { type Position, START } from "../position.ts";
import { sqlstateOf, translate } from "../postgres/sqlstate.ts";
import { givingWay } from "./give-way.ts";
import { interruption } from "./interruption.ts";
import { Overlay } from "./overlay.ts";
import { type Batch, type PlannedQuery, planQuery } from "./plan-query.ts";
import { Snapshot, type SnapshotFacts } from "./snapshot.ts";
import { noSql, type SqlQuery, type SqlSettings } from "./sql-query.ts";
import { SqlReader } from "./sql-reader.ts";
import type { QueryHeader, QueryPart, ResultColumn, TableQuery } from "./table-query.ts";

/** What was read, for the header. */
export interface ReadFacts {
  columns: ResultColumn[];
  related: QueryHeader["related"];
  pendingWrites: number;
  /** Every write of the site up to here is in the result. */
  position: Position;
  lsnAfter: Lsn;
}

export interface ReadOptions {
  pool: pg.Pool;
  unavailable: "MAIN_UNAVAILABLE" | "LOCAL_UNAVAILABLE";
  timeoutMs: number;
  signal: AbortSignal;
  /** Reads the catalog again where the database turns out to have changed since. */
  newerCatalog?: (signal: AbortSignal) => Promise<Catalog>;
  /** Where pending writes are merged in: they are read to the tail first. */
  buffer?: ReadBuffer;
  /** Makes the header's part of what was read. */
  header: (facts: ReadFacts) => QueryPart;
}

export interface ReadBuffer {
  /** Whether it can be read without waiting for a load. */
  isLoaded: () => boolean;
  /** Resolves when every write that was acknowledged before the call is in memory. */
  toTail: () => Promise<void>;
  /** Every process of the site keeps a write for so long after its proof, milliseconds. */
  keptMs: number;
}

/** What a read of tables is made of. */
interface Reading {
  catalog: Catalog;
  plan: PlannedQuery;
  query: TableQuery;
  options: ReadOptions;
  signal: AbortSignal;
}

/** The first rows of a result are there; nothing was answered yet. */
interface Begun extends AsyncDisposable {
  snapshot: Snapshot;
  facts: SnapshotFacts;
  overlay: Overlay | undefined;
  batches: AsyncGenerator<Batch>;
  first: IteratorResult<Batch>;
}

/** What was known of the pending writes before a snapshot was taken. */
export interface PendingBefore {
  truncations: number | undefined;
  /** Writes up to here were seen on the database, or have left memory. */
  shownTo: Position;
  /** The newest in memory. */
  last: Position;
  /** Ids of the tables that pending writes change. */
  touched: ReadonlySet<string>;
}

/**
 * Reads tables of one database, with the site's pending writes merged in where there are any.
 *
 * The order matters for G5: the buffer is read to its tail, then the snapshot is taken, then the writes that this
 * snapshot does not contain are taken from memory. The other way round, a write could leave the buffer in between and be
 * in neither. A table that no pending write changes is read while the buffer is, see #beginAtOnce.
 */
export class TableReader {
  readonly site: string;
  readonly #pending: BufferedWrites | undefined;
  readonly #sql: SqlReader;
  readonly #plans = new WeakMap<TableQuery, { catalog: Catalog; plan: PlannedQuery }>();
  /** The overlay of the newest snapshot: while the replica stands still, only new writes are added to it. */
  #overlay:
    | { snapshot: string; catalog: Catalog; rejections: number; truncations: number; overlay: Overlay }
    | undefined;

  constructor({ site, pending, sql = noSql }: { site: string; pending?: BufferedWrites; sql?: SqlSettings }) {
    this.site = site;
    this.#sql = new SqlReader(sql, this);
    this.#pending = pending;
  }

  /** Says what can be said of a query before anything is waited for. */
  async check(catalog: Catalog, query: TableQuery | SqlQuery): Promise<void> {
    if ("sql" in query) await this.#sql.check(query);
    else this.#plan(catalog, query);
  }

  read(catalog: Catalog, query: TableQuery | SqlQuery, given: ReadOptions): AsyncGenerator<QueryPart> {
    const parts = givingWay(given, (signal) => {
      const options = { ...given, signal };
      return "sql" in query ? this.#sql.read(catalog, query, options) : this.#read(catalog, query, options);
    });
    return eachInSpan(spanOf(query), parts);
  }

  async *#read(catalog: Catalog, query: TableQuery, options: ReadOptions): AsyncGenerator<QueryPart> {
    const plan = this.#plan(catalog, query);
    // A reader that is too slow gives its connection, and its snapshot, back.
    using deadline = new Deadline(options.timeoutMs);
    using linked = linkSignals(options.signal, deadline.signal);
    const { signal } = linked;
    try {
      const reading: Reading = { catalog, plan, query, options, signal };
      await using begun = (await this.#beginAtOnce(reading)) ?? (await this.#beginInOrder(reading));
      const { snapshot, facts, overlay, batches } = begun;
      yield options.header({
        columns: plan.columns,
        related: plan.related,
        pendingWrites: overlay?.merged ?? 0,
        position: overlay?.upTo ?? facts.cursor,
        lsnAfter: facts.lsnAfter,
      });
      let rowCount = 0;
      for (let next = begun.first; !next.done; next = await batches.next()) {
        rowCount += next.value.rows.length;
        yield { kind: "batch", ...next.value };
      }
      snapshot.end();
      yield { kind: "trailer", rowCount };
    } catch (error) {
      throw (
        interruption(error, options.signal, deadline.signal, "the query took longer than its deadline") ??
        badValue(error) ??
        translate(error, options.unavailable)
      );
    }
  }

  async #beginInOrder(reading: Reading): Promise<Begun> {
    await reading.options.buffer?.toTail();
    return await this.#begin(reading, this.before(reading.plan.tables));
  }

  /**
   * Reads the buffer and the tables at the same time, where memory has no pending write to them. It is as good as one
   * after the other if the buffer had none in the end: a write that left it meanwhile without being seen here was kept
   * for a while after its proof, so that it was in the database before this began. Undefined where that cannot be said.
   */
  async #beginAtOnce(reading: Reading): Promise<Begun | undefined> {
    const { buffer } = reading.options;
    const { tables } = reading.plan;
    const before = this.before(tables);
    if (!buffer?.isLoaded() || before.touched.size > 0) return undefined;
    const started = performance.now();
    // As of the tail: what comes later need not be shown, however long the first rows take.
    const hasNone = buffer.toTail().then(() => {
      const tookMs = performance.now() - started;
      return tookMs < buffer.keptMs / 2 && !this.#addedSince(before, tables);
    });
    hasNone.catch(() => {}); // where the tables cannot be read either, that is what is said
    const begun = await this.#begin(reading, before);
    try {
      if (await hasNone) {
        this.#checkShown(begun.facts, before);
        return begun;
      }
      await begun.batches.return(undefined);
      begun.snapshot.end();
    } catch (error) {
      await begun[Symbol.asyncDispose]();
      throw error;
    }
    return undefined;
  }

  /** Reads the first rows. They come before the header, so that a small result goes out in one piece. */
  async #begin({ catalog, plan, query, options, signal }: Reading, before: PendingBefore): Promise<Begun> {
    const { pool, timeoutMs } = options;
    await using parts = new AsyncDisposableStack();
    const snapshot = parts.use(await Snapshot.open(pool, this.site, timeoutMs, signal));
    // Where nothing is put over the tables, the first statement takes the snapshot, and saves a round trip.
    const overlay = before.touched.size > 0 ? await this.overlay(snapshot, catalog, before, plan.tables) : undefined;
    const batches = parts.use(plan.run(({ id }) => overlay?.table(id), snapshot.run, query.batchSize));
    const first = await batches.next();
    const facts = await snapshot.facts();
    if (!overlay) this.#checkShown(facts, before);
    const kept = parts.move();
    return { snapshot, facts, overlay, batches, first, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }

  #addedSince({ last }: PendingBefore, tables: readonly Table[]): boolean {
    if (!this.#pending || this.#pending.last === last) return false;
    if (this.#pending.forgottenTo > last) return true;
    const ids = new Set(idsOf(tables));
    return this.#pending.after(last).some(({ write }) => write.mutations.some(({ table }) => ids.has(table)));
  }

  /** Made once for the check and for the read. */
  #plan(catalog: Catalog, query: TableQuery): PlannedQuery {
    const known = this.#plans.get(query);
    if (known?.catalog === catalog) return known.plan;
    const plan = planQuery(catalog, query);
    this.#plans.set(query, { catalog, plan });
    return plan;
  }

  /** Whether pending writes are shown. */
  get merges(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * To be called before the snapshot is taken, for G5: a write that is proven by now is in the snapshot, one that is
   * proven in between is not.
   */
  before(tables: readonly Table[]): PendingBefore {
    const touched = new Set(idsOf(tables).filter((id) => this.#pending?.touches(id)));
    const { truncations, provenTo = START, last = START } = this.#pending ?? {};
    return { truncations, shownTo: provenTo, last, touched };
  }

  /** The pending writes over a snapshot; undefined where they change none of the tables, which `before` must have had. */
  async overlay(
    snapshot: Snapshot,
    catalog: Catalog,
    before: PendingBefore,
    tables: readonly Table[],
  ): Promise<Overlay | undefined> {
    const facts = await snapshot.facts();
    const pending = this.#pending;
    if (!pending) return undefined;
    // What has left memory by now will not be put over the snapshot.
    const { forgottenTo } = pending;
    this.#checkShown(facts, { ...before, shownTo: forgottenTo > before.shownTo ? forgottenTo : before.shownTo });
    if (!pending.firstAfter(facts.cursor)) return undefined;
    if (!idsOf(tables).some((id) => before.touched.has(id))) return undefined;
    const overlay = this.#kept(facts, catalog, pending);
    await overlay.grow(pending.after(overlay.upTo), snapshot);
    this.#checkShown(facts, before);
    return overlay;
  }

  /** What was seen on the database before must be in the snapshot, and memory must have everything else. */
  #checkShown({ cursor }: SnapshotFacts, { truncations, shownTo }: PendingBefore): void {
    if (this.#pending?.truncations !== truncations)
      throw new OpsDbError("BUFFER_UNAVAILABLE", "Redis has lost writes, which are being read again", {
        retryAfterMs: 1_000,
      });
    if (shownTo > cursor)
      throw new OpsDbError(
        "LOCAL_UNAVAILABLE",
        "the local database shows less than was proven before: main failed over, or it was made again",
        { retryAfterMs: 1_000 },
      );
  }

  /** The kept overlay where it holds for this snapshot, or an empty one. */
  #kept({ name, cursor }: SnapshotFacts, catalog: Catalog, { rejections, truncations }: BufferedWrites): Overlay {
    const kept = this.#overlay;
    if (
      kept?.snapshot === name &&
      kept?.catalog === catalog &&
      kept.rejections === rejections &&
      kept.truncations === truncations
    )
      return kept.overlay;
    const overlay = new Overlay(catalog, cursor);
    if (name !== undefined) this.#overlay = { snapshot: name, catalog, rejections, truncations, overlay };
    return overlay;
  }
}

/** Their ids, and those of the tables that inherit from them. */
function idsOf(tables: readonly Table[]): string[] {
  return tables.flatMap(({ id, heirs }) => [id, ...heirs]);
}

/** Words for a read. A statement of the client's own is in no span: it may have values in it. */
function spanOf(query: TableQuery | SqlQuery): SpanWords {
  const attributes = { "db.system.name": "postgresql", "db.operation.name": "SELECT" };
  if ("sql" in query) return { name: "SELECT", attributes };
  return { name: `SELECT ${query.table}`, attributes: { ...attributes, "db.collection.name": query.table } };
}

/** What only PostgreSQL could tell of a condition: its values are all that a client gives it unread. */
function badValue(error: unknown): OpsDbError | undefined {
  const code = sqlstateOf(error);
  if (code === undefined) return undefined;
  const options = { field: "where", metadata: { sqlstate: code }, cause: error };
  const message = error instanceof Error ? error.message : String(error);
  if (code === "42883") return new OpsDbError("INVALID_OPERATOR", message, options);
  // A tsquery or a jsonpath that cannot be read is a syntax error.
  if (code.startsWith("22") || code === "42601") return new OpsDbError("INVALID_VALUE", message, options);
  return undefined;
}
