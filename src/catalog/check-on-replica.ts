import { OpsDbError } from "../errors.ts";
import type { Statement } from "../postgres/connection.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { messageOf, refusesValue, saysOtherSchema } from "../postgres/sqlstate.ts";
import { named, unnest } from "../postgres/statement.ts";
import type { TextValue } from "../value.ts";
import type { Mutation, Write } from "../write.ts";
import { parseArrayText } from "./array-text.ts";
import { type Catalog, type Column, columnOf, type Table } from "./catalog.ts";
import { checkViolation } from "./decide-check.ts";
import { invalidValue } from "./encode-value.ts";
import type { Unchecked } from "./unchecked.ts";

/** What checkOnReplica needs of a pg Pool or Client: outside of a transaction, with the service's session settings. */
export interface ReplicaSource {
  query(query: { name?: string; text: string; values: unknown[]; rowMode: "array" }): Promise<{ rows: unknown[][] }>;
}

/**
 * Lets the local database do what memory could not: evaluates defaults, brings values into their stored form and tests
 * CHECKs, and completes the write in place. Expressions come from the catalog alone, values go as parameters. Mutations
 * of the same shape share one statement; the service's tables are not touched. Throws INVALID_VALUE or CHECK_VIOLATION
 * with the field; errors of the connection go through as they are, and then the write stands as it was.
 */
export async function checkOnReplica(
  source: ReplicaSource,
  catalog: Catalog,
  write: Write,
  unchecked: readonly Unchecked[],
): Promise<void> {
  const questions = questionsOf(catalog, write, unchecked);
  const answered: [Question, TextValue[]][] = [];
  for (const group of Map.groupBy(questions, (question) => question.shape).values()) {
    const answers = await askGroup(source, group);
    answers.forEach((answer, i) => {
      const question = group[i];
      if (question) answered.push([question, answer]);
    });
  }
  for (const [question, answers] of answered) refuseViolations(question, answers);
  for (const [question, answers] of answered) fillIn(question, answers);
}

/** Everything asked about one row of values: of one mutation, or of one precondition. */
interface Question {
  table: Table;
  mutation: Mutation;
  /** The columns that have a value, and the values. */
  columns: Column[];
  values: TextValue[];
  /** Columns to take from their default. */
  defaults: Column[];
  entries: Unchecked[];
  /** Index of the precondition whose values these are. */
  precondition: number | undefined;
  path: string;
  /** The same for questions that one statement can ask. */
  shape: string;
}

function questionsOf(catalog: Catalog, write: Write, unchecked: readonly Unchecked[]): Question[] {
  const rows = Map.groupBy(unchecked, (e) => `${e.mutation} ${e.kind === "precondition" ? e.precondition : ""}`);
  return [...rows.values()].flatMap((entries) => {
    const [first] = entries;
    const mutation = first && write.mutations[first.mutation];
    const table = mutation && catalog.byId(mutation.table);
    return table ? [questionOf(table, mutation, entries, first)] : [];
  });
}

function questionOf(table: Table, mutation: Mutation, entries: Unchecked[], first: Unchecked): Question {
  const precondition = first.kind === "precondition" ? first.precondition : undefined;
  const { columns, values } = precondition === undefined ? rowOf(table, mutation) : conditionOf(mutation, precondition);
  const defaults = entries.flatMap((e) => (e.kind === "default" ? [columnOf(table, e.column)] : []));
  const asked = entries.map((e) => (e.kind === "check" ? `check ${e.check}` : `${e.kind} ${e.column}`));
  return {
    table,
    mutation,
    columns: columns.map((name) => columnOf(table, name)),
    values,
    defaults,
    entries,
    precondition,
    path: `mutations[${first.mutation}]`,
    shape: JSON.stringify([table.id, columns, asked]),
  };
}

function rowOf(
  table: Table,
  { operation, key, columns, values }: Mutation,
): { columns: string[]; values: TextValue[] } {
  if (operation === "insert" || operation === "upsert") return { columns, values };
  return { columns: [...table.primaryKey, ...columns], values: [...key, ...values] };
}

function conditionOf({ preconditions }: Mutation, index: number): { columns: string[]; values: TextValue[] } {
  const precondition = preconditions[index];
  return precondition?.kind === "columns_equal" ? precondition : { columns: [], values: [] };
}

/** One answer for each entry of each question. */
async function askGroup(source: ReplicaSource, group: readonly Question[]): Promise<TextValue[][]> {
  try {
    return await ask(source, group);
  } catch (error) {
    // The schema has changed since the catalog was read: nothing is known, and main decides.
    if (saysOtherSchema(error)) return [];
    if (!refusesValue(error)) throw error;
    // Some value is wrong; the set does not say which.
    for (const question of group) await nameCulprit(source, question);
    return [];
  }
}

async function ask(source: ReplicaSource, group: readonly Question[]): Promise<TextValue[][]> {
  const [first] = group;
  if (!first) return [];
  const { name = "", text, values = [] } = statementOf(first, group);
  const { rows } = await source.query({ name, text, values, rowMode: "array" });
  return rows.map(([answers]) => parseArrayText(String(answers), ",").items as TextValue[]);
}

function statementOf({ table, columns, defaults, entries }: Question, group: readonly Question[]): Statement {
  // With the column's collation, a CHECK compares as it does in the table.
  const typed = columns.map(({ name, type, collation }, i) => {
    const collate = collation === undefined ? "" : ` collate ${collation}`;
    return `v.c${i}::${type.cast}::${type.castWithModifier}${collate} as ${quote(name)}`;
  });
  const filled = defaults.map((c) => `(${c.defaultExpression})::${c.type.castWithModifier} as ${quote(c.name)}`);
  const asked = entries.map((entry) => {
    // The output function's text: a cast to text takes the spaces off char(n) and spells booleans out. A composite value whose
    // fields are all null is null to IS NULL, and to nothing else.
    if (entry.kind !== "check")
      return `case when ${quote(entry.column)} is distinct from null then concat(${quote(entry.column)}) end`;
    const check = table.checks.find(({ name }) => name === entry.check);
    return `((${check?.expression ?? "true"}) is not false)::text`;
  });
  // A row without values still is a row; c0 also keeps the rows in the order of the questions.
  const order = group.map((_, i) => String(i));
  const source = unnest("v", columns.length + 1, 0);
  return named(
    `select array[${asked.join(", ")}]::text from (select ${[...typed, ...filled].join(", ")} ` +
      `from ${source} order by v.c${columns.length}::bigint) ${quote(table.table)}`,
    [...columns.map((_, c) => group.map((question) => question.values[c] ?? null)), order],
  );
}

/** Asks about one value after the other and throws for the first that is wrong. */
async function nameCulprit(source: ReplicaSource, question: Question): Promise<void> {
  for (const entry of question.entries) {
    if (entry.kind !== "value" && entry.kind !== "precondition") continue;
    const column = columnOf(question.table, entry.column);
    const alone = {
      ...question,
      columns: [column],
      values: [textOf(question, column)],
      defaults: [],
      entries: [entry],
    };
    await ask(source, [alone]).catch((error: unknown) => {
      throw refusesValue(error) ? invalidValue(column.type, messageOf(error), entry.field) : error;
    });
  }
  await ask(source, [question]).catch((error: unknown) => {
    if (!refusesValue(error)) throw error;
    throw new OpsDbError("INVALID_VALUE", messageOf(error), { field: question.path, cause: error });
  });
}

function textOf({ columns, values }: Question, column: Column): TextValue {
  return values[columns.indexOf(column)] ?? null;
}

function refuseViolations({ table, entries }: Question, answers: readonly TextValue[]): void {
  entries.forEach((entry, i) => {
    if (entry.kind !== "check" || answers[i] !== "false") return;
    const check = table.checks.find(({ name }) => name === entry.check);
    if (check) throw checkViolation(table, check, entry.field);
  });
}

function fillIn({ table, mutation, entries }: Question, answers: readonly TextValue[]): void {
  entries.forEach((entry, i) => {
    const answer = answers[i] ?? null;
    if (entry.kind === "default") addColumn(table, mutation, entry.column, answer);
    else if (entry.kind === "value") replaceValue(table, mutation, entry.column, answer);
    else if (entry.kind === "precondition") replaceCondition(mutation, entry.precondition, entry.column, answer);
  });
}

function replaceValue(table: Table, mutation: Mutation, name: string, value: TextValue): void {
  const inKey = table.primaryKey.indexOf(name);
  const inValues = mutation.columns.indexOf(name);
  if (inKey >= 0) mutation.key[inKey] = value;
  if (inValues >= 0) mutation.values[inValues] = value;
}

function replaceCondition({ preconditions }: Mutation, index: number, name: string, value: TextValue): void {
  const precondition = preconditions[index];
  if (precondition?.kind === "columns_equal") precondition.values[precondition.columns.indexOf(name)] = value;
}

/** Columns stay in the table's order. */
function addColumn(table: Table, mutation: Mutation, name: string, value: TextValue): void {
  const after = new Set(table.columns.slice(table.columns.findIndex((c) => c.name === name)).map((c) => c.name));
  const at = mutation.columns.findIndex((column) => after.has(column));
  const index = at < 0 ? mutation.columns.length : at;
  mutation.columns.splice(index, 0, name);
  mutation.values.splice(index, 0, value);
}
