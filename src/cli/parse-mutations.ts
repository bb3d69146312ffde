import type { Given } from "./column-value.ts";
import { UsageError } from "./command.ts";
import { parseExactJson } from "./exact-json.ts";
import { type MutationDraft, type Operation, operations } from "./mutation-draft.ts";

/** Reads "insert TABLE COLUMN=VALUE... [if COLUMN=VALUE...] [and update ...]". */
export function parseMutations(words: readonly string[]): MutationDraft[] {
  const mutations: string[][] = [[]];
  for (const word of words) {
    if (word === "and") mutations.push([]);
    else mutations.at(-1)?.push(word);
  }
  return mutations.map(parseMutation);
}

/** The operation and table of "insert TABLE -"; undefined where it is another form. */
export function parseRowsInput(words: readonly string[]): { operation: Operation; table: string } | undefined {
  const [operation, table, last, ...rest] = words;
  if (last !== "-" || table === undefined || rest.length > 0) return undefined;
  return { operation: readOperation(operation), table };
}

function parseMutation(words: readonly string[]): MutationDraft {
  const [first, table, ...rest] = words;
  const operation = readOperation(first);
  if (table === undefined || isAssignment(table))
    throw new UsageError(`name the table: ${operation} TABLE COLUMN=VALUE`);
  const split = rest.indexOf("if");
  const conditions = split < 0 ? [] : rest.slice(split + 1);
  if (split >= 0 && conditions.length === 0)
    throw new UsageError("say after if what must hold: exists, missing or COLUMN=VALUE");
  const existence = conditions.filter((word) => word === "exists" || word === "missing");
  if (existence.length > 1) throw new UsageError("a row exists or is missing, not both");
  return {
    operation,
    table,
    values: assignments(split < 0 ? rest : rest.slice(0, split)),
    ifEqual: assignments(conditions.filter((word) => word !== "exists" && word !== "missing")),
    ...(existence[0] !== undefined && { ifExists: existence[0] === "exists" }),
  };
}

function readOperation(word: string | undefined): Operation {
  const operation = operations.find((each) => each === word);
  if (operation === undefined)
    throw new UsageError(`a mutation begins with ${operations.join(", ")}, not ${JSON.stringify(word ?? "")}`);
  return operation;
}

function isAssignment(word: string): boolean {
  return /^[^=]+=/s.test(word);
}

function assignments(words: readonly string[]): Map<string, Given> {
  const values = new Map<string, Given>();
  for (const word of words) {
    const [, column = "", asJson, text = ""] = /^([^=]+?)(:?)=(.*)$/s.exec(word) ?? [];
    if (column === "") throw new UsageError(`a value is COLUMN=VALUE, not ${JSON.stringify(word)}`);
    if (values.has(column)) throw new UsageError(`column ${column} is given twice`);
    values.set(column, asJson === ":" ? { json: readJson(column, text) } : { text });
  }
  return values;
}

function readJson(column: string, text: string): ReturnType<typeof parseExactJson> {
  try {
    return parseExactJson(text);
  } catch (cause) {
    throw new UsageError(`what stands after ${column}:= is JSON, and ${JSON.stringify(text)} is none`, { cause });
  }
}
