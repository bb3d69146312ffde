import { textsOf } from "../../src/postgres/row-bytes.ts";
import type { SqlQuery } from "../../src/query/sql-query.ts";
import type { QueryHeader } from "../../src/query/table-query.ts";
import type { Site } from "../../src/site/site.ts";
import type { TextValue, Value } from "../../src/value.ts";
import type { QueryResult } from "./sites.ts";

/** The whole result of a statement; fails where the trailer is missing or counts other rows. */
export async function askSql(
  site: Site,
  sql: string,
  query: Partial<SqlQuery> & { timeoutMs?: number } = {},
): Promise<QueryResult> {
  const { timeoutMs = 20_000, ...rest } = query;
  const parts = site.query(
    {
      sql,
      parameters: [],
      limit: undefined,
      consistency: "merged",
      token: new Uint8Array(),
      batchSize: 1_000,
      ...rest,
    },
    { timeoutMs, signal: new AbortController().signal },
  );
  let header: QueryHeader | undefined;
  const rows: TextValue[][] = [];
  let trailer: number | undefined;
  for await (const part of parts) {
    if (part.kind === "header") header = part.header;
    else if (part.kind === "batch") rows.push(...part.rows.map((row) => [...textsOf(row)]));
    else trailer = part.rowCount;
  }
  if (!header || trailer !== rows.length) throw new Error("the result is incomplete");
  return { header, rows };
}

/** Parameters as text, which every type takes. */
export function texts(...values: (string | null)[]): Value[] {
  return values.map((value) => (value === null ? { kind: "null" } : { kind: "string", value }));
}
