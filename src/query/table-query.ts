import type { Lsn } from "../lsn.ts";
import type { TextValue, Value, ValueKind } from "../value.ts";

export type Consistency = "merged" | "local" | "main";
export type ComparisonOperator = "=" | "<>" | "<" | "<=" | ">" | ">=" | "LIKE";

/** A condition as the client sent it. `field` is its path in the request, for errors. */
export type Condition =
  | { kind: "comparison"; column: string; operator: ComparisonOperator; value: Value; field: string }
  | { kind: "in"; column: string; values: Value[]; field: string }
  | { kind: "is_null"; column: string; field: string }
  | { kind: "and"; conditions: Condition[] }
  | { kind: "or"; conditions: Condition[] }
  | { kind: "not"; condition: Condition };

/** A query of one table as the client sent it. */
export interface TableQuery {
  table: string;
  /** Empty: all columns. */
  columns: string[];
  where: Condition | undefined;
  orderBy: { column: string; descending: boolean }[];
  limit: bigint | undefined;
  consistency: Consistency;
  /** Empty: no freshness asked. */
  token: Uint8Array;
  /** Rows in one batch, 1 to 10,000. */
  batchSize: number;
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
  consistency: Consistency;
  /** Read just before the snapshot. */
  lsn: Lsn;
  timeline: number;
  pendingWrites: number;
  token: Uint8Array;
  replicaAgeMs: number | undefined;
  bufferUnreachable: boolean;
}

export type QueryPart =
  | { kind: "header"; header: QueryHeader }
  | { kind: "batch"; rows: TextValue[][] }
  | { kind: "trailer"; rowCount: number };
