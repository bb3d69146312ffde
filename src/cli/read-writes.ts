import type { Given } from "./column-value.ts";
import { UsageError } from "./command.ts";
import { type ExactJson, isExactObject, parseExactJson } from "./exact-json.ts";
import type { JsonDocument } from "./json-documents.ts";
import { type MutationDraft, type Operation, operations } from "./mutation-draft.ts";

/** One write as it stands in the input. */
export interface WriteDraft {
  /** Its own id, where the input gives one. */
  writeId?: string;
  mutations: MutationDraft[];
}

/** A write with the line of the input where it ends. */
export interface ReadWrite extends WriteDraft {
  line: number;
}

type JsonObject = { [name: string]: ExactJson };

/**
 * Reads one document: a mutation, a list of mutations, or {"write_id": ..., "mutations": [...]}. With `rows` it is a row,
 * or a list of rows, for that operation on that table. Throws UsageError with the line.
 */
export function readWrite(
  { text, line }: JsonDocument,
  rows: { operation: Operation; table: string } | undefined,
): WriteDraft {
  try {
    const json = parse(text);
    if (rows !== undefined) return { mutations: listed(json).map((row) => rowMutation(object(row, "a row"), rows)) };
    if (isExactObject(json) && json.mutations !== undefined) {
      refuseOthers(json, ["write_id", "mutations"]);
      const { write_id: writeId } = json;
      if (writeId !== undefined && typeof writeId !== "string") throw new UsageError("write_id is not a text");
      return { mutations: listed(json.mutations).map(readMutation), ...(writeId !== undefined && { writeId }) };
    }
    return { mutations: listed(json).map(readMutation) };
  } catch (error) {
    if (error instanceof UsageError) error.message = `line ${line} of standard input: ${error.message}`;
    throw error;
  }
}

/** {"insert": TABLE, "values": {...}}; of an update or delete the key may stand in "key" or among the values. */
function readMutation(json: ExactJson): MutationDraft {
  const mutation = object(json, "a mutation");
  const named = operations.filter((each) => mutation[each] !== undefined);
  const [operation] = named;
  if (operation === undefined || named.length > 1)
    throw new UsageError(
      `a mutation has one of ${operations.join(", ")} with its table, as in {"insert": "TABLE", "values": {...}}`,
    );
  refuseOthers(mutation, [operation, "key", "values", "if", "if_exists"]);
  const table = mutation[operation];
  if (typeof table !== "string") throw new UsageError(`${JSON.stringify(operation)} names no table`);
  const { key = {}, values = {}, if: ifEqual = {}, if_exists: ifExists } = mutation;
  if (ifExists !== undefined && typeof ifExists !== "boolean") throw new UsageError(`"if_exists" is true or false`);
  return {
    operation,
    table,
    values: new Map([...given(object(key, `"key"`)), ...given(object(values, `"values"`))]),
    ifEqual: given(object(ifEqual, `"if"`)),
    ...(ifExists !== undefined && { ifExists }),
  };
}

function rowMutation(row: JsonObject, { operation, table }: { operation: Operation; table: string }): MutationDraft {
  return { operation, table, values: given(row), ifEqual: new Map() };
}

function parse(text: string): ExactJson {
  try {
    return parseExactJson(text);
  } catch (cause) {
    const excerpt = text.length > 60 ? `${text.slice(0, 60)}...` : text;
    throw new UsageError(`${JSON.stringify(excerpt)} is not JSON`, { cause });
  }
}

function listed(json: ExactJson): ExactJson[] {
  if (Array.isArray(json) && json.length === 0) throw new UsageError("the list is empty");
  return Array.isArray(json) ? json : [json];
}

function object(json: ExactJson, what: string): JsonObject {
  if (!isExactObject(json)) throw new UsageError(`${what} is a JSON object, not ${JSON.stringify(json)}`);
  return json;
}

function given(values: JsonObject): Map<string, Given> {
  return new Map(Object.entries(values).map(([name, json]) => [name, { json }]));
}

function refuseOthers(json: JsonObject, known: readonly string[]): void {
  const other = Object.keys(json).find((name) => !known.includes(name));
  if (other !== undefined)
    throw new UsageError(`${JSON.stringify(other)} is not known here; known are ${known.join(", ")}`);
}
