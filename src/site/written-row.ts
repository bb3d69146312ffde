import type { Catalog, Table } from "../catalog/catalog.ts";
import type { Mutation, RequestedWrite, Write } from "../write.ts";
import type { WrittenRow } from "./site.ts";

/** What a mutation wrote: the whole row where the database told it, else what the mutation says. */
export function writtenRow(table: Table | undefined, mutation: Mutation, row?: readonly (string | null)[]): WrittenRow {
  // A stored write is acknowledged, also where its table has gone since.
  if (!table) return { table: mutation.table, columns: mutation.columns, values: mutation.values };
  const keyed = mutation.operation === "update" || mutation.operation === "delete";
  const columns = keyed ? [...table.primaryKey, ...mutation.columns] : mutation.columns;
  if (!row || keyed)
    return { table: table.name, columns, values: keyed ? [...mutation.key, ...mutation.values] : mutation.values };
  return { table: table.name, columns: table.columns.map(({ name }) => name), values: row };
}

/** The rows of a write, one for each mutation. */
export function writtenRows(catalog: Catalog, write: Write): WrittenRow[] {
  return write.mutations.map((mutation) => writtenRow(catalog.byId(mutation.table), mutation));
}

/**
 * What a repeated request determines of the rows that were written when it came first: what the client named, and the
 * keys, which the write id determines unless they came from a sequence. Defaults such as the time of the write are not
 * among them.
 */
export function determinedRows(catalog: Catalog, write: Write, requested: RequestedWrite): WrittenRow[] {
  return write.mutations.map((mutation, index) => {
    const table = catalog.byId(mutation.table);
    const row = writtenRow(table, mutation);
    const given = requested.mutations[index]?.values ?? {};
    const kept = row.columns.flatMap((name, i) =>
      Object.hasOwn(given, name) || (table?.primaryKey.includes(name) && !table.byName.get(name)?.sequence) ? [i] : [],
    );
    return {
      table: row.table,
      columns: kept.map((i) => row.columns[i] ?? ""),
      values: kept.map((i) => row.values[i] ?? null),
    };
  });
}
