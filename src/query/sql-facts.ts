import type { Statement } from "../postgres/connection.ts";
import type { SqlFunction } from "./sql-functions.ts";
import type { SqlNames } from "./sql-names.ts";

export interface RelationFacts {
  schema: string;
  name: string;
  /** pg_class.relkind. */
  kind: string;
  permanent: boolean;
  partition: boolean;
  rowSecurity: boolean;
  hasKey: boolean;
  /** As SELECT * gives them. */
  columns: string[];
  /** What it inherits from or is a partition of, all generations. */
  above: RelatedRelation[];
  /** The view's SELECT, with all names but those of pg_catalog qualified. */
  definition: string | null;
}

export interface RelatedRelation {
  schema: string;
  name: string;
}

/** One function of the name that was asked for, with those that it is made of where it is an aggregate. */
export interface CalledFunction extends SqlFunction {
  minArguments: number;
  maxArguments: number | null;
  parts: SqlFunction[];
}

/** What the database says of the names in a statement; lists in the order of the names. */
export interface SqlFacts {
  /** Null where there is no such relation. */
  relations: (RelationFacts | null)[];
  functions: CalledFunction[][];
  /** Functions of the operators by that name that did not come with PostgreSQL. */
  operators: SqlFunction[][];
  /** Functions that the type's constraints call. */
  types: SqlFunction[][];
  /** Casts that somebody made with a function: to a type, or by themselves. */
  casts: { type: string; implicit: boolean; function: SqlFunction }[];
}

/** Asks all of it in one statement. Unqualified names are looked for as the statement will: in pg_catalog, then public. */
export function readFacts(names: SqlNames): Statement {
  const relations = names.relations.map(({ schema, name }) => ({ schema, name }));
  const functions = names.functions.map(({ schema, name }) => ({ schema, name }));
  const operators = names.operators.map(({ schema, name }) => ({ schema, name }));
  const types = names.types.map(({ schema, name }) => ({ schema, name }));
  return {
    name: "opsdb_sql_facts",
    text: FACTS_SQL,
    values: [relations, functions, operators, types].map((list) => JSON.stringify(list)),
  };
}

export function parseFacts(rows: (string | null)[][]): SqlFacts {
  return JSON.parse(rows[0]?.[0] ?? "") as SqlFacts;
}

const where = (namespace: string) =>
  `(${namespace} = w.schema or w.schema is null and ${namespace} in ('pg_catalog', 'public'))`;

const FUNCTION = `json_build_object('schema', n.nspname, 'name', p.proname, 'volatility', p.provolatile, 'builtIn', p.oid < 16384,
  'extension',
  (select e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
   where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'))`;

const ABOVE = `coalesce((
  with recursive r (oid) as (
    select inhparent from pg_inherits where inhrelid = c.oid
    union select i.inhparent from pg_inherits i join r on i.inhrelid = r.oid)
  select json_agg(json_build_object('schema', rn.nspname, 'name', rc.relname))
  from r join pg_class rc on rc.oid = r.oid join pg_namespace rn on rn.oid = rc.relnamespace), '[]')`;

const FACTS_SQL = `
select json_build_object(
  'relations', (
    select json_agg((
      select json_build_object(
        'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'permanent', c.relpersistence = 'p',
        'partition', c.relispartition, 'rowSecurity', c.relrowsecurity,
        'hasKey', exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary),
        'columns', array(
          select a.attname from pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum),
        'above', ${ABOVE},
        'definition', case
          when c.relkind = 'v' and n.nspname not in ('pg_catalog', 'information_schema') then pg_get_viewdef(c.oid) end)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relname = w.name and ${where("n.nspname")} order by n.nspname <> 'pg_catalog' limit 1) order by w.place)
    from rows from (json_to_recordset($1::json) as (schema text, name text)) with ordinality w (schema, name, place)),
  'functions', (
    select json_agg(array(
      select (${FUNCTION}::jsonb || jsonb_build_object(
        'minArguments', case when p.provariadic <> 0 then 0 else p.pronargs - p.pronargdefaults end,
        'maxArguments', case when p.provariadic = 0 then p.pronargs end,
        'parts', (
          select coalesce(json_agg(${FUNCTION.replaceAll(/\b([np])\./g, "s$1.")}), '[]')
          from pg_aggregate g join pg_proc sp on p.oid >= 16384 and sp.oid in (
            g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn, g.aggminvtransfn,
            g.aggmfinalfn)
          join pg_namespace sn on sn.oid = sp.pronamespace
          where g.aggfnoid = p.oid)))::json
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where p.proname = w.name and ${where("n.nspname")}) order by w.place)
    from rows from (json_to_recordset($2::json) as (schema text, name text)) with ordinality w (schema, name, place)),
  'operators', (
    select json_agg(array(
      select ${FUNCTION}
      from pg_operator o join pg_namespace m on m.oid = o.oprnamespace
      join pg_proc p on p.oid = o.oprcode join pg_namespace n on n.oid = p.pronamespace
      where o.oprname = w.name and ${where("m.nspname")} and o.oid >= 16384) order by w.place)
    from rows from (json_to_recordset($3::json) as (schema text, name text)) with ordinality w (schema, name, place)),
  'types', (
    select json_agg(array(
      with recursive t (oid) as (
        select y.oid from pg_type y join pg_namespace m on m.oid = y.typnamespace
        where y.typname = w.name and ${where("m.nspname")} and y.oid >= 16384
        union
        select v.oid from t join pg_type y on y.oid = t.oid
        cross join lateral (
          select y.typbasetype union all select y.typelem
          union all select g.rngsubtype from pg_range g where g.rngtypid = y.oid
          union all select a.atttypid from pg_attribute a where a.attrelid = y.typrelid and a.attnum > 0) v (oid)
        where v.oid <> 0)
      select ${FUNCTION}
      from t join pg_constraint k on k.contypid = t.oid
      join pg_depend kd on kd.classid = 'pg_constraint'::regclass and kd.objid = k.oid and kd.refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = kd.refobjid join pg_namespace n on n.oid = p.pronamespace) order by w.place)
    from rows from (json_to_recordset($4::json) as (schema text, name text)) with ordinality w (schema, name, place)),
  'casts', (
    select json_agg(json_build_object('type', t.typname, 'implicit', k.castcontext = 'i', 'function', ${FUNCTION}))
    from pg_cast k join pg_type t on t.oid = k.casttarget
    join pg_proc p on p.oid = k.castfunc join pg_namespace n on n.oid = p.pronamespace
    where k.oid >= 16384))`;
