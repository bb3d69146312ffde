import type { Column, Table } from "../catalog/catalog.ts";
import { findColumn } from "./condition-sql.ts";
import type { ResultColumn } from "./table-query.ts";

/** The columns that a query names, or all. Throws COLUMN_NOT_FOUND. */
export function outputColumns(table: Table, names: readonly string[], field: string): readonly Column[] {
  return names.length === 0 ? table.columns : names.map((name, i) => findColumn(table, name, `${field}[${i}]`));
}

/** What a result says of one of its columns. */
export function resultColumn({ name, type }: Pick<Column, "name" | "type">): ResultColumn {
  return { name, type: type.display, kind: type.kind, array: type.array, delimiter: type.delimiter };
}
