import type * as pb from "../../gen/ts/opsdb/v1/query_pb.ts";
import { Consistency as ConsistencyMessage, ComparisonOperator as Operator } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { ComparisonOperator, Condition, Consistency, TableQuery } from "../query/table-query.ts";
import { decodeValue } from "./value-codec.ts";

const defaultBatchSize = 1000;
const maxBatchSize = 10_000;
/** Conditions deeper than this are refused before they can exhaust a stack. */
const maxDepth = 50;

/** Reads a query. Table, columns and types are for the catalog to check. */
export function decodeQuery(request: pb.QueryRequest): TableQuery {
  if (request.table === "") throw invalid("table", "a query names no table");
  if (request.batchSize > maxBatchSize) throw invalid("batch_size", `batch_size is at most ${maxBatchSize}`);
  request.columns.forEach((name, i) => {
    if (name === "") throw invalid(`columns[${i}]`, "a column has no name");
  });
  return {
    table: request.table,
    columns: request.columns,
    where: request.where && decodeCondition(request.where, "where", 1),
    orderBy: request.orderBy.map(({ column, descending }, i) => {
      if (column === "") throw invalid(`order_by[${i}].column`, "a term of the order names no column");
      return { column, descending };
    }),
    limit: request.limit,
    consistency: decodeConsistency(request.consistency),
    token: request.token,
    batchSize: request.batchSize === 0 ? defaultBatchSize : request.batchSize,
  };
}

function decodeConsistency(consistency: ConsistencyMessage): Consistency {
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
      const { column, operator, value } = condition.value;
      requireColumn(column, field);
      if (value === undefined) throw invalid(`${field}.value`, "a comparison has no value");
      return {
        kind: "comparison",
        column,
        operator: decodeOperator(operator, field),
        value: decodeValue(value, () => `${field}.value`),
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
    case "between":
      throw invalid(`${path}.between`, "not yet");
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
};

function requireColumn(column: string, path: string): void {
  if (column === "") throw invalid(`${path}.column`, "a condition names no column");
}

function invalid(field: string, message: string): OpsDbError {
  return new OpsDbError("INVALID_FIELD", message, { field });
}
