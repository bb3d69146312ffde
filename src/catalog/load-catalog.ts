import type { ValueKind } from "../value.ts";
import type { Catalog, Check, Column, ColumnType, Sequence } from "./catalog.ts";
import { createCatalog, type TableContent, tableId } from "./create-catalog.ts";
import { isFullyChecked } from "./encode-value.ts";

/** What loadCatalog needs of a pg Pool or Client. */
export interface CatalogSource {
  query(text: string): Promise<unknown>;
}

/**
 * Reads all logged tables that are not PostgreSQL's or the service's own, and of the latter the record of operators'
 * actions, which a secondary site writes and reads like any other; in one round trip and one implicit transaction. Partitions are part of their table and are left out; unlogged tables never reach a replica.
 * Not on a connection that pipelines: two statements go in one message.
 */
export async function loadCatalog(source: CatalogSource): Promise<Catalog> {
  // With nothing but pg_catalog on the path, PostgreSQL itself qualifies every other name that it prints.
  const results = await source.query(`set local search_path to pg_catalog; ${CATALOG_SQL}`);
  const content = JSON.parse(onlyText(results)) as CatalogRow;
  const types = new Map((content.types ?? []).map((type) => [type.oid, type]));
  return createCatalog((content.tables ?? []).map((table) => readTable(table, types)));
}

/** What TYPE_OBJECT gives. */
export interface TypeRow {
  oid: string;
  schema: string;
  name: string;
  typtype: string;
  base: string;
  base_modifier: number;
  element: string | null;
  delimiter: string;
  not_null: boolean;
  default: string | null;
  formatted: string;
  labels: string[] | null;
}

interface ColumnRow {
  name: string;
  type: string;
  modifier: number;
  formatted: string;
  not_null: boolean;
  identity: string;
  generated: boolean;
  expression: string | null;
  sequences: Sequence[] | null;
  nondeterministic: boolean | null;
  collation: string | null;
  comment: string | null;
}

interface TableRow {
  schema: string;
  name: string;
  comment: string | null;
  columns: ColumnRow[] | null;
  primary_key: string[] | null;
  checks: Check[] | null;
  heirs: { schema: string; name: string }[] | null;
  foreign_keys: { name: string; columns: string[]; schema: string; table: string; referenced: string[] }[] | null;
}

interface CatalogRow {
  tables: TableRow[] | null;
  types: TypeRow[] | null;
}

/** What readType needs to know of the type `t`; of its element and base type it needs the same. */
export const TYPE_OBJECT = `json_build_object(
  'oid', t.oid::text, 'schema', n.nspname, 'name', t.typname, 'typtype', t.typtype,
  'base', t.typbasetype::text, 'base_modifier', t.typtypmod, 'not_null', t.typnotnull,
  'default', pg_get_expr(t.typdefaultbin, 0),
  'element', (select e.oid::text from pg_type e where e.oid = t.typelem and e.typarray = t.oid),
  'delimiter', t.typdelim, 'formatted', format_type(t.oid, -1),
  'labels', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))`;

const CATALOG_SQL = `
with recursive chosen as (
  select c.oid, n.nspname, c.relname, c.relkind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition
    and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and (n.nspname <> 'opsdb' or c.relname = 'operator_action')
), heirs (ancestor, heir) as (
  select i.inhparent, i.inhrelid from pg_inherits i join chosen c on c.oid = i.inhparent and c.relkind = 'r'
  union
  select h.ancestor, i.inhrelid from heirs h join pg_inherits i on i.inhparent = h.heir
), attributes as (
  select a.* from pg_attribute a join chosen c on c.oid = a.attrelid where a.attnum > 0 and not a.attisdropped
), used (oid) as (
  select atttypid from attributes
  union
  select inner_type from used join pg_type t on t.oid = used.oid, lateral (values (t.typelem), (t.typbasetype)) v (inner_type)
  where inner_type <> 0
), sequences as (
  select c.oid, json_build_object(
    'id', format('%s/%s', c.oid, c.relfilenode), 'oid', c.oid::text, 'name', format('%I.%I', n.nspname, c.relname)) as found
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_sequence s on s.seqrelid = c.oid
  where c.relpersistence = 'p' and not s.seqcycle
), behind (relation, attnum, sequence) as (
  select o.refobjid, o.refobjsubid, o.objid from pg_depend o
  where o.classid = 'pg_class'::regclass and o.refclassid = 'pg_class'::regclass and o.deptype = 'i'
  union
  select d.adrelid, d.adnum, o.refobjid from pg_depend o join pg_attrdef d on d.oid = o.objid
  where o.classid = 'pg_attrdef'::regclass and o.refclassid = 'pg_class'::regclass and o.deptype = 'n'
)
select json_build_object(
  'types', (
    select json_agg(${TYPE_OBJECT})
    from used join pg_type t on t.oid = used.oid join pg_namespace n on n.oid = t.typnamespace),
  'tables', (
    select json_agg(json_build_object(
      'schema', c.nspname, 'name', c.relname, 'comment', obj_description(c.oid, 'pg_class'),
      'columns', (
        select json_agg(json_build_object(
          'name', a.attname, 'type', a.atttypid::text, 'modifier', a.atttypmod,
          'formatted', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull, 'identity', a.attidentity,
          'generated', a.attgenerated <> '', 'expression', pg_get_expr(d.adbin, d.adrelid),
          'sequences', (
            select json_agg(s.found) from behind b join sequences s on s.oid = b.sequence
            where b.relation = a.attrelid and b.attnum = a.attnum),
          'nondeterministic', (select not l.collisdeterministic from pg_collation l where l.oid = a.attcollation),
          'collation', (
            select format('%I.%I', n.nspname, l.collname)
            from pg_collation l join pg_namespace n on n.oid = l.collnamespace where l.oid = a.attcollation),
          'comment', col_description(a.attrelid, a.attnum)) order by a.attnum)
        from attributes a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid),
      'primary_key', (
        select json_agg(a.attname order by k.place)
        from pg_index i, lateral unnest(i.indkey) with ordinality k (attnum, place), attributes a
        where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts
          and a.attrelid = c.oid and a.attnum = k.attnum),
      'checks', (
        select json_agg(json_build_object(
          'name', o.conname, 'expression', pg_get_expr(o.conbin, o.conrelid),
          'columns', array(
            select a.attname from attributes a
            where a.attrelid = c.oid and (a.attnum = any (o.conkey) or 0 = any (o.conkey)) order by a.attnum))
          order by o.conname)
        from pg_constraint o
        where o.conrelid = c.oid and o.contype = 'c' and coalesce(to_jsonb(o) ->> 'conenforced', 'true') = 'true'),
      'heirs', (
        select json_agg(json_build_object('schema', o.nspname, 'name', o.relname) order by o.nspname, o.relname)
        from heirs h join chosen o on o.oid = h.heir where h.ancestor = c.oid),
      'foreign_keys', (
        select json_agg(json_build_object(
          'name', o.conname, 'schema', n.nspname, 'table', r.relname,
          'columns', (
            select json_agg(a.attname order by k.place)
            from unnest(o.conkey) with ordinality k (attnum, place), pg_attribute a
            where a.attrelid = o.conrelid and a.attnum = k.attnum),
          'referenced', (
            select json_agg(a.attname order by k.place)
            from unnest(o.confkey) with ordinality k (attnum, place), pg_attribute a
            where a.attrelid = o.confrelid and a.attnum = k.attnum)) order by o.conname)
        from pg_constraint o join pg_class r on r.oid = o.confrelid join pg_namespace n on n.oid = r.relnamespace
        where o.conrelid = c.oid and o.contype = 'f' and o.conparentid = 0)))
    from chosen c))::text`;

/** The one value of the last statement's one row. */
function onlyText(results: unknown): string {
  const last: unknown = Array.isArray(results) ? results.at(-1) : results;
  const rows = (last as { rows: Record<string, unknown>[] }).rows;
  const text = Object.values(rows[0] ?? {})[0];
  if (typeof text !== "string") throw new TypeError("bug: the catalog query gave no text");
  return text;
}

function readTable(row: TableRow, types: ReadonlyMap<string, TypeRow>): TableContent {
  return {
    id: tableId(row.schema, row.name),
    schema: row.schema,
    table: row.name,
    columns: (row.columns ?? []).map((column) => readColumn(column, types)),
    primaryKey: row.primary_key ?? [],
    foreignKeys: (row.foreign_keys ?? []).map((key) => ({
      name: key.name,
      columns: key.columns,
      referencedTable: tableId(key.schema, key.table),
      referencedColumns: key.referenced,
    })),
    checks: row.checks ?? [],
    heirs: (row.heirs ?? []).map(({ schema, name }) => tableId(schema, name)),
    comment: row.comment ?? "",
  };
}

function readColumn(row: ColumnRow, types: ReadonlyMap<string, TypeRow>): Column {
  const own = typeOf(types, row.type);
  const expression = row.expression ?? own.default ?? undefined;
  const sequence = !row.generated && expression !== undefined && /\bnextval\(/.test(expression);
  const type = readType(row, own, types);
  return {
    name: row.name,
    type,
    nullable: !row.not_null && !own.not_null,
    defaultExpression: row.generated ? undefined : expression,
    generatedExpression: row.generated ? (row.expression ?? "") : undefined,
    identity: row.identity === "a" ? "always" : row.identity === "d" || sequence ? "by_default" : "none",
    sequence: isNextValue(row, type, expression) ? row.sequences?.[0] : undefined,
    nondeterministic: row.nondeterministic ?? false,
    collation: row.collation ?? undefined,
    looseText: !isFullyChecked(type) || row.nondeterministic === true || hasLooseText(type),
    comment: row.comment ?? "",
  };
}

/** Whether the default is the next value of one sequence, as it is. */
function isNextValue(row: ColumnRow, type: ColumnType, expression: string | undefined): boolean {
  if (row.generated || type.array || type.domain || !["int2", "int4", "int8"].includes(type.base)) return false;
  if (row.sequences?.length !== 1) return false;
  return row.identity !== "" || (expression !== undefined && NEXT_VALUE.test(expression));
}

const NEXT_VALUE = /^\(?nextval\('(?:[^']|'')+'::regclass\)\)?(?:::(?:smallint|integer|bigint))?$/;

/** Of the types that memory knows. Floats have -0, and sometimes two texts of the same length. */
function hasLooseText({ base, modifier }: ColumnType): boolean {
  return ["numeric", "float4", "float8", "json", "jsonb"].includes(base) || (base === "bpchar" && modifier === -1);
}

/** Follows domains and one array down to the type whose values are checked and sent. */
export function readType(
  row: { modifier: number; formatted: string },
  own: TypeRow,
  types: ReadonlyMap<string, TypeRow>,
): ColumnType {
  let type = own;
  let modifier = row.modifier;
  let array = false;
  let domain = false;
  for (;;) {
    if (type.typtype === "d") {
      domain = true;
      if (modifier === -1) modifier = type.base_modifier;
      type = typeOf(types, type.base);
    } else if (type.element !== null && !array) {
      array = true;
      type = typeOf(types, type.element);
    } else break;
  }
  return {
    display: row.formatted.replace(/^public\./, ""),
    castWithModifier: row.formatted,
    cast: own.formatted,
    base: type.schema === "pg_catalog" ? type.name : `${type.schema}.${type.name}`,
    typtype: own.typtype,
    kind: type.schema === "pg_catalog" ? (kinds[type.name] ?? "text") : "text",
    array,
    domain,
    delimiter: array ? type.delimiter : ",",
    modifier,
    enumValues: type.labels ?? [],
  };
}

function typeOf(types: ReadonlyMap<string, TypeRow>, oid: string): TypeRow {
  const type = types.get(oid);
  if (!type) throw new Error(`bug: type ${oid} was not read`);
  return type;
}

/** How values of PostgreSQL's own types go out; "text" for those that are not here. */
export const kinds: Partial<Record<string, ValueKind>> = {
  bool: "bool",
  int2: "int64",
  int4: "int64",
  int8: "int64",
  oid: "int64",
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
