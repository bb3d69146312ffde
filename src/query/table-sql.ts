import { type Column, type ColumnType, keyColumns, type Table } from "../catalog/catalog.ts";
import { encodeValue } from "../catalog/encode-value.ts";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import type { TextValue, Value } from "../value.ts";
import { excludedKeys, overlaidRows } from "./merged-source.ts";
import type { OverlaidTable } from "./overlay.ts";
import type { Condition, ResultColumn, TableQuery } from "./table-query.ts";

export interface TableStatement {
  text: string;
  values: unknown[];
  /** work_mem that it needs, kB: past it, looking up the overlaid keys turns from hashing to quadratic. */
  memoryKb?: number;
}

export interface PlannedQuery {
  columns: ResultColumn[];
  /** The statement over the table as it is, or with these rows put over it. Values are parameters throughout. */
  sql(overlaid: OverlaidTable | undefined): TableStatement;
}

/** As many keys as PostgreSQL hashes within its default work_mem. */
const HASHED_KEYS = 20_000;

/** Checks a query against its table. Throws COLUMN_NOT_FOUND, INVALID_VALUE or INVALID_OPERATOR with the field. */
export function planQuery(table: Table, query: TableQuery): PlannedQuery {
  const output =
    query.columns.length === 0 ? table.columns : query.columns.map((name, i) => find(table, name, `columns[${i}]`));
  const order = query.orderBy.map(({ column, descending }, i) => ({
    column: find(table, column, `order_by[${i}].column`),
    descending,
  }));
  if (order.length > 0)
    for (const column of keyColumns(table))
      if (!order.some((term) => term.column === column)) order.push({ column, descending: false });
  const limit = query.limit === undefined || query.limit > 9_223_372_036_854_775_807n ? undefined : query.limit;
  const filter = new Filter(table);
  const where = query.where ? filter.sql(query.where) : "true";

  const directions = order.map(({ descending }) => (descending ? " desc" : ""));
  const orderBy = (names: string[]): string =>
    names.length === 0 ? "" : ` order by ${names.map((name, i) => name + (directions[i] ?? "")).join(", ")}`;
  const top = limit === undefined ? "" : ` limit ${limit}`;
  const orderColumns = order.map(({ column }) => `t.${quote(column.name)}`);
  const select = output.map((column, i) => `t.${quote(column.name)} as c${i}`);

  return {
    columns: output.map(resultColumn),
    sql(overlaid) {
      if (!overlaid || overlaid.keys.length === 0)
        return {
          text: `select ${select.join(", ")} from ${table.sql} t where ${where}${orderBy(orderColumns)}${top}`,
          values: filter.values,
        };
      const keys = excludedKeys(table, overlaid.keys, filter.values.length);
      const rows = overlaidRows(table, overlaid.rows, filter.values.length + keys.values.length);
      const arm = [...select, ...orderColumns.map((name, i) => `${name} as o${i}`)].join(", ");
      // Order and limit inside the base arm keep its index scan; the keys are hashed once (facts.md, merged reads).
      const base = `select ${arm} from ${table.sql} t where (${where}) and ${keys.sql}${orderBy(orderColumns)}${top}`;
      const over = `select ${arm} from ${rows.sql} t where ${where}`;
      const outer = output.map((_, i) => `m.c${i}`).join(", ");
      const outerOrder = orderBy(order.map((_, i) => `m.o${i}`));
      return {
        text: `select ${outer} from ((${base}) union all (${over})) m${outerOrder}${top}`,
        values: [...filter.values, ...keys.values, ...rows.values],
        ...(overlaid.keys.length > HASHED_KEYS ? { memoryKb: Math.ceil(overlaid.keys.length / 4) } : {}),
      };
    },
  };
}

/** Reads whole rows by key: (index of the key, columns...). */
export function rowsByKeySql(
  table: Table,
  keys: readonly (readonly TextValue[])[],
): { text: string; values: unknown[] } {
  const columns = keyColumns(table);
  const names = columns.map((_, i) => `c${i}`).join(", ");
  const parameters = columns.map((_, i) => `$${i + 1}::text[]`).join(", ");
  const match = columns.map(({ name, type }, i) => `t.${quote(name)} = v.c${i}::${type.cast}`).join(" and ");
  const select = table.columns.map(({ name }) => `t.${quote(name)}`).join(", ");
  return {
    text: `select v.n, ${select} from unnest(${parameters}) with ordinality v(${names}, n) join ${table.sql} t on ${match}`,
    values: columns.map((_, i) => keys.map((key) => key[i] ?? null)),
  };
}

function resultColumn({ name, type }: Column): ResultColumn {
  return { name, type: type.display, kind: type.kind, array: type.array, delimiter: type.delimiter };
}

const textBases = new Set(["text", "varchar", "bpchar", "name", "citext"]);
const withoutEquality = new Set(["json", "xml", "point", "polygon"]);
const pattern: ColumnType = {
  display: "text",
  castWithModifier: "pg_catalog.text",
  cast: "pg_catalog.text",
  base: "text",
  typtype: "b",
  kind: "text",
  array: false,
  domain: false,
  delimiter: ",",
  modifier: -1,
  enumValues: [],
};

/** Conditions as SQL: names from the catalog, values as parameters. */
class Filter {
  readonly values: unknown[] = [];
  readonly #table: Table;

  constructor(table: Table) {
    this.#table = table;
  }

  sql(condition: Condition): string {
    switch (condition.kind) {
      case "comparison": {
        const column = this.#column(condition);
        const { operator, value, field } = condition;
        if (operator === "LIKE" && (!textBases.has(column.type.base) || column.type.array))
          throw new OpsDbError(
            "INVALID_OPERATOR",
            `LIKE needs a text column; ${column.name} is ${column.type.display}`,
            {
              field: `${field}.operator`,
            },
          );
        const type = operator === "LIKE" ? pattern : column.type;
        return `t.${quote(column.name)} ${operator} ${this.#parameter(type, value, `${field}.value`)}`;
      }
      case "in": {
        const column = this.#column(condition);
        if (condition.values.length === 0) return "false";
        const values = condition.values.map((value, i) =>
          encode(column.type, value, `${condition.field}.values[${i}]`),
        );
        this.values.push(values);
        return `t.${quote(column.name)} in (select e::${column.type.cast} from unnest($${this.values.length}::text[]) e)`;
      }
      case "is_null":
        return `t.${quote(this.#column(condition).name)} is null`;
      case "and":
        return this.#all(condition.conditions, " and ", "true");
      case "or":
        return this.#all(condition.conditions, " or ", "false");
      case "not":
        return `not (${this.sql(condition.condition)})`;
    }
  }

  #all(conditions: readonly Condition[], word: string, none: string): string {
    return conditions.length === 0 ? none : `(${conditions.map((condition) => this.sql(condition)).join(word)})`;
  }

  #column({ kind, column: name, field }: { kind: string; column: string; field: string }): Column {
    const column = find(this.#table, name, `${field}.column`);
    if (kind !== "is_null" && !column.type.array && withoutEquality.has(column.type.base))
      throw new OpsDbError("INVALID_OPERATOR", `${column.type.display} values do not compare; column ${name}`, {
        field,
      });
    return column;
  }

  #parameter(type: ColumnType, value: Value, field: string): string {
    this.values.push(encode(type, value, field));
    return `$${this.values.length}::text::${type.cast}`;
  }
}

/** A value to compare with: it may be longer than the column could hold. */
function encode(type: ColumnType, value: Value, field: string): TextValue {
  return encodeValue({ ...type, modifier: -1 }, value, field);
}

function find(table: Table, name: string, field: string): Column {
  const column = table.byName.get(name);
  if (column) return column;
  throw new OpsDbError("COLUMN_NOT_FOUND", `table ${table.name} has no column ${JSON.stringify(name)}`, {
    field,
    metadata: { table: table.name, column: name },
  });
}
