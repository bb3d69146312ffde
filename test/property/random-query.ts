import type { Aggregate, ComparisonOperator, Condition, OrderTerm, TableQuery } from "../../src/query/table-query.ts";
import type { Value } from "../../src/value.ts";
import { wholeTable } from "../support/whole-table.ts";
import type { Chance } from "./chance.ts";
import type { PlannedColumn, PlannedSchema, PlannedTable } from "./random-schema.ts";
import { randomValue } from "./random-writes.ts";

/** A query of one table; `table` is its bare name. */
export function randomQuery(chance: Chance, schema: PlannedSchema, table: PlannedTable): TableQuery {
  const query = wholeTable({
    table: table.name,
    where: chance.once(3) ? undefined : randomCondition(chance, table.columns, 2),
    limit: chance.once(2) ? undefined : BigInt(chance.of([0, 1, 2, 3, 5, 8])),
    batchSize: chance.of([1, 2, 3, 1000]),
    identity: "this",
  });
  if (chance.once(6)) return { ...query, ...randomGroups(chance, table) };
  return {
    ...query,
    columns: randomOutput(chance, table),
    orderBy: randomOrder(chance, table.columns, chance.of([0, 1, 1, 2, 3])),
    related: chance.once(2) ? randomRelated(chance, schema, table) : [],
  };
}

function randomOutput(chance: Chance, { columns }: PlannedTable): string[] {
  return chance.once(2) ? [] : chance.draw(columns, chance.between(1, 3)).map(({ name }) => name);
}

function randomOrder(chance: Chance, columns: readonly PlannedColumn[], most: number): OrderTerm[] {
  const ordered = columns.filter(({ type }) => !type.unordered);
  return chance.draw(ordered, most).map(({ name }) => ({
    column: name,
    descending: chance.once(2),
    ...(chance.once(3) ? { nullsFirst: chance.once(2) } : {}),
  }));
}

/** Of groups and aggregates only those whose values have one text: which of several PostgreSQL shows is not said. */
function randomGroups(chance: Chance, { columns }: PlannedTable): Partial<TableQuery> {
  const exact = columns.filter(({ type }) => type.exact);
  const groupBy = chance.once(3) ? [] : chance.draw(exact, chance.of([1, 1, 2])).map(({ name }) => name);
  const numbers = exact.filter(({ type }) => type.number);
  const aggregates = Array.from({ length: chance.of([1, 1, 2, 3]) }, (_, i): Aggregate => {
    const name = `a${i}`;
    if (numbers.length > 0 && chance.once(2))
      return { function: chance.of(["sum", "avg", "min", "max"]), column: chance.of(numbers).name, name };
    const counted = columns.filter(({ type }) => !type.incomparable && !type.unordered);
    if (counted.length > 0 && chance.once(2))
      return { function: chance.of(["count", "count_distinct"]), column: chance.of(counted).name, name };
    return { function: "count", column: undefined, name };
  });
  return {
    aggregates,
    groupBy,
    // Ordered by all of its groups, a result has one order.
    orderBy: chance.once(2) ? groupBy.map((column) => ({ column, descending: chance.once(2) })) : [],
  };
}

function randomRelated(chance: Chance, { tables }: PlannedSchema, table: PlannedTable): TableQuery["related"] {
  const others = tables.filter(
    (other) =>
      !tables.some(({ inherits }) => inherits === other.name) && // its rows have no one order
      other.references.some((reference) => reference.table === table.name) !==
        table.references.some((reference) => reference.table === other.name),
  );
  return chance.draw(others, 1).map((other) => ({
    table: other.name,
    foreignKey: undefined,
    columns: randomOutput(chance, other),
    where: chance.once(2) ? undefined : randomCondition(chance, other.columns, 1),
    orderBy: randomOrder(chance, other.columns, chance.of([0, 1, 2])),
    limit: chance.once(2) ? undefined : BigInt(chance.of([0, 1, 2])),
    field: "related[0]",
  }));
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
  (chance, columns) => {
    const column = comparable(chance, columns);
    return {
      kind: "between",
      column: column.name,
      low: randomValue(chance, column),
      high: randomValue(chance, column),
      field: "where.between",
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

const equalities: ComparisonOperator[] = ["=", "<>", "IS NOT DISTINCT FROM"];
const comparisons: ComparisonOperator[] = [...equalities, "<", "<=", ">", ">="];

/** Operators that some types have besides, with values for them. */
const further: { of: RegExp; operators: ComparisonOperator[]; values?: string[] }[] = [
  { of: /\[\]$/, operators: ["@>", "<@", "&&"] },
  { of: /range$/, operators: ["@>", "<@", "&&", "<<", ">>", "-|-"] },
  { of: /^jsonb$/, operators: ["@>", "<@"] },
  { of: /^jsonb$/, operators: ["?"], values: ["a", "b"] },
  { of: /^jsonb$/, operators: ["@?"], values: ["$.a", "$[*] ? (@ > 0)"] },
  { of: /^(inet|cidr)$/, operators: ["@>", "<@", "&&"] },
  { of: /^tsvector$/, operators: ["@@"], values: ["a & b", "!a"] },
];

function comparison(chance: Chance, columns: readonly PlannedColumn[]): Condition {
  const column = comparable(chance, columns);
  const compared = (operator: ComparisonOperator, value: Value): Condition => ({
    kind: "comparison",
    column: column.name,
    operator,
    value,
    field: "where.comparison",
  });
  if (column.type.text && chance.once(3)) {
    const value = chance.of(["a%", "%b", "_", "%", "A_%"]);
    return compared(chance.of(["LIKE", "ILIKE"]), { kind: "string", value });
  }
  if (column.type.text && chance.once(6))
    return compared(chance.of(["~", "~*"]), { kind: "string", value: chance.of(["^a", "b$", "[ab]"]) });
  const more = further.filter(({ of }) => of.test(column.type.sql));
  if (more.length > 0 && chance.once(2)) {
    const { operators, values } = chance.of(more);
    return compared(
      chance.of(operators),
      values ? { kind: "string", value: chance.of(values) } : randomValue(chance, column),
    );
  }
  return compared(chance.of(column.type.unordered ? equalities : comparisons), randomValue(chance, column));
}

function comparable(chance: Chance, columns: readonly PlannedColumn[]): PlannedColumn {
  const some = columns.filter(({ type }) => !type.incomparable && !type.unordered);
  return chance.of(some);
}
