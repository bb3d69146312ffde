import type { ColumnType } from "../catalog/catalog.ts";
import { readType, TYPE_OBJECT, type TypeRow } from "../catalog/load-catalog.ts";
import type { Statement } from "../postgres/connection.ts";

export interface TypeReference {
  /** OID. */
  type: number;
  /** -1 for none. */
  modifier: number;
}

/** OIDs from here on belong to what somebody has made, and may mean something else tomorrow. */
const FIRST_USER_OID = 16_384;
const builtIn = new Map<string, ColumnType>();

/** What the service needs to know of these types, in their order; asks the snapshot for those that it does not know. */
export async function readTypes(
  references: readonly TypeReference[],
  query: (statement: Statement) => Promise<(string | null)[][]>,
): Promise<ColumnType[]> {
  const known = new Map(builtIn);
  const missing = new Map(references.map((reference) => [keyOf(reference), reference]));
  for (const key of missing.keys()) if (known.has(key)) missing.delete(key);
  if (missing.size > 0) {
    const asked = [...missing.values()];
    const rows = await query({
      name: "opsdb_sql_types",
      text: TYPES_SQL,
      values: [asked.map(({ type }) => type), asked.map(({ modifier }) => modifier)],
    });
    const { types, formatted } = JSON.parse(rows[0]?.[0] ?? "") as { types: TypeRow[]; formatted: string[] };
    const byOid = new Map(types.map((type) => [type.oid, type]));
    asked.forEach((reference, i) => {
      const own = byOid.get(String(reference.type));
      if (!own) throw new Error(`bug: type ${reference.type} was not read`);
      const type = readType({ modifier: reference.modifier, formatted: formatted[i] ?? "" }, own, byOid);
      known.set(keyOf(reference), type);
      // Modifiers are many: numeric(9,3) of one table and numeric(8,2) of another.
      if (reference.type < FIRST_USER_OID && builtIn.size < 10_000) builtIn.set(keyOf(reference), type);
    });
  }
  return references.map((reference) => {
    const type = known.get(keyOf(reference));
    if (!type) throw new Error(`bug: type ${reference.type} was not read`);
    return type;
  });
}

function keyOf({ type, modifier }: TypeReference): string {
  return `${type} ${modifier}`;
}

const TYPES_SQL = `
with recursive used (oid) as (
  select unnest($1::oid[])
  union
  select inner_type from used join pg_type t on t.oid = used.oid, lateral (values (t.typelem), (t.typbasetype)) v (inner_type)
  where inner_type <> 0)
select json_build_object(
  'types', (
    select json_agg(${TYPE_OBJECT})
    from used join pg_type t on t.oid = used.oid join pg_namespace n on n.oid = t.typnamespace),
  'formatted', (
    select json_agg(format_type(a.oid, a.modifier) order by a.place)
    from unnest($1::oid[], $2::int[]) with ordinality a (oid, modifier, place)))`;
