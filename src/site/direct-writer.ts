import type pg from "pg";
import type { Catalog } from "../catalog/catalog.ts";
import { checkOnReplica } from "../catalog/check-on-replica.ts";
import type { Unchecked } from "../catalog/unchecked.ts";
import { OpsDbError } from "../errors.ts";
import { Deadline } from "../lib/abort.ts";
import { inSpan } from "../lib/trace.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import type { Statement } from "../postgres/connection.ts";
import { insertApplied, type LedgerRow, parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { classify, messageOf, sqlstateOf, translate } from "../postgres/sqlstate.ts";
import { queryRows, rowsOf, useClient } from "../postgres/use-client.ts";
import { preconditionStatement, returningStatement } from "../processor/effects.ts";
import type { Mutation, Write } from "../write.ts";
import type { WrittenRow } from "./site.ts";
import { writtenRow } from "./written-row.ts";

export type DirectResult =
  | { kind: "written"; rows: WrittenRow[]; lsn: Lsn; at: Date }
  /** The write id has a ledger row already; nothing was done. */
  | { kind: "known"; ledger: LedgerRow };

export interface DirectWriterOptions {
  pool: pg.Pool;
  site: string;
  unavailable: "MAIN_UNAVAILABLE" | "LOCAL_UNAVAILABLE";
  /** A statement that is not answered in this time is given up, and its transaction with it, milliseconds. */
  timeoutMs: number;
}

/**
 * Writes straight to one database: one transaction with the write's ledger row, so that a repeated write id is one
 * write here as well. A transaction that has begun ends by itself, whether or not its caller still waits.
 */
export class DirectWriter {
  readonly #options: DirectWriterOptions;

  constructor(options: DirectWriterOptions) {
    this.#options = options;
  }

  /** The ledger row of a write; undefined where there is none. */
  async find(writeId: string): Promise<LedgerRow | undefined> {
    try {
      using deadline = new Deadline(this.#options.timeoutMs);
      const [row] = await queryRows(this.#options.pool, deadline.signal, readLedger([writeId]));
      return row && parseLedgerRow(row);
    } catch (error) {
      throw translate(error, this.#options.unavailable);
    }
  }

  /** Lets the database check what memory could not, so that an error names its field. */
  async check(catalog: Catalog, write: Write, unchecked: readonly Unchecked[]): Promise<void> {
    if (unchecked.length === 0) return;
    using deadline = new Deadline(this.#options.timeoutMs);
    try {
      await useClient(this.#options.pool, deadline.signal, (client) =>
        checkOnReplica(client, catalog, write, unchecked),
      );
    } catch (error) {
      throw translate(error, this.#options.unavailable);
    }
  }

  /** Throws what the database refuses, with the field of the mutation at fault; then nothing was stored. */
  async write(catalog: Catalog, write: Write): Promise<DirectResult> {
    const attributes = { "db.system.name": "postgresql", "opsdb.write_id": write.writeId };
    return await inSpan({ name: "apply", attributes }, () => this.#write(catalog, write));
  }

  async #write(catalog: Catalog, write: Write): Promise<DirectResult> {
    let client: pg.PoolClient;
    try {
      client = await this.#options.pool.connect(); // within its connection timeout
    } catch (error) {
      throw translate(error, this.#options.unavailable);
    }
    let mutation = -1;
    let committing = false;
    try {
      await this.#rows(client, { text: "begin" });
      const known = await this.#claim(client, write);
      if (known) {
        await this.#rows(client, { text: "rollback" });
        client.release();
        return { kind: "known", ledger: known };
      }
      const rows: WrittenRow[] = [];
      for (mutation = 0; mutation < write.mutations.length; mutation++)
        rows.push(await this.#apply(client, catalog, write.mutations[mutation] as Mutation, mutation));
      committing = true;
      mutation = -1;
      await this.#rows(client, { text: "commit" });
      const [[lsn, seconds] = []] = await this.#rows(client, {
        name: "opsdb_lsn",
        text: "select pg_current_wal_lsn(), extract(epoch from clock_timestamp())",
      });
      client.release();
      return { kind: "written", rows, lsn: parseLsn(lsn ?? ""), at: new Date(Number(seconds) * 1_000) };
    } catch (error) {
      client.release(true); // its transaction ends with it
      throw this.#translate(error, write, mutation, committing);
    }
  }

  async #claim(client: pg.PoolClient, write: Write): Promise<LedgerRow | undefined> {
    // Waits for a concurrent transaction of the same id; a plain insert would end this transaction instead of answering.
    const insert = insertApplied(this.#options.site, [{ position: undefined, write }]);
    const claimed = await this.#rows(client, {
      name: "opsdb_claim",
      text: `${insert.text} on conflict (write_id) do nothing returning 1`,
      values: insert.values ?? [],
    });
    if (claimed.length > 0) return undefined;
    const [row] = await this.#rows(client, readLedger([write.writeId]));
    return row && parseLedgerRow(row);
  }

  async #apply(client: pg.PoolClient, catalog: Catalog, mutation: Mutation, index: number): Promise<WrittenRow> {
    const table = catalog.byId(mutation.table);
    if (!table) throw new OpsDbError("TABLE_NOT_FOUND", `table ${mutation.table} does not exist any more`);
    for (const precondition of mutation.preconditions)
      await this.#rows(client, preconditionStatement(table, mutation.key, precondition));
    const [row] = await this.#rows(client, returningStatement(table, mutation));
    if (!row && mutation.operation === "update")
      throw new OpsDbError("ROW_NOT_FOUND", `table ${table.name} has no row with this key`, {
        field: `mutations[${index}].update.key`,
        metadata: { table: table.name },
      });
    return writtenRow(table, mutation, row);
  }

  #rows(client: pg.PoolClient, statement: Statement): Promise<(string | null)[][]> {
    return rowsOf(client, statement, this.#options.timeoutMs);
  }

  #translate(error: unknown, write: Write, mutation: number, committing: boolean): OpsDbError {
    if (committing && classify(error) !== "permanent")
      return new OpsDbError(
        this.#options.unavailable,
        `the commit was not confirmed (${messageOf(error)}); whether it happened is unknown: retry with the same write id`,
        { metadata: { write_id: write.writeId }, retryAfterMs: 1_000, cause: error },
      );
    const translated = translate(error, this.#options.unavailable);
    if (mutation < 0 || translated.field !== undefined || sqlstateOf(error) === undefined) return translated;
    return new OpsDbError(translated.reason, translated.message, {
      field: `mutations[${mutation}]`,
      metadata: translated.metadata,
      cause: error,
    });
  }
}
