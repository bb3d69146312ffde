import type { WriteResponse } from "../gen/ts/opsdb/v1/write_pb.ts";
import type { MutationInit, Row } from "./site-client.ts";
import { show } from "./values.ts";

/** What the tables hold if every acknowledged write took effect once and in order, by the acknowledgements alone. */
export class ExpectedRows {
  readonly #tables = new Map<string, Map<string, Record<string, string>>>();
  readonly #keys: Record<string, readonly string[]>;

  /** The columns of each table's primary key. */
  constructor(keys: Record<string, readonly string[]>) {
    this.#keys = keys;
  }

  apply(mutations: readonly MutationInit[], response: WriteResponse): void {
    mutations.forEach((mutation, index) => {
      const table = mutation.table ?? "";
      const written = { ...shown(keyOf(mutation)), ...shown(response.rows[index]?.values ?? {}) };
      const key = this.#key(table, written);
      const rows = this.#tables.get(table) ?? new Map<string, Record<string, string>>();
      this.#tables.set(table, rows);
      if (mutation.operation?.case === "delete") rows.delete(key);
      else rows.set(key, { ...rows.get(key), ...written });
    });
  }

  of(table: string): Record<string, string>[] {
    return this.#sorted(table, [...(this.#tables.get(table)?.values() ?? [])]);
  }

  /** Rows of a result in the form and order of `of`. */
  seen(table: string, rows: readonly Row[]): Record<string, string>[] {
    return this.#sorted(table, rows.map(shown));
  }

  #sorted(table: string, rows: Record<string, string>[]): Record<string, string>[] {
    return rows.toSorted((a, b) => (this.#key(table, a) < this.#key(table, b) ? -1 : 1));
  }

  #key(table: string, row: Record<string, string>): string {
    return (this.#keys[table] ?? ["id"]).map((column) => row[column]).join(" ");
  }
}

/** The key that an update or a delete names. */
function keyOf({ operation }: MutationInit): Row {
  if (operation?.case !== "update" && operation?.case !== "delete") return {};
  return (operation.value.key ?? {}) as Row;
}

function shown(row: Row): Record<string, string> {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, show(value)]));
}
