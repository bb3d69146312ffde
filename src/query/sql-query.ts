import type { Value } from "../value.ts";
import type { Consistency } from "./table-query.ts";

/** One read-only SQL statement as the client sent it. */
export interface SqlQuery {
  sql: string;
  /** For $1, $2 and so on. */
  parameters: Value[];
  /** Of rows, on top of what the statement says itself. */
  limit: bigint | undefined;
  consistency: Consistency;
  /** Empty: no freshness asked. */
  token: Uint8Array;
  /** Rows in one batch, 1 to 10,000. */
  batchSize: number;
}

/** What the operator allows. */
export interface SqlSettings {
  readonly enabled: boolean;
  /** Taken with SET LOCAL ROLE for the client's statement alone; undefined: it runs as the service's own user. */
  readonly role: string | undefined;
  /** A result with more rows than this is an error, never cut. */
  readonly maxRows: number;
  /** Of the values' text, bytes; the same. */
  readonly maxBytes: number;
  /** Of temporary files that one statement may write, bytes; where the service's user may set that. */
  readonly maxTempBytes: number;
}

/** Takes no SQL. */
export const noSql: SqlSettings = { enabled: false, role: undefined, maxRows: 0, maxBytes: 0, maxTempBytes: 0 };
