import type { Catalog } from "../catalog/catalog.ts";
import type { Latest } from "../lib/latest.ts";
import type { Lsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { ResultCacheState, Reuse } from "../query/result-cache.ts";
import type { SqlQuery } from "../query/sql-query.ts";
import type { QueryPart, TableQuery } from "../query/table-query.ts";
import type { ReplicationStatus } from "../replication/status.ts";
import type { TextValue } from "../value.ts";
import type { RequestedWrite, WriteState, WriteStatus } from "../write.ts";
import type { Operator } from "./operator.ts";
import type { SiteMeasures } from "./site-measures.ts";

export interface WriteOptions {
  mode: "critical" | "direct";
  /** Answer when the write is this far. */
  waitFor: Exclude<WriteState, "REJECTED">;
  /** Longest wait for that, milliseconds. */
  waitMs: number;
  /** The caller went away: stop waiting. The write itself goes on. */
  signal: AbortSignal;
}

/** The values written by one mutation, with generated keys and defaults. */
export interface WrittenRow {
  table: string;
  columns: readonly string[];
  values: readonly TextValue[];
}

export interface WriteAck {
  status: WriteStatus;
  rows: WrittenRow[];
  token: Uint8Array;
  waitTimedOut: boolean;
  duplicate: boolean;
}

export interface QueryOptions {
  /** Longest wait for freshness and longest run time, milliseconds. */
  timeoutMs: number;
  /** The caller went away: cancels the query and frees its connection. */
  signal: AbortSignal;
  /** A result that was read before will do; undefined: what is true now. Never used where it could hide a write of this site. */
  reuse?: Reuse | undefined;
}

export interface WatchWritesOptions {
  /** How far a write must be; one that was rejected is told in any case. */
  report: "APPLIED" | "REPLICATED";
  /** Only writes after this position; undefined: from now on. */
  after: Position | undefined;
  rejectedOnly: boolean;
  /** The reader went away. */
  signal: AbortSignal;
}

/** Whether a service of the site can do its work, and why not; degraded: it can, but not for long. */
export type Health = { serving: true; degraded?: string } | { serving: false; reason: string };

/**
 * What one process does for its site: the one difference between the main site and a secondary site. Nothing outside
 * the composition root asks which of the two it is. Every error that a caller should see is an OpsDbError.
 */
export interface Site extends AsyncDisposable {
  readonly name: string;
  readonly role: "main" | "secondary";

  /** Tables and columns as they are now. Throws CATALOG_UNAVAILABLE before they were read for the first time. */
  catalog(): Catalog;

  /**
   * Stores one write and answers once it is durable, or later as `waitFor` says. The same id again with the same
   * content answers with the write's present state and stores nothing (`duplicate`); with other content it throws
   * WRITE_ID_REUSED. Running out of `waitMs` is no error: `waitTimedOut`.
   */
  write(write: RequestedWrite, options: WriteOptions): Promise<WriteAck>;

  /** The outcome of a write, also long after. Throws WRITE_NOT_FOUND. */
  getWrite(writeId: string): Promise<WriteStatus>;

  /** Streams a result: one header, batches of rows, one trailer. Without the trailer it is incomplete. */
  query(query: TableQuery | SqlQuery, options: QueryOptions): AsyncIterable<QueryPart>;

  /** Each state of a write from the present one on; ends after REPLICATED or REJECTED. Throws WRITE_NOT_FOUND. */
  followWrite(writeId: string, signal: AbortSignal): AsyncIterable<WriteStatus>;

  /**
   * The site's writes in the order of their positions, each once, as soon as it is as far as asked. It waits for its
   * reader and never ends by itself. Throws POSITION_FORGOTTEN where writes after the position have left the buffer,
   * NO_BUFFER at a site without one.
   */
  watchWrites(options: WatchWritesOptions): AsyncIterable<WriteStatus>;

  /** Resolves when the local database shows everything up to this LSN of the main database. Rejects on abort. */
  waitForLsn(lsn: Lsn, signal: AbortSignal): Promise<void>;

  /** What operators can do here. */
  readonly operator: Operator;

  /** The state of replication; changes wake its readers. It may be some milliseconds behind. */
  readonly status: Latest<ReplicationStatus>;

  /** The state of replication at this moment. */
  readStatus(): ReplicationStatus;

  /** Health by service: writing, reading, watching. */
  readonly health: Latest<Record<"write" | "query" | "replication", Health>>;

  /** What this process counts of its own work. */
  readonly measures: SiteMeasures;

  /** What became of reads that would do with an earlier result. */
  readonly resultCache: ResultCacheState;

  /** Runs the site's background work until the signal; rejects when something fails that retrying cannot mend. */
  run(signal: AbortSignal): Promise<void>;
}
