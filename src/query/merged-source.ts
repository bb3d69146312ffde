import { keyColumns, type Table } from "../catalog/catalog.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { unnest } from "../postgres/statement.ts";
import type { TextValue } from "../value.ts";

/** The rows to put over a table. */
export interface Over {
  /** Of the table's rows that do not count any more. */
  keys: readonly (readonly TextValue[])[];
  /** Those that stand in their place, and new ones: one value for each of the table's columns. */
  rows: readonly (readonly TextValue[])[];
}

/** SQL with the parameters that it adds to those of the statement it becomes a part of. */
export interface Fragment {
  sql: string;
  values: unknown[];
}

/**
 * The whole table as it will be, as something to select from: `(...)` with all columns under their names, in the
 * table's order. The table itself where nothing is put over it. `parameters` is how many the statement has already.
 * PostgreSQL pushes conditions into both of its arms, so an index is still used.
 */
export function mergedSource(table: Table, overlaid: Over | undefined, parameters: number): Fragment {
  if (!overlaid) return { sql: table.sql, values: [] };
  const columns = table.columns.map(({ name }) => quote(name)).join(", ");
  const keys = excludedKeys(table, overlaid.keys, parameters);
  const rows = overlaidRows(table, overlaid.rows, parameters + keys.values.length);
  return {
    sql: `(select ${columns} from ${table.sql} t where ${keys.sql} union all select ${columns} from ${rows.sql} t)`,
    values: [...keys.values, ...rows.values],
  };
}

/** The condition on `t` that leaves these keys out. */
export function excludedKeys(table: Table, keys: readonly (readonly TextValue[])[], parameters: number): Fragment {
  if (keys.length === 0) return { sql: "true", values: [] };
  const keyed = keyColumns(table);
  const left = keyed.map(({ name }) => `t.${quote(name)}`).join(", ");
  const right = keyed.map(({ type }, i) => `v.c${i}::${type.cast}`).join(", ");
  return {
    sql: `(${left}) not in (select ${right} from ${unnest("v", keyed.length, parameters)})`,
    values: keyed.map((_, i) => keys.map((key) => key[i] ?? null)),
  };
}

/** Rows given as text, as something to select from. Generated columns are computed by PostgreSQL. */
export function overlaidRows(table: Table, rows: readonly (readonly TextValue[])[], parameters: number): Fragment {
  const written = table.columns.filter(({ generatedExpression }) => generatedExpression === undefined);
  const generated = table.columns.filter(({ generatedExpression }) => generatedExpression !== undefined);
  const casts = written.map(({ name, type }, i) => `v.c${i}::${type.castWithModifier} as ${quote(name)}`).join(", ");
  const inner = `select ${casts} from ${unnest("v", written.length, parameters)}`;
  const computed = generated
    .map(({ name, generatedExpression }) => `, (${generatedExpression}) as ${quote(name)}`)
    .join("");
  return {
    sql: computed === "" ? `(${inner})` : `(select w.*${computed} from (${inner}) w)`,
    values: written.map((column) => {
      const index = table.columns.indexOf(column);
      return rows.map((row) => row[index] ?? null);
    }),
  };
}

/** As many keys as PostgreSQL hashes within its default work_mem. */
const HASHED_KEYS = 20_000;

/** work_mem, kB, that a statement needs for leaving out so many keys; past it, hashing turns to a quadratic search. */
export function memoryFor(overlaid: Over | undefined): number | undefined {
  const keys = overlaid?.keys.length ?? 0;
  return keys > HASHED_KEYS ? Math.ceil(keys / 4) : undefined;
}
