import type { Catalog, Column, ColumnType } from "../../src/catalog/catalog.ts";
import { createCatalog, type TableContent } from "../../src/catalog/create-catalog.ts";
import type { ValueKind } from "../../src/value.ts";

/** A column type as the catalog would read it, for tests without a database. */
export function columnType(base: string, options: Partial<ColumnType> = {}): ColumnType {
  const array = options.array ?? false;
  return {
    display: base,
    castWithModifier: array ? `${base}[]` : base,
    cast: array ? `${base}[]` : base,
    base,
    typtype: options.enumValues ? "e" : "b",
    kind: kinds[base] ?? "text",
    array,
    domain: false,
    delimiter: ",",
    modifier: -1,
    enumValues: [],
    ...options,
  };
}

/** atttypmod of numeric(precision, scale). */
export function numericModifier(precision: number, scale: number): number {
  return ((precision << 16) | (scale & 0x7ff)) + 4;
}

/** atttypmod of varchar(length) and char(length). */
export function lengthModifier(length: number): number {
  return length + 4;
}

export function column(name: string, type: ColumnType, options: Partial<Column> = {}): Column {
  return {
    name,
    type,
    nullable: false,
    defaultExpression: undefined,
    generatedExpression: undefined,
    identity: "none",
    sequence: undefined,
    nondeterministic: false,
    collation: undefined,
    looseText: ["numeric", "float8", "float4", "jsonb"].includes(type.base) || type.domain,
    comment: "",
    ...options,
  };
}

export function table(name: string, columns: Column[], options: Partial<TableContent> = {}): TableContent {
  return {
    id: `public.${name}`,
    schema: "public",
    table: name,
    columns,
    primaryKey: [],
    foreignKeys: [],
    checks: [],
    heirs: [],
    comment: "",
    ...options,
  };
}

export function literalCatalog(...tables: TableContent[]): Catalog {
  return createCatalog(tables);
}

const kinds: Partial<Record<string, ValueKind>> = {
  bool: "bool",
  int2: "int64",
  int4: "int64",
  int8: "int64",
  float4: "double",
  float8: "double",
  numeric: "numeric",
  bytea: "bytes",
  timestamptz: "timestamp",
  timestamp: "timestamp",
  uuid: "uuid",
  json: "json",
  jsonb: "json",
};
