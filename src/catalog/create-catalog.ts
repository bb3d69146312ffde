import { createHash } from "node:crypto";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier } from "../postgres/quote.ts";
import type { Catalog, Column, Table } from "./catalog.ts";

/** A table without what follows from the rest of it: what a catalog is made of, and what its JSON form holds. */
export type TableContent = Omit<Table, "name" | "sql" | "ownSql" | "byName" | "looseKey">;

/** Makes a catalog of tables. The fingerprint depends on the content alone, not on the order of the tables. */
export function createCatalog(contents: readonly TableContent[]): Catalog {
  const sorted = contents.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const tables = Object.freeze(sorted.map(completeTable));
  const ids = new Map(tables.map((table) => [table.id, table]));
  return Object.freeze({
    fingerprint: createHash("sha256").update(JSON.stringify(sorted)).digest("hex").slice(0, 32),
    tables,
    byId: (id: string) => ids.get(id),
    table(name: string, field: string): Table {
      const table = ids.get(`public.${name}`) ?? ids.get(name);
      if (table) return table;
      throw new OpsDbError(
        "TABLE_NOT_FOUND",
        name === "" ? "no table is named" : `there is no table ${JSON.stringify(name)}`,
        {
          field,
          metadata: { table: name },
        },
      );
    },
  });
}

/** The catalog as JSON text, for starting while the database is away. */
export function serializeCatalog(catalog: Catalog): string {
  return JSON.stringify(
    catalog.tables.map(({ name, sql, ownSql, byName, looseKey, ...content }): TableContent => content),
  );
}

/** Reads what serializeCatalog wrote. Throws a SyntaxError for anything else. */
export function deserializeCatalog(text: string): Catalog {
  const contents: unknown = JSON.parse(text);
  if (!Array.isArray(contents)) throw new SyntaxError("not a catalog");
  return createCatalog(contents.map(readTable));
}

/** The catalog's key of a table. */
export function tableId(schema: string, table: string): string {
  return `${idPart(schema)}.${idPart(table)}`;
}

function idPart(name: string): string {
  return /[."]/.test(name) ? quoteIdentifier(name) : name;
}

function completeTable(content: TableContent): Table {
  const { schema, table } = content;
  const sql = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  const byName = new Map(content.columns.map((column) => [column.name, column]));
  return Object.freeze({
    ...content,
    name: schema === "public" ? idPart(table) : content.id,
    sql,
    ownSql: content.heirs.length > 0 ? `only ${sql}` : sql,
    byName,
    looseKey: content.primaryKey.some((key) => isLooseKey(byName.get(key))),
  });
}

/** The text of a numeric key is made the same for equal values when a write is completed. */
function isLooseKey(column: Column | undefined): boolean {
  return column?.looseText === true && !(column.type.base === "numeric" && !column.type.array && !column.type.domain);
}

/** JSON leaves out what is undefined; the same content has to give the same fingerprint and the same objects. */
function readTable(content: TableContent): TableContent {
  const columns = content.columns.map(
    (c): Column => ({
      name: c.name,
      type: c.type,
      nullable: c.nullable,
      defaultExpression: c.defaultExpression,
      generatedExpression: c.generatedExpression,
      identity: c.identity,
      sequence: c.sequence,
      nondeterministic: c.nondeterministic,
      collation: c.collation,
      looseText: c.looseText,
      comment: c.comment,
    }),
  );
  return { ...content, heirs: content.heirs ?? [], columns };
}
