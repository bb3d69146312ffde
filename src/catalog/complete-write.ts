import { OpsDbError } from "../errors.ts";
import type { TextValue, Value } from "../value.ts";
import type {
  Mutation,
  Precondition,
  RequestedMutation,
  RequestedPrecondition,
  RequestedWrite,
  Write,
} from "../write.ts";
import {
  type Catalog,
  type Column,
  type ColumnType,
  isOwn,
  keyColumns,
  type Sequence,
  sequenceColumns,
  type Table,
} from "./catalog.ts";
import { checkViolation, decideCheck } from "./decide-check.ts";
import { encodeValue, isFullyChecked } from "./encode-value.ts";
import { evaluateDefault } from "./evaluate-default.ts";
import type { Unchecked } from "./unchecked.ts";

export interface CompleteOptions {
  /** The write goes straight to main, so what only main can generate is left for it: a null in the key. */
  generateAtMain: boolean;
  /** What now() means in defaults. */
  now: Date;
  /** Values of sequences that were taken for this write; without them their columns are left to main. */
  sequences?: SequenceValues;
}

export interface SequenceValues {
  /** The next value; undefined where none was taken. */
  next(sequence: Sequence): string | undefined;
}

/** How many values of a sequence a write takes. */
export interface SequenceNeed {
  sequence: Sequence;
  count: number;
  /** The first column of a key that cannot do without one; undefined where main may fill in all of them. */
  key: { table: string; column: string; field: string } | undefined;
}

/** The values of sequences that complete the write's rows. Throws TABLE_NOT_FOUND. */
export function neededValues(catalog: Catalog, requested: RequestedWrite): SequenceNeed[] {
  const needs = new Map<string, SequenceNeed>();
  for (const [index, { table: name, operation, values }] of requested.mutations.entries()) {
    if (operation !== "insert" && operation !== "upsert") continue;
    const table = catalog.table(name, `mutations[${index}].table`);
    if (table.primaryKey.length === 0 || isOwn(table)) continue;
    for (const { name: column, sequence } of sequenceColumns(table)) {
      if (Object.hasOwn(values, column)) continue;
      const inKey = table.primaryKey.includes(column);
      if (inKey && operation === "upsert") continue; // it has to say which row
      const need = needs.get(sequence.id) ?? { sequence, count: 0, key: undefined };
      need.count += 1;
      const field = pathOf(`mutations[${index}].${operation}.values`, column);
      if (inKey) need.key ??= { table: table.name, column, field };
      needs.set(sequence.id, need);
    }
  }
  return [...needs.values()];
}

export interface CompletedWrite {
  write: Write;
  /** What the local database may be asked about. Left alone, main decides it. */
  unchecked: Unchecked[];
}

/**
 * Checks a write against the catalog and completes it: values become text, keys and defaults are filled in, rows to
 * insert get every column that memory can tell. Throws what main would surely refuse, with the field's path.
 */
export function completeWrite(catalog: Catalog, requested: RequestedWrite, options: CompleteOptions): CompletedWrite {
  const unchecked: Unchecked[] = [];
  const mutations = requested.mutations.map((mutation, index) => {
    const table = catalog.table(mutation.table, `mutations[${index}].table`);
    return new MutationCompleter({
      table,
      mutation,
      index,
      writeId: requested.writeId,
      unchecked,
      ...options,
    }).complete();
  });
  return { write: { writeId: requested.writeId, payloadHash: requested.payloadHash, mutations }, unchecked };
}

interface CompleterOptions extends CompleteOptions {
  table: Table;
  mutation: RequestedMutation;
  index: number;
  writeId: string;
  unchecked: Unchecked[];
}

class MutationCompleter {
  readonly #table: Table;
  readonly #mutation: RequestedMutation;
  readonly #options: CompleterOptions;
  /** Path of the mutation. */
  readonly #path: string;
  /** Columns that the local database may fill in. */
  readonly #defaults: string[] = [];

  constructor(options: CompleterOptions) {
    this.#table = options.table;
    this.#mutation = options.mutation;
    this.#options = options;
    this.#path = `mutations[${options.index}]`;
  }

  complete(): Mutation {
    if (this.#table.primaryKey.length === 0) {
      throw new OpsDbError("NOT_WRITABLE", `table ${this.#table.name} has no primary key and can only be read`, {
        field: `${this.#path}.table`,
        metadata: { table: this.#table.name },
      });
    }
    if (isOwn(this.#table)) {
      throw new OpsDbError("NOT_WRITABLE", `table ${this.#table.name} is the service's own and can only be read`, {
        field: `${this.#path}.table`,
        metadata: { table: this.#table.name },
      });
    }
    const operation = this.#mutation.operation;
    const mutation = operation === "insert" || operation === "upsert" ? this.#insert() : this.#change();
    this.#listChecks(mutation);
    mutation.preconditions = this.#mutation.preconditions.map((precondition, i) => this.#precondition(precondition, i));
    return mutation;
  }

  #insert(): Mutation {
    const { operation } = this.#mutation;
    const path = `${this.#path}.${operation}.values`;
    const given = this.#encodeAll(this.#mutation.values, path);
    const values = new Map<string, TextValue>();
    for (const column of this.#table.columns) {
      const value = given.has(column.name) ? given.get(column.name) : this.#missing(column, path);
      if (value !== undefined) values.set(column.name, value);
    }
    const filled = [...values.keys()].filter((name) => !given.has(name) && !this.#table.primaryKey.includes(name));
    return {
      table: this.#table.id,
      operation,
      key: keyColumns(this.#table).map(({ name, type }) => keyText(type, values.get(name) ?? null)),
      columns: [...values.keys()],
      values: [...values.values()],
      ...(operation === "upsert" ? { setColumns: this.#setColumns(given) } : {}),
      ...(filled.length > 0 ? { filled } : {}),
      preconditions: [],
    };
  }

  /** Update and delete. */
  #change(): Mutation {
    const { operation } = this.#mutation;
    const keyPath = `${this.#path}.${operation}.key`;
    for (const name of Object.keys(this.#mutation.key)) {
      const column = this.#column(name, keyPath);
      if (!this.#isKey(column))
        throw invalidField(`column ${name} is not part of the primary key`, pathOf(keyPath, name));
    }
    const key = this.#table.primaryKey.map((name) => {
      // Own properties alone: a column may be called "constructor".
      const value = Object.hasOwn(this.#mutation.key, name) ? this.#mutation.key[name] : undefined;
      if (value === undefined) throw this.#missingKey(name, keyPath);
      const column = this.#column(name, keyPath);
      return keyText(column.type, this.#encode(column, value, keyPath));
    });
    const values = operation === "update" ? this.#updateValues() : new Map<string, TextValue>();
    const columns = this.#table.columns.map((column) => column.name).filter((name) => values.has(name));
    return {
      table: this.#table.id,
      operation,
      key,
      columns,
      values: columns.map((name) => values.get(name) ?? null),
      preconditions: [],
    };
  }

  #updateValues(): Map<string, TextValue> {
    const path = `${this.#path}.update.values`;
    const names = Object.keys(this.#mutation.values);
    if (names.length === 0) throw invalidField("an update has to change a column", path);
    for (const name of names) {
      if (!this.#isKey(this.#column(name, path))) continue;
      throw invalidField(`column ${name} is part of the primary key and cannot be changed`, pathOf(path, name));
    }
    return this.#encodeAll(this.#mutation.values, path);
  }

  #encodeAll(values: Record<string, Value>, path: string): Map<string, TextValue> {
    return new Map(
      Object.entries(values).map(([name, value]) => {
        const column = this.#column(name, path);
        this.#assertWritable(column, path);
        return [name, this.#encode(column, value, path)];
      }),
    );
  }

  #encode(column: Column, value: Value, path: string): TextValue {
    const field = pathOf(path, column.name);
    const text = encodeValue(column.type, value, field);
    if (text === null && !column.nullable) throw this.#nullViolation(column, field, "cannot be NULL");
    if (text !== null && !isFullyChecked(column.type)) {
      this.#options.unchecked.push({ kind: "value", mutation: this.#options.index, column: column.name, field });
    }
    return text;
  }

  /** What a column gets that the client left out; undefined where the column stays out of the mutation. */
  #missing(column: Column, path: string): TextValue | undefined {
    const isKey = this.#isKey(column);
    const { generateAtMain, now, writeId, index } = this.#options;
    if (isKey && column.generatedExpression !== undefined && (!generateAtMain || this.#mutation.operation === "upsert"))
      throw new OpsDbError(
        "NOT_WRITABLE",
        `column ${column.name} of the primary key is generated: write at the main site`,
        {
          field: `${this.#path}.table`,
          metadata: { table: this.#table.name, column: column.name },
        },
      );
    if (column.generatedExpression !== undefined) return undefined;
    if (isKey && this.#mutation.operation === "upsert") throw this.#missingKey(column.name, path);
    const computed = evaluateDefault(column, { now, seed: [writeId, index, column.name] });
    if (computed) {
      // A default of NULL for a column that may not be NULL is no default.
      if (computed.value === null && !column.nullable) return this.#nothing(column, path);
      return computed.value;
    }
    const taken = column.sequence && this.#options.sequences?.next(column.sequence);
    if (taken !== undefined) return this.#fitting(column, taken, path);
    const hasDefault = column.identity !== "none" || column.defaultExpression !== undefined;
    if (!hasDefault) return column.nullable ? null : this.#nothing(column, path);
    if (isKey && !generateAtMain) throw this.#missingKey(column.name, path);
    if (column.identity === "none" && !generateAtMain) {
      this.#defaults.push(column.name);
      this.#options.unchecked.push({
        kind: "default",
        mutation: index,
        column: column.name,
        field: pathOf(path, column.name),
      });
    }
    return undefined;
  }

  /** A sequence may go further than its column. */
  #fitting(column: Column, value: string, path: string): TextValue {
    try {
      return encodeValue(column.type, { kind: "int64", value: BigInt(value) }, pathOf(path, column.name));
    } catch (error) {
      if (!(error instanceof OpsDbError)) throw error;
      const name = column.sequence?.name ?? "";
      throw new OpsDbError(
        "SEQUENCE_EXHAUSTED",
        `the next value of sequence ${name}, ${value}, is out of range for column ${column.name}`,
        {
          field: pathOf(path, column.name),
          metadata: { table: this.#table.name, column: column.name, sequence: name },
        },
      );
    }
  }

  #nothing(column: Column, path: string): never {
    if (this.#isKey(column)) throw this.#missingKey(column.name, path);
    throw this.#nullViolation(column, pathOf(path, column.name), "needs a value: it has no default and cannot be NULL");
  }

  #setColumns(given: ReadonlyMap<string, TextValue>): string[] {
    return this.#table.columns.filter((c) => given.has(c.name) && !this.#isKey(c)).map((c) => c.name);
  }

  #precondition(precondition: RequestedPrecondition, i: number): Precondition {
    if (precondition.kind === "row_exists") return { kind: "row_exists", exists: precondition.exists };
    const path = `${this.#path}.preconditions[${i}].columns_equal.values`;
    const entries = Object.entries(precondition.values).map(([name, value]): [string, TextValue] => {
      const column = this.#column(name, path);
      const field = pathOf(path, name);
      if (withoutEquality.has(column.type.base))
        throw new OpsDbError("INVALID_OPERATOR", `${column.type.display} values do not compare; column ${name}`, {
          field,
        });
      const text = encodeValue(column.type, value, field);
      if (text !== null && !isFullyChecked(column.type)) {
        this.#options.unchecked.push({
          kind: "precondition",
          mutation: this.#options.index,
          precondition: i,
          column: name,
          field,
        });
      }
      return [name, text];
    });
    const values = new Map(entries);
    const columns = this.#table.columns.map((column) => column.name).filter((name) => values.has(name));
    return { kind: "columns_equal", columns, values: columns.map((name) => values.get(name) ?? null) };
  }

  /** Refuses a row that violates a CHECK, and lists the CHECKs that need the database although all their columns are here. */
  #listChecks({ operation, key, columns, values }: Mutation): void {
    if (operation === "delete") return;
    const { unchecked, index } = this.#options;
    const path = `${this.#path}.${operation}.values`;
    const row = new Map(columns.map((name, i) => [name, values[i] ?? null]));
    if (operation === "update") this.#table.primaryKey.forEach((name, i) => void row.set(name, key[i] ?? null));
    for (const check of this.#table.checks) {
      if (operation === "update" && !check.columns.some((name) => columns.includes(name))) continue;
      const verdict = decideCheck(this.#table, check, (name) => row.get(name));
      if (verdict === false) throw checkViolation(this.#table, check, path);
      const complete = check.columns.every((name) => row.has(name) || this.#defaults.includes(name));
      if (verdict === undefined && complete)
        unchecked.push({ kind: "check", mutation: index, check: check.name, field: path });
    }
  }

  #column(name: string, path: string): Column {
    const column = this.#table.byName.get(name);
    if (column) return column;
    throw new OpsDbError("COLUMN_NOT_FOUND", `table ${this.#table.name} has no column ${JSON.stringify(name)}`, {
      field: pathOf(path, name),
      metadata: { table: this.#table.name, column: name },
    });
  }

  #assertWritable(column: Column, path: string): void {
    const generated = column.generatedExpression !== undefined;
    if (!generated && column.identity !== "always") return;
    throw new OpsDbError("NOT_WRITABLE", `column ${column.name} is generated by the database and cannot be given`, {
      field: pathOf(path, column.name),
      metadata: { table: this.#table.name, column: column.name },
    });
  }

  #isKey(column: Column): boolean {
    return this.#table.primaryKey.includes(column.name);
  }

  #missingKey(name: string, path: string): OpsDbError {
    const identity = this.#table.byName.get(name)?.identity;
    const why =
      this.#mutation.operation !== "insert" || identity === undefined || identity === "none"
        ? "give it a value"
        : identity === "always"
          ? "only the main database can generate it: write at the main site"
          : "only the main database can generate it: give it a value, or write at the main site";
    return new OpsDbError("MISSING_KEY", `column ${name} of the primary key is missing; ${why}`, {
      field: pathOf(path, name),
      metadata: { table: this.#table.name, column: name },
    });
  }

  #nullViolation(column: Column, field: string, what: string): OpsDbError {
    return new OpsDbError("NOT_NULL_VIOLATION", `column ${column.name} of table ${this.#table.name} ${what}`, {
      field,
      metadata: { table: this.#table.name, column: column.name },
    });
  }
}

/** Types, and arrays of them, that have no equality operator. (Of json and xml the texts are compared.) */
const withoutEquality: ReadonlySet<string> = new Set(["point", "polygon"]);

function invalidField(message: string, field: string): OpsDbError {
  return new OpsDbError("INVALID_FIELD", message, { field });
}

function pathOf(path: string, name: string): string {
  return `${path}[${JSON.stringify(name)}]`;
}

/** Rows are told apart by the text of their keys, so a number needs one text: 1 for 1.0 and 1.00. */
function keyText(type: ColumnType, text: TextValue): TextValue {
  if (type.array || text === null || type.base !== "numeric") return text;
  if (!text.includes(".")) return text;
  let end = text.length;
  while (text[end - 1] === "0") end--;
  return text.slice(0, text[end - 1] === "." ? end - 1 : end);
}
