import type { Condition, TableQuery } from "../../src/query/table-query.ts";
import type { Chance } from "./chance.ts";
import type { PlannedColumn, PlannedTable } from "./random-schema.ts";
import { randomValue } from "./random-writes.ts";

/** A query of one table; `table` is its bare name. */
export function randomQuery(chance: Chance, table: PlannedTable): TableQuery {
  const ordered = table.columns.filter(({ type }) => !type.unordered);
  return {
    table: table.name,
    columns: chance.once(2) ? [] : chance.draw(table.columns, chance.between(1, 3)).map(({ name }) => name),
    where: chance.once(3) ? undefined : randomCondition(chance, table.columns, 2),
    orderBy: chance.draw(ordered, chance.of([0, 1, 1, 2, 3])).map(({ name }) => ({
      column: name,
      descending: chance.once(2),
    })),
    limit: chance.once(2) ? undefined : BigInt(chance.of([0, 1, 2, 3, 5, 8])),
    consistency: "merged",
    token: new Uint8Array(),
    batchSize: chance.of([1, 2, 3, 1000]),
  };
}

/** Every kind of condition has its maker here. */
const conditions: ((chance: Chance, columns: readonly PlannedColumn[], depth: number) => Condition)[] = [
  comparison,
  comparison,
  comparison,
  (chance, columns) => {
    const column = comparable(chance, columns);
    return {
      kind: "in",
      column: column.name,
      values: Array.from({ length: chance.below(4) }, () => randomValue(chance, column)),
      field: "where.in",
    };
  },
  (chance, columns) => ({ kind: "is_null", column: chance.of(columns).name, field: "where.is_null" }),
  (chance, columns, depth) => ({ kind: "and", conditions: several(chance, columns, depth) }),
  (chance, columns, depth) => ({ kind: "or", conditions: several(chance, columns, depth) }),
  (chance, columns, depth) => ({ kind: "not", condition: randomCondition(chance, columns, depth - 1) }),
];

function randomCondition(chance: Chance, columns: readonly PlannedColumn[], depth: number): Condition {
  const make = depth > 0 ? chance.of(conditions) : comparison;
  return make(chance, columns, depth);
}

function several(chance: Chance, columns: readonly PlannedColumn[], depth: number): Condition[] {
  return Array.from({ length: chance.of([0, 1, 2, 2, 3]) }, () => randomCondition(chance, columns, depth - 1));
}

function comparison(chance: Chance, columns: readonly PlannedColumn[]): Condition {
  const column = comparable(chance, columns);
  const field = "where.comparison";
  if (column.type.text && chance.once(3))
    return {
      kind: "comparison",
      column: column.name,
      operator: "LIKE",
      value: { kind: "string", value: chance.of(["a%", "%b", "_", "%", "A_%"]) },
      field,
    };
  return {
    kind: "comparison",
    column: column.name,
    operator: chance.of(column.type.unordered ? ["=", "<>"] : ["=", "<>", "<", "<=", ">", ">="]),
    value: randomValue(chance, column),
    field,
  };
}

function comparable(chance: Chance, columns: readonly PlannedColumn[]): PlannedColumn {
  return chance.of(columns.filter(({ type }) => !type.incomparable));
}
