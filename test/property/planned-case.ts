import type { TableQuery } from "../../src/query/table-query.ts";
import { Chance } from "./chance.ts";
import { randomQuery } from "./random-query.ts";
import { type PlannedSchema, randomSchema, schemaSql } from "./random-schema.ts";
import { type PlannedWrites, randomWrites } from "./random-writes.ts";

/** Everything that one case does; it depends on its seed alone. */
export interface PlannedCase extends PlannedWrites {
  seed: number;
  schema: PlannedSchema;
  queries: TableQuery[];
}

/** Seeds that share a schema follow each other: a schema takes longer to make than a case to run. */
export const CASES_OF_SCHEMA = 6;

export function schemaSeed(seed: number): number {
  return Math.floor(seed / CASES_OF_SCHEMA);
}

export function planCase(seed: number): PlannedCase {
  const schema = randomSchema(new Chance(schemaSeed(seed)));
  const chance = new Chance(seed);
  const writes = randomWrites(chance, schema);
  const queries = [
    ...schema.tables.map((table) => randomQuery(chance, schema, table)),
    ...Array.from({ length: 3 }, () => randomQuery(chance, schema, chance.of(schema.tables))),
  ];
  return { seed, schema, queries, ...writes };
}

/** The case in full, as a failing test prints it. */
export function describeCase({ seed, schema, queries, writes, ...rest }: PlannedCase): string {
  return [
    `replay with TEST_SEED=${seed}`,
    schemaSql("s", schema, false),
    `${json(rest)}`,
    ...writes.map((write, i) => `write ${i}${i < rest.decided ? " (decided)" : ""}: ${json(write)}`),
    ...queries.map((query) => `query: ${json(query)}`),
  ].join("\n");
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? Number(inner) : inner));
}
