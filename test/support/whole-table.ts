import type { TableQuery } from "../../src/query/table-query.ts";

/** All rows and columns of a table, but for what is said. */
export function wholeTable(query: Partial<TableQuery> & { table: string }): TableQuery {
  return {
    columns: [],
    where: undefined,
    orderBy: [],
    limit: undefined,
    aggregates: [],
    groupBy: [],
    related: [],
    consistency: "merged",
    token: new Uint8Array(),
    batchSize: 1000,
    identity: "",
    resumeAfter: new Uint8Array(),
    ...query,
  };
}
