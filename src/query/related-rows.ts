import { type Catalog, type Column, columnOf, type ForeignKey, type Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { clampLimit, conditionSql, orderBySql, totalOrder } from "./condition-sql.ts";
import { mergedSource } from "./merged-source.ts";
import type { FrozenOverlay } from "./plan-query.ts";
import { outputColumns, resultColumn } from "./result-column.ts";
import type { RelatedQuery, ResultColumn } from "./table-query.ts";

/** Rows of another table that come with each row. */
export interface RelatedPlan {
  table: Table;
  columns: ResultColumn[];
  /** Columns of the row that the other table's rows are found by. */
  joined: readonly Column[];
  /**
   * A text[][], one element for each related row: their columns as text. `name` says under which name `alias` has a
   * joined column; parameters are added to `values`.
   */
  sql(alias: string, name: (column: Column) => string, overlaid: FrozenOverlay, values: unknown[]): string;
}

/** Throws TABLE_NOT_FOUND, COLUMN_NOT_FOUND or INVALID_FIELD with the field. */
export function planRelated(catalog: Catalog, table: Table, query: RelatedQuery): RelatedPlan {
  const { field } = query;
  const other = catalog.table(query.table, `${field}.table`);
  const pairs = joinOf(table, other, query);
  const output = outputColumns(other, query.columns, `${field}.columns`);
  const order = totalOrder(other, query.orderBy.length > 0 ? query.orderBy : byKey(other), `${field}.order_by`);
  conditionSql(other, "r", query.where, []);
  return {
    table: other,
    columns: output.map(resultColumn),
    joined: pairs.map(({ own }) => own),
    sql(alias, name, overlaid, values) {
      const source = mergedSource(other, overlaid(other), values.length);
      values.push(...source.values);
      const join = pairs.map((pair) => `r.${quote(pair.other.name)} = ${alias}.${name(pair.own)}`).join(" and ");
      const where = conditionSql(other, "r", query.where, values);
      const names = order.map(({ column }) => `r.${quote(column.name)}`);
      const top = query.limit === undefined ? "" : ` limit ${clampLimit(query.limit)}`;
      // concat() prints a value as the type's output function does; a cast to text does not for every type.
      const texts = output.map(({ name: column }) => {
        const value = `r.${quote(column)}`;
        return `case when ${value} is not distinct from null then null else pg_catalog.concat(${value}) end`;
      });
      return `array(select array[${texts.join(", ")}] from ${source.sql} r where ${join} and ${where}${orderBySql(order, names)}${top})`;
    },
  };
}

interface Pair {
  own: Column;
  other: Column;
}

/** The pairs of columns that a foreign key joins the two tables by. */
function joinOf(table: Table, other: Table, { foreignKey, field }: RelatedQuery): Pair[] {
  const matching = (keys: readonly ForeignKey[], to: Table): ForeignKey[] =>
    keys.filter((key) => key.referencedTable === to.id && (foreignKey === undefined || key.name === foreignKey));
  const referencing = matching(other.foreignKeys, table);
  // Of a table that references itself, the rows that reference a row are meant.
  const referenced = table === other ? [] : matching(table.foreignKeys, other);
  const found = referencing.length + referenced.length;
  const [from] = referencing;
  const [to] = referenced;
  if (found === 1 && from)
    return from.columns.map((name, i) => ({
      own: columnOf(table, from.referencedColumns[i] ?? ""),
      other: columnOf(other, name),
    }));
  if (found === 1 && to)
    return to.columns.map((name, i) => ({
      own: columnOf(table, name),
      other: columnOf(other, to.referencedColumns[i] ?? ""),
    }));
  const names = [...referencing, ...referenced].map(({ name }) => name).join(", ");
  throw new OpsDbError(
    "INVALID_FIELD",
    found === 0
      ? `no foreign key${foreignKey === undefined ? "" : ` ${JSON.stringify(foreignKey)}`} leads from ${table.name} to ${other.name} or back`
      : `several foreign keys lead from ${table.name} to ${other.name} or back; name one of: ${names}`,
    { field: found === 0 && foreignKey === undefined ? `${field}.table` : `${field}.foreign_key` },
  );
}

function byKey(table: Table) {
  return table.primaryKey.map((column) => ({ column, descending: false }));
}
