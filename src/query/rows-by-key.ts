import { keyColumns, type Table } from "../catalog/catalog.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { unnest } from "../postgres/statement.ts";
import type { TextValue } from "../value.ts";
import type { TableStatement } from "./plan-query.ts";

/** Reads whole rows by key: (number of the key from 1, columns...). */
export function rowsByKeySql(table: Table, keys: readonly (readonly TextValue[])[]): TableStatement {
  const columns = keyColumns(table);
  const match = columns
    .map(({ name, type }, i) => `t.${quote(name)} = v.c${i}::${type.castWithModifier}`)
    .join(" and ");
  const select = table.columns.map(({ name }) => `t.${quote(name)}`).join(", ");
  const numbered = unnest("v", columns.length, 0).replace(" v(", " with ordinality v(").replace(/\)$/, ", n)");
  return {
    text: `select v.n, ${select} from ${numbered} join ${table.ownSql} t on ${match}`,
    values: columns.map((_, i) => keys.map((key) => key[i] ?? null)),
  };
}
