import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { type Catalog, type Column, columnOf, keyColumns, type Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Statement } from "../postgres/connection.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { expectAction, OPERATOR_ACTION } from "../postgres/rejected-writes.ts";
import { named, unnest } from "../postgres/statement.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Precondition } from "../write.ts";

/** A mutation and its index in the write that it belongs to. */
export interface Effect {
  mutation: Mutation;
  index: number;
}

/** One statement, and the index of the first mutation that it carries. */
export interface EffectStatement extends Required<Statement> {
  mutation: number;
}

/**
 * The statements that make the effects, in order. Consecutive mutations of the same table, operation and columns become
 * one set-based statement, as long as no row is named twice in it. Throws TABLE_NOT_FOUND or COLUMN_NOT_FOUND, with the index
 * of the mutation as metadata, where the catalog has changed since the mutation was checked.
 */
export function effectStatements(catalog: Catalog, effects: Iterable<Effect>): EffectStatement[] {
  const statements: EffectStatement[] = [];
  let run: Effect[] = [];
  let shape = "";
  let keys = new Set<string>();
  const flush = (): void => {
    const [first] = run;
    if (first) statements.push(runStatement(tableOf(catalog, first.mutation), run));
    run = [];
    keys = new Set();
  };
  for (const { mutation: written, index } of effects) {
    const mutation = fitted(catalog, written, index);
    const key = JSON.stringify(mutation.key);
    const next = JSON.stringify([mutation.table, mutation.operation, mutation.columns, mutation.setColumns]);
    if (next !== shape || keys.has(key) || mutation.preconditions.length > 0 || mayMeet(catalog, mutation)) flush();
    shape = next;
    for (const precondition of mutation.preconditions)
      statements.push({
        ...preconditionStatement(tableOf(catalog, mutation), mutation.key, precondition),
        mutation: index,
      });
    run.push({ mutation, index });
    keys.add(key);
  }
  flush();
  return statements;
}

/** Whether another text may name the same row: a statement cannot update one row twice. */
function mayMeet(catalog: Catalog, mutation: Mutation): boolean {
  return ["update", "upsert"].includes(mutation.operation) && tableOf(catalog, mutation).looseKey;
}

/** The mutation without what the client had left out, where the table has no such column any more. */
function fitted(catalog: Catalog, mutation: Mutation, index: number): Mutation {
  const { columns, values, preconditions, filled = [] } = mutation;
  try {
    const table = tableOf(catalog, mutation);
    const gone = filled.filter((name) => !table.byName.has(name));
    for (const precondition of preconditions)
      if (precondition.kind === "columns_equal") for (const name of precondition.columns) columnOf(table, name);
    for (const name of columns) if (!table.byName.has(name) && !gone.includes(name)) columnOf(table, name);
    if (gone.length === 0) return mutation;
    const kept = columns.flatMap((name, i) => (gone.includes(name) ? [] : [i]));
    return { ...mutation, columns: kept.map((i) => columns[i] ?? ""), values: kept.map((i) => values[i] ?? null) };
  } catch (error) {
    if (!(error instanceof OpsDbError)) throw error;
    throw new OpsDbError(error.reason, error.message, { metadata: { ...error.metadata, mutation: `${index}` } });
  }
}

/** The effects of the entries that are the first with their id, in order. */
export function* effectsOf(entries: readonly BufferedWrite[]): Generator<Effect> {
  for (const { duplicateOf, write } of entries) {
    if (duplicateOf !== undefined) continue;
    for (const [index, mutation] of write.mutations.entries()) yield { mutation, index };
  }
}

/** One mutation that answers the whole row as text, in the table's order; no row where it met none. */
export function returningStatement(table: Table, mutation: Mutation): Statement {
  const columns = table.columns.map(({ name }) => `t.${quote(name)}`).join(", ");
  const { text, values } = effectSql(table, [mutation]);
  return named(`${text} returning ${columns}`, values);
}

/**
 * Fails with OD003 unless the precondition holds; locks the row until the end of the transaction. The one of an operator's
 * action, which is all that is asked of its record, fails with OD004 and says who was faster.
 */
export function preconditionStatement(
  table: Table,
  key: readonly TextValue[],
  precondition: Precondition,
): Required<Statement> {
  if (table.id === OPERATOR_ACTION && precondition.kind === "columns_equal")
    return expectAction(key[0] ?? null, precondition.values[0] ?? null);
  const values: TextValue[] = [...key];
  let where = keyColumns(table)
    .map((column, i) => `t.${quote(column.name)} = $${i + 1}::text::${column.type.castWithModifier}`)
    .join(" and ");
  let expected = "> 0";
  if (precondition.kind === "row_exists") expected = precondition.exists ? "> 0" : "= 0";
  else
    precondition.columns.forEach((name, i) => {
      values.push(precondition.values[i] ?? null);
      const column = columnOf(table, name);
      where += ` and ${sameText(column, `t.${quote(name)}`, `$${values.length}::text`)}`;
    });
  return named(
    `select opsdb.expect_precondition((select count(*) from (select 1 from ${table.ownSql} t where ${where} for update) found) ${expected})`,
    values,
  );
}

// json has no equality operator; its text is compared.
function sameText(column: Column, left: string, right: string): string {
  if (column.type.base === "json" || column.type.base === "xml") return `${left}::text is not distinct from ${right}`;
  return `${left} is not distinct from ${right}::${column.type.castWithModifier}`;
}

function runStatement(table: Table, run: readonly Effect[]): EffectStatement {
  const { text, values } = effectSql(
    table,
    run.map(({ mutation }) => mutation),
  );
  const mutation = run[0]?.index ?? 0;
  if (run[0]?.mutation.operation !== "update") return { ...named(text, values), mutation };
  // An update of a row that does not exist is an error, not nothing.
  const counted = `with updated as (${text} returning 1) select opsdb.expect_rows(count(*), $${values.length + 1}::bigint) from updated`;
  return { ...named(counted, [...values, run.length]), mutation };
}

function effectSql(table: Table, run: readonly Mutation[]): { text: string; values: unknown[] } {
  const [first] = run;
  if (!first) throw new RangeError("an empty run has no statement");
  const keys = keyColumns(table);
  const written = first.columns.map((name) => columnOf(table, name));
  const writtenValues = written.map((_, i) => run.map((mutation) => mutation.values[i] ?? null));
  const keyValues = keys.map((_, i) => run.map((mutation) => mutation.key[i] ?? null));
  const target = written.map(({ name }) => quote(name)).join(", ");
  switch (first.operation) {
    case "insert":
    case "upsert": {
      if (written.length === 0) return { text: `insert into ${table.sql} as t default values`, values: [] };
      const source = unnest("v", written.length, 0);
      // Values of an identity were leased from its sequence: main stores exactly these.
      const overriding = written.some(({ identity }) => identity !== "none") ? "overriding system value " : "";
      const insert = `insert into ${table.sql} as t (${target}) ${overriding}select ${casts(written, 0)} from ${source}`;
      return { text: insert + onConflict(table, first), values: writtenValues };
    }
    case "update": {
      const set = written.map(({ name, type }, i) => `${quote(name)} = v.c${i}::${type.cast}`).join(", ");
      const source = unnest("v", written.length + keys.length, 0);
      return {
        text: `update ${table.ownSql} as t set ${set} from ${source} where ${keyMatch(keys, written.length)}`,
        values: [...writtenValues, ...keyValues],
      };
    }
    case "delete":
      return {
        text: `delete from ${table.ownSql} as t using ${unnest("v", keys.length, 0)} where ${keyMatch(keys, 0)}`,
        values: keyValues,
      };
  }
}

function onConflict(table: Table, { operation, setColumns = [] }: Mutation): string {
  if (operation !== "upsert") return "";
  const key = table.primaryKey.map(quote).join(", ");
  if (setColumns.length === 0) return ` on conflict (${key}) do nothing`;
  const set = setColumns.map((name) => `${quote(name)} = excluded.${quote(name)}`).join(", ");
  return ` on conflict (${key}) do update set ${set}`;
}

function casts(columns: readonly Column[], from: number): string {
  return columns.map(({ type }, i) => `v.c${from + i}::${type.cast}`).join(", ");
}

/** A key that is finer than its column can hold names the row that it would be stored as. */
function keyMatch(keys: readonly Column[], from: number): string {
  return keys.map(({ name, type }, i) => `t.${quote(name)} = v.c${from + i}::${type.castWithModifier}`).join(" and ");
}

function tableOf(catalog: Catalog, mutation: Mutation): Table {
  const table = catalog.byId(mutation.table);
  if (!table) throw new OpsDbError("TABLE_NOT_FOUND", `table ${mutation.table} does not exist any more`);
  return table;
}
