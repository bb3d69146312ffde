import type * as pb from "../../gen/ts/opsdb/v1/query_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { SqlQuery } from "../query/sql-query.ts";
import { decodeBatchSize, decodeConsistency } from "./query-request.ts";
import { decodeValue } from "./value-codec.ts";

/** Reads a query that is an SQL statement. What the statement says is for PostgreSQL's parser. */
export function decodeSqlQuery(request: pb.QueryRequest): SqlQuery {
  const [field] = tableFields.find(([, isSet]) => isSet(request)) ?? [];
  if (field !== undefined)
    throw new OpsDbError("INVALID_FIELD", `${field} is for queries of a table; with sql, say it in the statement`, {
      field,
    });
  return {
    sql: request.sql,
    parameters: request.parameters.map((value, i) => decodeValue(value, () => `parameters[${i}]`)),
    limit: request.limit,
    consistency: decodeConsistency(request.consistency),
    token: request.token,
    batchSize: decodeBatchSize(request.batchSize),
  };
}

const tableFields: [string, (request: pb.QueryRequest) => boolean][] = [
  ["table", ({ table }) => table !== ""],
  ["columns", ({ columns }) => columns.length > 0],
  ["where", ({ where }) => where !== undefined],
  ["order_by", ({ orderBy }) => orderBy.length > 0],
  ["resume_after", ({ resumeAfter }) => resumeAfter.length > 0],
  ["aggregates", ({ aggregates }) => aggregates.length > 0],
  ["group_by", ({ groupBy }) => groupBy.length > 0],
  ["related", ({ related }) => related.length > 0],
];
