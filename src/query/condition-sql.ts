import { type Column, type ColumnType, columnOf, type Table } from "../catalog/catalog.ts";
import { encodeValue } from "../catalog/encode-value.ts";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import type { TextValue, Value } from "../value.ts";
import { builtIn, comparable, isJson, operationOf, text } from "./operators.ts";
import type { Condition, OrderTerm } from "./table-query.ts";

/**
 * A condition on a table as SQL: names from the catalog, values as parameters, which are added to `values`. Throws
 * COLUMN_NOT_FOUND, INVALID_VALUE or INVALID_OPERATOR with the field.
 */
export function conditionSql(table: Table, alias: string, condition: Condition | undefined, values: unknown[]): string {
  return condition ? new ConditionWriter(table, alias, values).sql(condition) : "true";
}

class ConditionWriter {
  readonly #table: Table;
  readonly #alias: string;
  readonly #values: unknown[];

  constructor(table: Table, alias: string, values: unknown[]) {
    this.#table = table;
    this.#alias = alias;
    this.#values = values;
  }

  sql(condition: Condition): string {
    switch (condition.kind) {
      case "comparison":
        return this.#comparison(condition);
      case "in": {
        const column = this.#compared(condition);
        if (condition.values.length === 0) return "false";
        const values = condition.values.map((value, i) =>
          encodeOperand(column.type, value, `${condition.field}.values[${i}]`),
        );
        return `${this.#name(column)} in (select e::${column.type.cast} from unnest(${this.#add(values)}::text[]) e)`;
      }
      case "between": {
        const column = this.#compared(condition);
        const low = this.#operand(column.type, condition.low, `${condition.field}.low`);
        const high = this.#operand(column.type, condition.high, `${condition.field}.high`);
        return `${this.#name(column)} between ${low} and ${high}`;
      }
      case "is_null":
        // "IS NULL" of a composite value is also true where all of its fields are NULL, which is not what is meant.
        return `${this.#name(this.#column(condition))} is not distinct from null`;
      case "and":
        return this.#all(condition.conditions, " and ", "true");
      case "or":
        return this.#all(condition.conditions, " or ", "false");
      case "not":
        return `not (${this.sql(condition.condition)})`;
    }
  }

  #comparison(condition: Extract<Condition, { kind: "comparison" }>): string {
    const { operator, field } = condition;
    const column = this.#column(condition);
    const { left, type, value } =
      !condition.path || condition.path.length === 0
        ? { left: this.#name(column), type: column.type, value: condition.value }
        : this.#atPath(column, condition.path, condition.value, field);
    const operation = operationOf(type, operator, value, `${field}.value`);
    if (!operation)
      throw new OpsDbError("INVALID_OPERATOR", `${type.display} has no operator ${operator}; column ${column.name}`, {
        field: `${field}.operator`,
        metadata: { type: type.display, operator },
      });
    return `${left} ${operation.symbol} ${this.#operand(operation.right, operation.value ?? value, `${field}.value`)}`;
  }

  /** A string is compared with the text at the path, anything else with the JSON there. */
  #atPath(column: Column, path: readonly string[], value: Value, field: string) {
    if (!isJson(column.type))
      throw new OpsDbError("INVALID_OPERATOR", `column ${column.name} is ${column.type.display}: it has no paths`, {
        field: `${field}.path`,
      });
    const keys = `${this.#add([...path])}::text[]`;
    const json = `${this.#name(column)}::pg_catalog.jsonb`;
    if (value.kind === "string") return { left: `(${json} #>> ${keys})`, type: text, value };
    return { left: `(${json} #> ${keys})`, type: builtIn("jsonb"), value: asJson(value) };
  }

  #all(conditions: readonly Condition[], word: string, none: string): string {
    return conditions.length === 0 ? none : `(${conditions.map((condition) => this.sql(condition)).join(word)})`;
  }

  #column({ column, field }: { column: string; field: string }): Column {
    return findColumn(this.#table, column, `${field}.column`);
  }

  /** The column of a condition that compares by itself. */
  #compared(condition: { column: string; field: string }): Column {
    const column = this.#column(condition);
    if (comparable(column.type)) return column;
    throw new OpsDbError("INVALID_OPERATOR", `${column.type.display} values do not compare; column ${column.name}`, {
      field: condition.field,
    });
  }

  #name({ name }: Column): string {
    return `${this.#alias}.${quote(name)}`;
  }

  #operand(type: ColumnType, value: Value, field: string): string {
    return `${this.#add(encodeOperand(type, value, field))}::text::${type.cast}`;
  }

  #add(value: unknown): string {
    this.#values.push(value);
    return `$${this.#values.length}`;
  }
}

/** A value to compare with: it may be longer than the column could hold. */
export function encodeOperand(type: ColumnType, value: Value, field: string): TextValue {
  return encodeValue({ ...type, modifier: -1 }, value, field);
}

function asJson(value: Value): Value {
  switch (value.kind) {
    case "bool":
    case "int64":
    case "numeric":
      return { kind: "json", value: value.value.toString() };
    case "double":
      return { kind: "json", value: JSON.stringify(value.value) };
    default:
      return value;
  }
}

/** Throws COLUMN_NOT_FOUND with the field. */
export function findColumn(table: Table, name: string, field: string): Column {
  const column = table.byName.get(name);
  if (column) return column;
  throw new OpsDbError("COLUMN_NOT_FOUND", `table ${table.name} has no column ${JSON.stringify(name)}`, {
    field,
    metadata: { table: table.name, column: name },
  });
}

/** A limit as PostgreSQL can take it. */
export function clampLimit(limit: bigint): bigint {
  const most = 9_223_372_036_854_775_807n;
  return limit > most ? most : limit;
}

/** A column in an order. */
export interface OrderColumn {
  column: Column;
  /** In the table's columns. */
  index: number;
  descending: boolean;
  nullsFirst: boolean;
}

/** The order with the primary key appended, so that it is total. Empty where none is asked. */
export function totalOrder(table: Table, terms: readonly OrderTerm[], field: string): OrderColumn[] {
  const order = terms.map((term, i) =>
    orderColumn(table, findColumn(table, term.column, `${field}[${i}].column`), term),
  );
  for (const [i, { column }] of order.entries())
    if (!comparable(column.type))
      throw new OpsDbError("INVALID_OPERATOR", `${column.type.display} has no order; column ${column.name}`, {
        field: `${field}[${i}].column`,
      });
  if (order.length === 0) return [];
  const missing = table.primaryKey.filter((name) => !order.some(({ column }) => column.name === name));
  const ascending = { descending: false };
  return [...order, ...missing.map((name) => orderColumn(table, columnOf(table, name), ascending))];
}

function orderColumn(
  table: Table,
  column: Column,
  { descending, nullsFirst = descending }: { descending: boolean; nullsFirst?: boolean },
): OrderColumn {
  return { column, index: table.columns.indexOf(column), descending, nullsFirst };
}

/** ` order by ...` over the names, which stand for the order's columns; nothing for no order. */
export function orderBySql(order: readonly { descending: boolean; nullsFirst: boolean }[], names: string[]): string {
  if (order.length === 0) return "";
  const terms = order.map(({ descending, nullsFirst }, i) => {
    const nulls = nullsFirst === descending ? "" : nullsFirst ? " nulls first" : " nulls last";
    return `${names[i]}${descending ? " desc" : ""}${nulls}`;
  });
  return ` order by ${terms.join(", ")}`;
}
