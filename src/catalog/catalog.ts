import { OpsDbError } from "../errors.ts";
import type { ValueKind } from "../value.ts";

/** What the service needs to know of a type to check, send and read its values. */
export interface ColumnType {
  /** As format_type prints it with the modifier: "numeric(6,2)". For people. */
  display: string;
  /** SQL text for a cast with the modifier applied; quoted where needed. Made by PostgreSQL. */
  castWithModifier: string;
  /** SQL text for a cast to the bare type, so that assignment checks the length: "bpchar", never "character". */
  cast: string;
  /**
   * typname of the (base) type: "int4", "timestamptz"; the element type's for arrays, the domain's base type for
   * domains. With its schema where that is not pg_catalog: "public.citext".
   */
  base: string;
  /** pg_type.typtype of the column's own type: b base, e enum, d domain, c composite, r range, m multirange. */
  typtype: string;
  kind: ValueKind;
  array: boolean;
  /** A domain is in the chain from the column's type to its base, so its constraints hold as well. */
  domain: boolean;
  /** typdelim of the element type of an array; "," otherwise. */
  delimiter: string;
  /** atttypmod, or what the domain says; -1 for none. */
  modifier: number;
  enumValues: readonly string[];
}

/** A sequence of the main database whose values are a column's default. */
export interface Sequence {
  /** Its oid and its file: another one where it was dropped and made again, or restarted. */
  id: string;
  oid: string;
  /** "schema.sequence", for people. */
  name: string;
}

export interface Column {
  name: string;
  type: ColumnType;
  nullable: boolean;
  /** SQL of the default; undefined for none. */
  defaultExpression: string | undefined;
  /** SQL of a generated column; it cannot be written. */
  generatedExpression: string | undefined;
  /** The default is an identity or a sequence: it only moves on main. "always" cannot be given by a client. */
  identity: "none" | "by_default" | "always";
  /** Where the default is the next value of a sequence and nothing else, so that a value can be taken ahead. */
  sequence: Sequence | undefined;
  /** Texts that differ may be equal under its collation. */
  nondeterministic: boolean;
  /** SQL name of its collation, quoted where needed; undefined where its type has none. */
  collation: string | undefined;
  /**
   * Values that PostgreSQL holds for equal may have different texts (1.0 and 1.00, 24:00:00 and 1 day, anything in a
   * nondeterministic collation), or memory cannot bring a text into PostgreSQL's form.
   */
  looseText: boolean;
  comment: string;
}

export interface ForeignKey {
  name: string;
  columns: readonly string[];
  /** "schema.table". */
  referencedTable: string;
  referencedColumns: readonly string[];
}

export interface Check {
  name: string;
  expression: string;
  columns: readonly string[];
}

export interface Table {
  /** "schema.table"; the catalog's key. A part that has a dot or a quote in it is quoted, so that ids are unique. */
  id: string;
  /** The two parts of the id, as they are. */
  schema: string;
  table: string;
  /** What clients say: "table" in schema public, else "schema.table". */
  name: string;
  /** Quoted SQL name: `"public"."files"`. */
  sql: string;
  /** What to write to and to look for keys in: the rows of the table itself, without those of tables that inherit from it. */
  ownSql: string;
  columns: readonly Column[];
  byName: ReadonlyMap<string, Column>;
  /** Columns of the primary key in its order; empty for none. */
  primaryKey: readonly string[];
  /** Two texts may be the same key: only PostgreSQL can tell. */
  looseKey: boolean;
  foreignKeys: readonly ForeignKey[];
  checks: readonly Check[];
  /** Ids of all tables that inherit from it (a partition is not a table of its own): a read of it shows their rows too. */
  heirs: readonly string[];
  comment: string;
}

/** Tables by id and by the name that clients use. Immutable; a schema change makes a new one. */
export interface Catalog {
  /** Changes when anything in it does. */
  fingerprint: string;
  /** By what clients say, "table" or "schema.table". Throws TABLE_NOT_FOUND with the field. */
  table(name: string, field: string): Table;
  /** By id; undefined where it is gone. */
  byId(id: string): Table | undefined;
  readonly tables: readonly Table[];
}

/** The column of this name. Throws COLUMN_NOT_FOUND: for names that were checked before, the schema has changed since. */
export function columnOf(table: Table, name: string): Column {
  const column = table.byName.get(name);
  if (!column) throw new OpsDbError("COLUMN_NOT_FOUND", `table ${table.name} has no column ${name}`);
  return column;
}

/** Whether the service alone writes the table. */
export function isOwn(table: Table): boolean {
  return table.schema === "opsdb";
}

/** The columns of the primary key, in its order. */
export function keyColumns(table: Table): Column[] {
  return table.primaryKey.map((name) => columnOf(table, name));
}

/** The columns whose values come from a sequence and can be taken ahead. */
export function sequenceColumns(table: Table): readonly (Column & { sequence: Sequence })[] {
  let columns = knownSequenceColumns.get(table);
  if (!columns) {
    columns = table.columns.filter((column) => column.sequence !== undefined) as (Column & { sequence: Sequence })[];
    knownSequenceColumns.set(table, columns);
  }
  return columns;
}

/** Every write asks. */
const knownSequenceColumns = new WeakMap<Table, readonly (Column & { sequence: Sequence })[]>();
