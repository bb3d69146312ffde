/** What pg_proc says of one function. */
export interface SqlFunction {
  schema: string;
  name: string;
  /** pg_proc.provolatile: immutable, stable, volatile. */
  volatility: "i" | "s" | "v";
  /** Came with PostgreSQL itself. */
  builtIn: boolean;
  /** The extension that it belongs to. */
  extension: string | null;
}

/**
 * Why a client's statement may not use a function; undefined where it may. What a function reads cannot be seen from
 * outside, so one that may read tables could show what is stored instead of what will be, and one that does something
 * would do it although only reading is allowed.
 */
export function functionRefusal({ schema, name, volatility, builtIn, extension }: SqlFunction): string | undefined {
  const full = `${schema}.${name}()`;
  if (builtIn) {
    if (volatility === "v") return harmless.has(name) ? undefined : `${full} does more than compute a value`;
    if (readers.has(name)) return `${full} reads past the merged tables`;
    if (volatility === "s" && /^_?pg_/.test(name) && !described.has(name))
      return `${full} tells of the server, not of the data`;
    return undefined;
  }
  if (volatility === "i") return undefined;
  if (extension !== null && knownExtensions.has(extension) && (volatility === "s" || harmless.has(name)))
    return undefined;
  const word = volatility === "s" ? "STABLE" : "VOLATILE";
  return `${full} is ${word}, so it may read tables, which it would see as they are stored; only IMMUTABLE functions are allowed`;
}

/** Volatile for what they answer, not for what they do. */
const harmless: ReadonlySet<string> = words(`
  random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
  uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt`);

/** Not volatile, but they read tables, settings of the server, or take a transaction id. */
const readers: ReadonlySet<string> = words(`
  table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema schema_to_xml_and_xmlschema
  database_to_xml database_to_xmlschema database_to_xml_and_xmlschema query_to_xml query_to_xmlschema
  query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_stat current_setting txid_current
  txid_current_if_assigned txid_current_snapshot inet_client_addr inet_client_port inet_server_addr inet_server_port`);

/** Of the stable functions named pg_...: those about types and the schema. How a row is stored (pg_column_size) differs. */
const described: ReadonlySet<string> = words(`
  pg_typeof pg_basetype pg_collation_for pg_client_encoding pg_char_to_encoding pg_encoding_to_char pg_input_is_valid
  pg_input_error_info pg_timezone_names pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_get_expr
  pg_get_constraintdef pg_get_indexdef pg_get_viewdef pg_get_partkeydef pg_get_serial_sequence pg_get_userbyid
  pg_get_keywords pg_describe_object pg_has_role`);

/** Their stable functions read their own settings and dictionaries. */
const knownExtensions: ReadonlySet<string> = words(
  "pg_trgm unaccent uuid-ossp pgcrypto citext hstore ltree fuzzystrmatch",
);

function words(text: string): ReadonlySet<string> {
  return new Set(text.trim().split(/\s+/));
}
