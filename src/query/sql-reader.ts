import type { Catalog } from "../catalog/catalog.ts";
import { encodeValue } from "../catalog/encode-value.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import { sizeOf } from "../postgres/row-bytes.ts";
import { sqlstateOf, translate } from "../postgres/sqlstate.ts";
import type { TextValue } from "../value.ts";
import { interruption } from "./interruption.ts";
import type { Overlay } from "./overlay.ts";
import type { ReadOptions, TableReader } from "./read-table.ts";
import { resultColumn } from "./result-column.ts";
import { Snapshot } from "./snapshot.ts";
import { translateSqlError } from "./sql-errors.ts";
import { mergeSql, SchemaChangedError, type SqlPiece } from "./sql-merge.ts";
import { namesOf } from "./sql-names.ts";
import { type ParsedSql, parseSql } from "./sql-parse.ts";
import type { SqlQuery, SqlSettings } from "./sql-query.ts";
import { SqlStatement } from "./sql-statement.ts";
import { readTypes } from "./sql-types.ts";
import type { QueryPart, ResultColumn } from "./table-query.ts";

/** What may arrive at once: more would be in memory before anybody could count it, bytes. */
const MAX_BATCH_BYTES = 64 * 1024 ** 2;

/** What a statement, its parameters and its result are once PostgreSQL has analysed it. */
interface Prepared {
  statement: SqlStatement;
  parameters: TextValue[];
  columns: ResultColumn[];
}

/** Reads with the client's own SQL, in the same snapshots and with the same pending writes as a table query. */
export class SqlReader {
  readonly #settings: SqlSettings;
  readonly #tables: TableReader;
  readonly #parsed = new WeakMap<SqlQuery, ParsedSql>();

  constructor(settings: SqlSettings, tables: TableReader) {
    this.#settings = settings;
    this.#tables = tables;
  }

  /**
   * What can be said without a database. Throws SQL_DISABLED, SQL_INVALID, SQL_REFUSED, and INVALID_FIELD for a wrong
   * number of parameters.
   */
  async check(query: SqlQuery): Promise<ParsedSql> {
    const known = this.#parsed.get(query);
    if (known) return known;
    if (!this.#settings.enabled)
      throw new OpsDbError("SQL_DISABLED", "this server takes no SQL; its operator can allow it with SQL_QUERIES=on", {
        field: "sql",
      });
    const parsed = await parseSql(query.sql);
    const { parameters } = namesOf(parsed);
    if (parameters !== query.parameters.length)
      throw new OpsDbError(
        "INVALID_FIELD",
        `the statement has ${parameters} parameters, and ${query.parameters.length} values were given`,
        { field: "parameters" },
      );
    this.#parsed.set(query, parsed);
    return parsed;
  }

  async *read(catalog: Catalog, query: SqlQuery, options: ReadOptions): AsyncGenerator<QueryPart> {
    const started = performance.now();
    try {
      yield* this.#read(catalog, query, options);
    } catch (error) {
      // It comes before the header.
      if (!(error instanceof SchemaChangedError) || !options.newerCatalog) throw error;
      const newer = await options.newerCatalog(options.signal);
      if (newer === catalog) throw error;
      yield* this.#read(newer, query, { ...options, timeoutMs: options.timeoutMs - (performance.now() - started) });
    }
  }

  async *#read(catalog: Catalog, query: SqlQuery, options: ReadOptions): AsyncGenerator<QueryPart> {
    const parsed = await this.check(query);
    const { pool, timeoutMs } = options;
    using deadline = new Deadline(timeoutMs);
    const signal = AbortSignal.any([options.signal, deadline.signal]);
    let statement: SqlStatement | undefined;
    try {
      await options.buffer?.toTail();
      const before = this.#tables.before(catalog.tables); // before the snapshot: G5
      using snapshot = await Snapshot.open(pool, this.#tables.site, timeoutMs, signal);
      await this.#begin(snapshot);
      const pieces = await mergeSql(parsed, {
        catalog,
        merged: this.#tables.merges,
        query: (asked) => snapshot.query(asked),
      });
      await this.#resolve(snapshot);
      const tables = pieces.flatMap((piece) => (piece.kind === "table" ? [piece.table] : []));
      const overlay = await this.#tables.overlay(snapshot, catalog, before, tables);
      await this.#become(snapshot);
      statement = assemble(parsed, pieces, overlay, query.parameters.length);
      // As of the statement: other reads let the overlay grow.
      const { cursor, lsnAfter } = await snapshot.facts();
      const [pendingWrites, position] = [overlay?.merged ?? 0, overlay?.upTo ?? cursor];
      const { parameters, columns } = await prepare(snapshot, statement, query);
      yield options.header({ columns, related: [], pendingWrites, position, lsnAfter });
      const rowCount = yield* this.#rows(snapshot, { statement, parameters, columns }, query);
      snapshot.end();
      yield { kind: "trailer", rowCount };
    } catch (error) {
      throw (
        interruption(error, options.signal, deadline.signal, "the statement took longer than the call's deadline") ??
        (statement && translateSqlError(error, (position) => statement?.spot(position))) ??
        translate(error, options.unavailable)
      );
    }
  }

  /** Until the client's statement comes: PostgreSQL qualifies every name of a view's definition that is not its own. */
  async #begin(snapshot: Snapshot): Promise<void> {
    await snapshot.query({
      name: "opsdb_sql_begin",
      // Without these strings the parser here and the one there could read different statements.
      text: `select set_config('search_path', 'pg_catalog', true), set_config('standard_conforming_strings', 'on', true),
        case when has_parameter_privilege('temp_file_limit', 'SET') then set_config('temp_file_limit', $1, true) end`,
      values: [`${Math.ceil(this.#settings.maxTempBytes / 1024)}kB`],
    });
  }

  /** Names mean from here on what was looked up; operators of types in public are found, as the overlay needs them. */
  async #resolve(snapshot: Snapshot): Promise<void> {
    await snapshot.query({ text: "select set_config('search_path', 'pg_catalog, public, pg_temp', true)" });
  }

  /** From here on the client's statement has the word, with no more rights than it is to have. */
  async #become(snapshot: Snapshot): Promise<void> {
    const { role } = this.#settings;
    if (role === undefined) return;
    try {
      await snapshot.query({ text: "select set_config('role', $1, true)", values: [role] });
    } catch (error) {
      if (sqlstateOf(error) === undefined) throw error;
      throw new OpsDbError("DATABASE_REFUSED", `SQL_ROLE ${role} cannot be taken: ${(error as Error).message}`, {
        metadata: { sqlstate: sqlstateOf(error) ?? "" },
        cause: error,
      });
    }
  }

  /** A result that is too large is an error, never cut. Answers how many rows there were. */
  async *#rows(snapshot: Snapshot, prepared: Prepared, query: SqlQuery): AsyncGenerator<QueryPart, number> {
    const { maxRows, maxBytes } = this.#settings;
    const limit = query.limit === undefined ? Number.POSITIVE_INFINITY : Number(query.limit);
    let rowCount = 0;
    let bytes = 0;
    const statement = { ...prepared.statement.run(prepared.parameters), limit, maxBatchBytes: MAX_BATCH_BYTES };
    for await (const rows of snapshot.run(statement, query.batchSize)) {
      rowCount += rows.length;
      for (const row of rows) bytes += sizeOf(row);
      if (rowCount > maxRows) throw tooLarge(`more than ${maxRows} rows`, "SQL_MAX_ROWS");
      if (bytes > maxBytes) throw tooLarge(`more than ${maxBytes} bytes`, "SQL_MAX_BYTES");
      yield { kind: "batch", rows };
    }
    return rowCount;
  }
}

function assemble(
  { text }: ParsedSql,
  pieces: readonly SqlPiece[],
  overlay: Overlay | undefined,
  parameters: number,
): SqlStatement {
  return new SqlStatement(text, pieces, ({ id }) => overlay?.table(id), parameters);
}

/** PostgreSQL says of which types the parameters are; then their values can be read, and the columns named. */
async function prepare(
  snapshot: Snapshot,
  statement: SqlStatement,
  query: SqlQuery,
): Promise<Pick<Prepared, "parameters" | "columns">> {
  const described = await snapshot.describe(statement.text);
  const count = query.parameters.length;
  const types = await readTypes(
    [...described.parameters.slice(0, count).map((type) => ({ type, modifier: -1 })), ...described.fields],
    (asked) => snapshot.query(asked),
  );
  const parameters = query.parameters.map((value, i) => {
    const type = types[i];
    if (!type) throw new Error(`bug: parameter ${i + 1} has no type`);
    return encodeValue(type, value, `parameters[${i}]`);
  });
  const columns = described.fields.map(({ name }, i): ResultColumn => {
    const type = types[count + i];
    if (!type) throw new Error(`bug: column ${name} has no type`);
    return resultColumn({ name, type });
  });
  return { parameters, columns };
}

function tooLarge(what: string, variable: string): OpsDbError {
  return new OpsDbError(
    "QUERY_TOO_LARGE",
    `the result has ${what}, which is the most that this server gives (${variable}): ask for less, with conditions or LIMIT`,
    { field: "sql", metadata: { limit: variable } },
  );
}
