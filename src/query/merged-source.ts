import { type Column, keyColumns, type Table } from "../catalog/catalog.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { unnest } from "../postgres/statement.ts";
import type { TextValue } from "../value.ts";

/** The rows to put over a table. */
export interface Over {
  /** Of the table's rows that do not count any more. */
  keys: readonly (readonly TextValue[])[];
  /** Those that stand in their place, and new ones: one value for each of the table's columns. */
  rows: readonly (readonly TextValue[])[];
  /** Where other tables inherit from the table: all of those, each with what is put over its own rows. */
  heirs?: readonly { table: Table; over: Over | undefined }[];
}

/** SQL with the parameters that it adds to those of the statement it becomes a part of. */
export interface Fragment {
  sql: string;
  values: unknown[];
}

/**
 * The whole table as it will be, as something to select from: `(...)` with all columns under their names, in the
 * table's order. The table itself where nothing is put over it. `parameters` is how many the statement has already.
 *
 * Neither arm has a condition of its own: only so PostgreSQL takes both for parts of one table, which it can read in
 * an index's order (Merge Append). That the replaced rows are left out is said of the whole, and is settled for each arm
 * by its mark. OFFSET 0 keeps the rows put over it a subquery: only so it can look both arms up row by row in a join.
 */
export function mergedSource(table: Table, overlaid: Over | undefined, parameters: number): Fragment {
  if (!overlaid) return { sql: table.sql, values: [] };
  const columns = table.columns.map(({ name }) => quote(name)).join(", ");
  if (overlaid.heirs && overlaid.heirs.length > 0) return withHeirs(table, overlaid, columns, parameters);
  const keys = excludedKeys(table, overlaid.keys, parameters);
  const rows = overlaidRows(table, overlaid.rows, parameters + keys.values.length);
  const mark = quote(unusedName(table));
  const base = `select ${columns}, false as ${mark} from ${table.sql} t`;
  const over = `select ${columns}, true from (select * from ${rows.sql} r offset 0) t`;
  return {
    sql: `(select ${columns} from (${base} union all ${over}) t where t.${mark} or ${keys.sql})`,
    values: [...keys.values, ...rows.values],
  };
}

/** The keys of heirs may be of columns that the table does not have, so each arm says itself what it leaves out. */
function withHeirs(table: Table, overlaid: Over, columns: string, parameters: number): Fragment {
  const arms: string[] = [];
  const values: unknown[] = [];
  for (const { table: of, over } of [{ table, over: overlaid }, ...(overlaid.heirs ?? [])]) {
    const keys = excludedKeys(of, over?.keys ?? [], parameters + values.length);
    values.push(...keys.values);
    arms.push(`select ${columns} from ${of.ownSql} t where ${keys.sql}`);
    if (!over) continue;
    const rows = overlaidRows(of, over.rows, parameters + values.length);
    values.push(...rows.values);
    arms.push(`select ${columns} from ${rows.sql} t`);
  }
  return { sql: `(${arms.join(" union all ")})`, values };
}

function unusedName({ byName }: Table): string {
  let name = "pending";
  while (byName.has(name)) name += "_";
  return name;
}

/** The condition on `t` that leaves these keys out. */
function excludedKeys(table: Table, keys: readonly (readonly TextValue[])[], parameters: number): Fragment {
  if (keys.length === 0) return { sql: "true", values: [] };
  const keyed = keyColumns(table);
  const left = keyed.map(({ name }) => `t.${quote(name)}`).join(", ");
  const right = keyed.map(({ type }, i) => `v.c${i}::${type.castWithModifier}`).join(", ");
  return {
    sql: `(${left}) not in (select ${right} from ${unnest("v", keyed.length, parameters)})`,
    values: keyed.map((_, i) => keys.map((key) => key[i] ?? null)),
  };
}

/** Rows given as text, as something to select from. Generated columns are computed by PostgreSQL. */
export function overlaidRows(table: Table, rows: readonly (readonly TextValue[])[], parameters: number): Fragment {
  const written = table.columns.filter(({ generatedExpression }) => generatedExpression === undefined);
  const casts = written.map((column, i) => `${typed(column, `v.c${i}`)} as ${quote(column.name)}`).join(", ");
  return {
    sql: withGenerated(table, `select ${casts} from ${unnest("v", written.length, parameters)}`),
    values: written.map((column) => {
      const index = table.columns.indexOf(column);
      return rows.map((row) => row[index] ?? null);
    }),
  };
}

/** As many keys as PostgreSQL hashes within its default work_mem. */
const HASHED_KEYS = 20_000;

/** work_mem, kB, that a statement needs for leaving out all these keys; past it, hashing turns to a quadratic search. */
export function memoryFor(...overlaid: readonly (Over | undefined)[]): number | undefined {
  const all = overlaid.flatMap((each) => [each, ...(each?.heirs ?? []).map(({ over }) => over)]);
  const keys = Math.max(0, ...all.map((each) => each?.keys.length ?? 0)); // work_mem holds for each hash table
  return keys > HASHED_KEYS ? Math.ceil(keys / 4) : undefined;
}

/** A text as a value of the column, of its collation too: comparisons and functions mean what they mean in the table. */
export function typed(column: Column, sql: string): string {
  return `${sql}::${column.type.castWithModifier}${collate(column)}`;
}

/** The rows of a select that has all columns but the generated ones, with these. */
export function withGenerated(table: Table, rows: string): string {
  const computed = table.columns.flatMap((column) =>
    column.generatedExpression === undefined
      ? []
      : [`, ${assigned(column, `(${column.generatedExpression})`)} as ${quote(column.name)}`],
  );
  return computed.length === 0 ? `(${rows})` : `(select w.*${computed.join("")} from (${rows}) w)`;
}

/** As an assignment to the column has it: too long a text is an error, where a cast would cut it. */
function assigned(column: Column, sql: string): string {
  const { base, modifier, array, domain } = column.type;
  const strict = ["varchar", "bpchar", "bit", "varbit"].includes(base) && modifier !== -1 && !array && !domain;
  if (!strict) return typed(column, sql);
  // The function that PostgreSQL itself calls; varchar and bpchar count 4 bytes of header in their modifier as well.
  return `pg_catalog.${quote(base)}(${sql}::pg_catalog.${quote(base)}, ${modifier}, false)${collate(column)}`;
}

function collate({ collation }: Column): string {
  return collation === undefined ? "" : ` collate ${collation}`;
}
