import type { MutationInit, Row } from "./site-client.ts";

export function insert(table: string, values: Row): MutationInit {
  return { table, operation: { case: "insert", value: { values } } };
}

export function update(table: string, key: Row, values: Row): MutationInit {
  return { table, operation: { case: "update", value: { key, values } } };
}

export function upsert(table: string, values: Row): MutationInit {
  return { table, operation: { case: "upsert", value: { values } } };
}

export function remove(table: string, key: Row): MutationInit {
  return { table, operation: { case: "delete", value: { key } } };
}
