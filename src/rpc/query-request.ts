import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type * as pb from "../../gen/ts/opsdb/v1/query_pb.ts";
import {
  AggregateFunction as AggregateFunctionMessage,
  Consistency as ConsistencyMessage,
  NullsOrder,
  ComparisonOperator as Operator,
  QueryRequestSchema,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { Reuse } from "../query/result-cache.ts";
import type {
  Aggregate,
  AggregateFunction,
  ComparisonOperator,
  Condition,
  Consistency,
  OrderTerm,
  RelatedQuery,
  TableQuery,
} from "../query/table-query.ts";
import { decodeValue } from "./value-codec.ts";
import { fromDuration } from "./wire-time.ts";

const defaultBatchSize = 1000;
const maxBatchSize = 10_000;
const maxRelated = 10;
/** What PostgreSQL has room for in one row. */
const maxColumns = 1_664;
/** Conditions deeper than this are refused before they can exhaust a stack. */
const maxDepth = 50;

/** Reads a query. Table, columns and types are for the catalog to check. */
export function decodeQuery(request: pb.QueryRequest): TableQuery {
  if (request.table === "") throw invalid("table", "a query names no table");
  if (request.parameters.length > 0) throw invalid("parameters", "parameters are those of sql, which is not set");
  requireNames(request.columns, "columns");
  requireNames(request.groupBy, "group_by");
  requireFew(request.aggregates, "aggregates");
  if (request.related.length > maxRelated) throw invalid("related", `at most ${maxRelated} related tables`);
  if (request.resumeAfter.length > 0 && request.orderBy.length === 0)
    throw invalid("resume_after", "only a result with order_by can be resumed");
  return {
    table: request.table,
    columns: request.columns,
    where: request.where && decodeCondition(request.where, "where", 1),
    orderBy: decodeOrder(request.orderBy, "order_by"),
    limit: request.limit,
    aggregates: request.aggregates.map((aggregate, i) => decodeAggregate(aggregate, `aggregates[${i}]`)),
    groupBy: request.groupBy,
    related: request.related.map((related, i) => decodeRelated(related, `related[${i}]`)),
    consistency: decodeConsistency(request.consistency),
    token: request.token,
    batchSize: decodeBatchSize(request.batchSize),
    identity: request.orderBy.length > 0 ? identityOf(request) : "",
    resumeAfter: request.resumeAfter,
  };
}

/** What makes two requests the same query, for resume points and for results that are given again. */
function identityOf({ maxAge: _, ...request }: pb.QueryRequest): string {
  const query = { ...request, batchSize: 0, resumeAfter: new Uint8Array(), token: new Uint8Array() };
  return createHash("sha256").update(toBinary(QueryRequestSchema, query)).digest("base64url").slice(0, 22);
}

/** Whether an earlier result will do. One that is asked to be fresh, or is the rest of another one, is read. */
export function decodeReuse(request: pb.QueryRequest): Reuse | undefined {
  if (request.maxAge === undefined) return undefined;
  const maxAgeMs = fromDuration(request.maxAge);
  if (maxAgeMs < 0) throw invalid("max_age", "max_age is not below 0");
  if (maxAgeMs === 0 || request.token.length > 0 || request.resumeAfter.length > 0) return undefined;
  return { maxAgeMs, identity: identityOf(request) };
}

function decodeOrder(terms: readonly pb.OrderTerm[], path: string): OrderTerm[] {
  requireFew(terms, path);
  return terms.map(({ column, descending, nulls }, i) => {
    if (column === "") throw invalid(`${path}[${i}].column`, "a term of the order names no column");
    switch (nulls) {
      case NullsOrder.UNSPECIFIED:
        return { column, descending };
      case NullsOrder.FIRST:
      case NullsOrder.LAST:
        return { column, descending, nullsFirst: nulls === NullsOrder.FIRST };
      default:
        throw invalid(`${path}[${i}].nulls`, `no such order of NULLs: ${String(nulls)}`);
    }
  });
}

function decodeAggregate({ function: code, column, name }: pb.Aggregate, path: string): Aggregate {
  const known = aggregateFunctions[code];
  if (known === undefined) throw invalid(`${path}.function`, "an aggregate has no function");
  if (column === "" && known !== "count") throw invalid(`${path}.column`, `${known} needs a column`);
  return {
    function: known,
    column: column === "" ? undefined : column,
    name: name === "" ? [known, column].filter((part) => part !== "").join("_") : name,
  };
}

const aggregateFunctions: Partial<Record<AggregateFunctionMessage, AggregateFunction>> = {
  [AggregateFunctionMessage.COUNT]: "count",
  [AggregateFunctionMessage.COUNT_DISTINCT]: "count_distinct",
  [AggregateFunctionMessage.SUM]: "sum",
  [AggregateFunctionMessage.AVG]: "avg",
  [AggregateFunctionMessage.MIN]: "min",
  [AggregateFunctionMessage.MAX]: "max",
};

function decodeRelated(related: pb.Related, path: string): RelatedQuery {
  if (related.table === "") throw invalid(`${path}.table`, "related rows name no table");
  requireNames(related.columns, `${path}.columns`);
  return {
    table: related.table,
    foreignKey: related.foreignKey === "" ? undefined : related.foreignKey,
    columns: related.columns,
    where: related.where && decodeCondition(related.where, `${path}.where`, 1),
    orderBy: decodeOrder(related.orderBy, `${path}.order_by`),
    limit: related.limit,
    field: path,
  };
}

function requireFew(list: readonly unknown[], path: string): void {
  if (list.length > maxColumns) throw invalid(path, `${path} has at most ${maxColumns} entries`);
}

function requireNames(names: readonly string[], path: string): void {
  requireFew(names, path);
  const empty = names.indexOf("");
  if (empty >= 0) throw invalid(`${path}[${empty}]`, "a column has no name");
}

/** Rows in one message. */
export function decodeBatchSize(size: number): number {
  if (size > maxBatchSize) throw invalid("batch_size", `batch_size is at most ${maxBatchSize}`);
  return size === 0 ? defaultBatchSize : size;
}

export function decodeConsistency(consistency: ConsistencyMessage): Consistency {
  switch (consistency) {
    case ConsistencyMessage.UNSPECIFIED:
    case ConsistencyMessage.MERGED:
      return "merged";
    case ConsistencyMessage.LOCAL:
      return "local";
    case ConsistencyMessage.MAIN:
      return "main";
    default:
      throw invalid("consistency", `no such consistency: ${String(consistency)}`);
  }
}

function decodeCondition(message: pb.Condition, path: string, depth: number): Condition {
  if (depth > maxDepth) throw invalid(path, `conditions are nested more than ${maxDepth} deep`);
  const { condition } = message;
  switch (condition.case) {
    case "comparison": {
      const field = `${path}.comparison`;
      const { column, operator, value, path: keys } = condition.value;
      requireColumn(column, field);
      if (value === undefined) throw invalid(`${field}.value`, "a comparison has no value");
      return {
        kind: "comparison",
        column,
        operator: decodeOperator(operator, field),
        value: decodeValue(value, () => `${field}.value`),
        path: keys,
        field,
      };
    }
    case "in": {
      const field = `${path}.in`;
      requireColumn(condition.value.column, field);
      const values = condition.value.values.map((value, i) => decodeValue(value, () => `${field}.values[${i}]`));
      return { kind: "in", column: condition.value.column, values, field };
    }
    case "isNull": {
      const field = `${path}.is_null`;
      requireColumn(condition.value.column, field);
      return { kind: "is_null", column: condition.value.column, field };
    }
    case "and":
    case "or": {
      const conditions = condition.value.conditions.map((part, i) =>
        decodeCondition(part, `${path}.${condition.case}.conditions[${i}]`, depth + 1),
      );
      return { kind: condition.case, conditions };
    }
    case "not":
      return { kind: "not", condition: decodeCondition(condition.value, `${path}.not`, depth + 1) };
    case "between": {
      const field = `${path}.between`;
      const { column, low, high } = condition.value;
      requireColumn(column, field);
      if (low === undefined) throw invalid(`${field}.low`, "a BETWEEN has no lower bound");
      if (high === undefined) throw invalid(`${field}.high`, "a BETWEEN has no upper bound");
      return {
        kind: "between",
        column,
        low: decodeValue(low, () => `${field}.low`),
        high: decodeValue(high, () => `${field}.high`),
        field,
      };
    }
    case undefined:
      throw invalid(path, "a condition is empty");
  }
}

function decodeOperator(operator: Operator, path: string): ComparisonOperator {
  const known = operators[operator];
  if (known === undefined) throw invalid(`${path}.operator`, "a comparison has no operator");
  return known;
}

const operators: Partial<Record<Operator, ComparisonOperator>> = {
  [Operator.EQUAL]: "=",
  [Operator.NOT_EQUAL]: "<>",
  [Operator.LESS]: "<",
  [Operator.LESS_OR_EQUAL]: "<=",
  [Operator.GREATER]: ">",
  [Operator.GREATER_OR_EQUAL]: ">=",
  [Operator.LIKE]: "LIKE",
  [Operator.ILIKE]: "ILIKE",
  [Operator.REGEX]: "~",
  [Operator.REGEX_IGNORE_CASE]: "~*",
  [Operator.IS_NOT_DISTINCT_FROM]: "IS NOT DISTINCT FROM",
  [Operator.CONTAINS]: "@>",
  [Operator.CONTAINED_BY]: "<@",
  [Operator.OVERLAPS]: "&&",
  [Operator.HAS_KEY]: "?",
  [Operator.HAS_ANY_KEY]: "?|",
  [Operator.HAS_ALL_KEYS]: "?&",
  [Operator.JSON_PATH_EXISTS]: "@?",
  [Operator.MATCHES]: "@@",
  [Operator.STRICTLY_LEFT]: "<<",
  [Operator.STRICTLY_RIGHT]: ">>",
  [Operator.ADJACENT]: "-|-",
};

function requireColumn(column: string, path: string): void {
  if (column === "") throw invalid(`${path}.column`, "a condition names no column");
}

function invalid(field: string, message: string): OpsDbError {
  return new OpsDbError("INVALID_FIELD", message, { field });
}
