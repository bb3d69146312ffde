import type { Lsn } from "../lsn.ts";
import type { ResultRow } from "../postgres/row-bytes.ts";
import type { Value, ValueKind } from "../value.ts";

export type Consistency = "merged" | "local" | "main";
export type ComparisonOperator =
  | "="
  | "<>"
  | "<"
  | "<="
  | ">"
  | ">="
  | "IS NOT DISTINCT FROM"
  | "LIKE"
  | "ILIKE"
  | "~"
  | "~*"
  | "@>"
  | "<@"
  | "&&"
  | "?"
  | "?|"
  | "?&"
  | "@?"
  | "@@"
  | "<<"
  | ">>"
  | "-|-";

/** A condition as the client sent it. `field` is its path in the request, for errors. */
export type Condition =
  | {
      kind: "comparison";
      column: string;
      operator: ComparisonOperator;
      value: Value;
      /** Of json and jsonb: what lies there is compared. Undefined or empty: the column. */
      path?: string[];
      field: string;
    }
  | { kind: "in"; column: string; values: Value[]; field: string }
  | { kind: "between"; column: string; low: Value; high: Value; field: string }
  | { kind: "is_null"; column: string; field: string }
  | { kind: "and"; conditions: Condition[] }
  | { kind: "or"; conditions: Condition[] }
  | { kind: "not"; condition: Condition };

export interface OrderTerm {
  column: string;
  descending: boolean;
  /** Undefined: last ascending, first descending. */
  nullsFirst?: boolean;
}

export type AggregateFunction = "count" | "count_distinct" | "sum" | "avg" | "min" | "max";

export interface Aggregate {
  function: AggregateFunction;
  /** Undefined: counts rows. */
  column: string | undefined;
  /** Of the result's column. */
  name: string;
}

/** Rows of another table that belong to each row of the result. */
export interface RelatedQuery {
  table: string;
  /** The constraint's name. Undefined: the only one between the two tables. */
  foreignKey: string | undefined;
  /** Empty: all columns. */
  columns: string[];
  where: Condition | undefined;
  orderBy: OrderTerm[];
  limit: bigint | undefined;
  field: string;
}

/** A query of one table as the client sent it. */
export interface TableQuery {
  table: string;
  /** Empty: all columns. */
  columns: string[];
  where: Condition | undefined;
  orderBy: OrderTerm[];
  limit: bigint | undefined;
  /** With either of these two the result has groups instead of rows. */
  aggregates: Aggregate[];
  groupBy: string[];
  related: RelatedQuery[];
  consistency: Consistency;
  /** Empty: no freshness asked. */
  token: Uint8Array;
  /** Rows in one batch, 1 to 10,000. */
  batchSize: number;
  /** Equal for queries that ask the same: what a resume point is bound to. */
  identity: string;
  /** A resume point of this query. Empty: from the start. */
  resumeAfter: Uint8Array;
}

/** A column of a result. `dimensions` says whether the values are arrays of `kind`. */
export interface ResultColumn {
  name: string;
  /** As format_type prints it. */
  type: string;
  kind: ValueKind;
  array: boolean;
  /** typdelim of an array's element type: "," for nearly all. */
  delimiter: string;
}

export interface QueryHeader {
  columns: ResultColumn[];
  /** One for each related query. */
  related: { table: string; columns: ResultColumn[] }[];
  consistency: Consistency;
  /** Read just before the snapshot. */
  lsn: Lsn;
  timeline: number;
  pendingWrites: number;
  token: Uint8Array;
  replicaAgeMs: number | undefined;
  bufferUnreachable: boolean;
  /** Of a result that was not read now. Undefined: it was. */
  ageMs?: number;
}

export type QueryPart =
  | { kind: "header"; header: QueryHeader }
  | {
      kind: "batch";
      /** The values of the columns, then one text[][] of related rows for each related query, then nothing of interest. */
      rows: ResultRow[];
      /** Goes on after the last of the rows. Undefined where the query has no order. */
      resumePoint?: Uint8Array;
    }
  | { kind: "trailer"; rowCount: number };
