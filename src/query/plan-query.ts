import type { Catalog, Table } from "../catalog/catalog.ts";
import type { ResultRow } from "../postgres/row-bytes.ts";
import { planGroups } from "./group-query.ts";
import type { Over } from "./merged-source.ts";
import type { OverlaidTable } from "./overlaid-table.ts";
import { planRows } from "./row-query.ts";
import type { ResultColumn, TableQuery } from "./table-query.ts";

export interface TableStatement {
  text: string;
  values: unknown[];
  /** work_mem that it needs, kB: past it, looking up the overlaid keys turns from hashing to quadratic. */
  memoryKb?: number;
  /** Nothing else is asked of the snapshot, before or after. */
  alone?: boolean;
  /** Its result has no more rows than this. */
  atMost?: number;
  /** No more rows than these are fetched, though it may have more. */
  limit?: number;
  /** The most that one batch may have on its way from the database, bytes. */
  maxBatchBytes?: number;
}

/** Runs a statement in the snapshot. Its rows come in batches of at most so many. */
export type RunStatement = (statement: TableStatement, batchSize: number) => AsyncIterable<ResultRow[]>;

export interface Batch {
  rows: ResultRow[];
  resumePoint?: Uint8Array;
}

export interface PlannedQuery {
  columns: ResultColumn[];
  related: { table: string; columns: ResultColumn[] }[];
  /** Every table that it reads. */
  tables: Table[];
  /** Runs it over the tables as they are, or with what is put over them. */
  run(overlaid: Overlaid, statement: RunStatement, batchSize: number): AsyncGenerator<Batch>;
}

/** What is put over a table; undefined for nothing. */
export type Overlaid = (table: Table) => OverlaidTable | undefined;

/** The same as it was at one moment. */
export type FrozenOverlay = (table: Table) => Over | undefined;

/** Checks a query against its tables. Throws the errors of bad input, with the field. */
export function planQuery(catalog: Catalog, query: TableQuery): PlannedQuery {
  const table = catalog.table(query.table, "table");
  if (query.aggregates.length > 0 || query.groupBy.length > 0) return planGroups(table, query);
  return planRows(catalog, table, query);
}
