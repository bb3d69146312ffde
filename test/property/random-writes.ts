import type { Value } from "../../src/value.ts";
import type { RequestedMutation, RequestedPrecondition } from "../../src/write.ts";
import type { Chance } from "./chance.ts";
import type { PlannedColumn, PlannedSchema, PlannedTable } from "./random-schema.ts";

/** A write that a client sends; tables by their bare names. */
export interface PlannedWrite {
  mutations: RequestedMutation[];
  /** The replica was away when it was accepted: its values are what memory made of them. */
  unasked: boolean;
  /** Sent once more under the same id, later on; so many writes after it. */
  resentAfter?: number;
}

export interface PlannedWrites {
  writes: PlannedWrite[];
  /** So many of them has main decided before the snapshot is taken. */
  decided: number;
  /** So many of the decided ones are proven, and so many of these forgotten. */
  proven: number;
  forgotten: number;
  /** Reads begin when so many of the writes are in memory; the rest comes in between. */
  readFrom: number;
}

export function randomWrites(chance: Chance, schema: PlannedSchema): PlannedWrites {
  const writes: PlannedWrite[] = [];
  const bases = chance.between(6, 20);
  for (let i = 0; i < bases; i++)
    writes.push({ mutations: [insert(chance, chance.of(schema.tables), "insert", false)], unasked: false });
  const more = chance.between(1, 14);
  for (let i = 0; i < more; i++) {
    const unasked = chance.once(5);
    const focus = chance.once(2) ? chance.of(schema.tables) : undefined;
    writes.push({
      mutations: Array.from({ length: chance.of([1, 1, 1, 2, 3, 5]) }, () =>
        randomMutation(chance, focus ?? chance.of(schema.tables), unasked),
      ),
      unasked,
      ...(chance.once(12) ? { resentAfter: chance.between(1, 6) } : {}),
    });
  }
  const decided = chance.between(Math.floor(bases / 2), writes.length - 1);
  const proven = chance.below(decided + 1);
  return {
    writes,
    decided,
    proven,
    forgotten: chance.once(2) ? 0 : chance.below(proven + 1),
    readFrom: chance.once(2) ? writes.length : chance.between(decided, writes.length),
  };
}

function randomMutation(chance: Chance, table: PlannedTable, unasked: boolean): RequestedMutation {
  const mutation = anyMutation(chance, table, unasked);
  if (chance.once(5)) mutation.preconditions.push(precondition(chance, table, unasked));
  return mutation;
}

function anyMutation(chance: Chance, table: PlannedTable, unasked: boolean): RequestedMutation {
  switch (chance.below(6)) {
    case 0:
      return insert(chance, table, "insert", unasked);
    case 1:
    case 2:
      return insert(chance, table, "upsert", unasked);
    case 3:
      // Main may take a key that is no value of its type for one without a row, as long as the table is empty.
      return { ...named(table, "delete"), key: valuesOf(chance, keyColumns(table)) };
    default: {
      const written = writable(table).filter(({ name }) => !table.key.includes(name));
      if (written.length === 0) return insert(chance, table, "upsert", unasked);
      return {
        ...named(table, "update"),
        key: valuesOf(chance, keyColumns(table), unasked),
        values: valuesOf(chance, chance.some(written, 1), unasked),
      };
    }
  }
}

function insert(
  chance: Chance,
  table: PlannedTable,
  operation: "insert" | "upsert",
  unasked: boolean,
): RequestedMutation {
  const columns = writable(table).filter(
    (column) =>
      table.key.includes(column.name) || (!column.nullable && column.default === undefined) || !chance.once(4),
  );
  return { ...named(table, operation), values: valuesOf(chance, columns, unasked) };
}

function named({ name }: PlannedTable, operation: RequestedMutation["operation"]): RequestedMutation {
  return { table: name, operation, key: {}, values: {}, preconditions: [] };
}

function precondition(chance: Chance, table: PlannedTable, unasked: boolean): RequestedPrecondition {
  if (chance.once(2)) return { kind: "row_exists", exists: chance.once(2) };
  return { kind: "columns_equal", values: valuesOf(chance, chance.draw(table.columns, chance.of([1, 1, 2])), unasked) };
}

function valuesOf(chance: Chance, columns: readonly PlannedColumn[], unasked = false): Record<string, Value> {
  return Object.fromEntries(columns.map((column) => [column.name, randomValue(chance, column, unasked)]));
}

export function randomValue(chance: Chance, { type, nullable }: PlannedColumn, unasked = false): Value {
  if (nullable && chance.once(6)) return { kind: "null" };
  const bad = type.bad && unasked && chance.once(6) ? type.bad : undefined;
  return { kind: "string", value: chance.of(bad ?? type.texts) };
}

export function writable({ columns }: PlannedTable): PlannedColumn[] {
  return columns.filter(({ generated }) => generated === undefined);
}

function keyColumns({ columns, key }: PlannedTable): PlannedColumn[] {
  return columns.filter(({ name }) => key.includes(name));
}
