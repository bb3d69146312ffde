import type pg from "pg";
import Cursor from "pg-cursor";
import type { Table } from "../catalog/catalog.ts";
import { aborted } from "../lib/abort.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import { type Position, parsePosition, START } from "../position.ts";
import type { Statement } from "../postgres/connection.ts";
import { parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { connectClient, rowsOf } from "../postgres/use-client.ts";
import type { TextValue } from "../value.ts";
import type { OverlaidSnapshot, ReadKnown, ReadRows, SameValue } from "./overlay.ts";
import type { RunStatement, TableStatement } from "./plan-query.ts";
import { rowsByKeySql } from "./rows-by-key.ts";

/**
 * One read-only snapshot of a database, on a connection of its own. Aborting the signal drops the connection; disposing
 * gives it back where the reading ended by itself.
 */
export class Snapshot implements AsyncDisposable, OverlaidSnapshot {
  readonly #client: pg.PoolClient;
  readonly #signal: AbortSignal;
  readonly #drop: () => void;
  #ended = false;
  #released = false;
  /**
   * Equal names see equal data; a database that was made again gives its transaction ids a second time, so the name has
   * the server's start in it. Undefined where nothing tells: on a standby pg_current_snapshot() leaves out which
   * transactions are in progress, so it names a snapshot only while there are none between its bounds.
   */
  readonly name: string | undefined;
  /** The site's cursor in the snapshot: every write up to here is in it, decided. */
  readonly cursor: Position;
  /** At least everything that the snapshot shows (read in it, so never a proof that something is shown). */
  readonly lsnAfter: Lsn;

  private constructor(
    client: pg.PoolClient,
    signal: AbortSignal,
    facts: { name: string | undefined; cursor: Position; lsnAfter: Lsn },
  ) {
    this.#client = client;
    this.#signal = signal;
    this.name = facts.name;
    this.cursor = facts.cursor;
    this.lsnAfter = facts.lsnAfter;
    this.#drop = () => this.#release(true);
    signal.addEventListener("abort", this.#drop, { once: true });
  }

  /** Opens it. `timeoutMs` becomes the statement timeout. */
  static async open(pool: pg.Pool, site: string, timeoutMs: number, signal: AbortSignal): Promise<Snapshot> {
    const client = await connectClient(pool, signal);
    try {
      const timeout = Math.max(1, Math.min(2_147_483_647, Math.ceil(timeoutMs)));
      const facts = await aborted(signal, begin(client, site, timeout));
      return new Snapshot(client, signal, facts);
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  readonly readRows: ReadRows = async (table: Table, keys) => {
    const rows = await this.#query(rowsByKeySql(table, keys));
    const found = new Map(rows.map(([n, ...row]) => [Number(n), row]));
    return keys.map((_, i) => found.get(i + 1) ?? null);
  };

  readonly readKnown: ReadKnown = async (writeIds) => {
    const rows = await this.#query(readLedger(writeIds));
    return new Set(rows.map((row) => parseLedgerRow(row).writeId));
  };

  readonly sameValue: SameValue = async (type, left, right) => {
    const cast = type.castWithModifier;
    const rows = await this.#query({
      text: `select $1::text::${cast} is not distinct from $2::text::${cast}`,
      values: [left, right],
    });
    return rows[0]?.[0] === "t";
  };

  /** The statement's rows, in batches. The reader's pace is the cursor's. */
  readonly stream: RunStatement = (statement, batchSize) => this.#stream(statement, batchSize);

  async *#stream(statement: TableStatement, batchSize: number): AsyncGenerator<TextValue[][]> {
    if (statement.memoryKb !== undefined) await this.#query({ text: `set local work_mem = ${statement.memoryKb}` });
    const cursor = this.#client.query(
      new Cursor<TextValue[]>(statement.text, statement.values, {
        rowMode: "array",
        types: { getTypeParser: () => same },
      }),
    );
    let read = true;
    try {
      for (let more = true; more; ) {
        read = false;
        const rows = await aborted(this.#signal, cursor.read(batchSize));
        read = true;
        more = rows.length === batchSize;
        if (rows.length > 0) yield rows;
      }
    } finally {
      // Also where the reader has enough; after an error the connection is dropped.
      if (read) await aborted(this.#signal, cursor.close());
    }
  }

  /** Ends it where all has been read, so that the connection can be used again. */
  async end(): Promise<void> {
    await aborted(this.#signal, this.#client.query("commit"));
    this.#ended = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal.removeEventListener("abort", this.#drop);
    this.#release(!this.#ended);
    await Promise.resolve();
  }

  #query(statement: Statement): Promise<(string | null)[][]> {
    return aborted(this.#signal, rowsOf(this.#client, statement));
  }

  #release(drop: boolean): void {
    if (this.#released) return;
    this.#released = true;
    this.#client.release(drop);
  }
}

const same = (value: string): string => value;

async function begin(client: pg.PoolClient, site: string, timeoutMs: number) {
  const begun = client.query(
    `begin isolation level repeatable read read only; set local statement_timeout = ${timeoutMs}`,
  );
  begun.catch(() => {}); // the next statement, sent right behind it, fails then as well
  const [row] = await rowsOf(client, {
    name: "opsdb_snapshot",
    text: `select pg_current_snapshot()::text, (select position from opsdb.cursor where site = $1),
      case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end,
      pg_postmaster_start_time()`,
    values: [site],
  });
  await begun;
  const [bounds, cursor, lsn, started] = row ?? [];
  const [xmin, xmax] = (bounds ?? "").split(":");
  return {
    name: xmin === xmax ? `${started} ${xmax}` : undefined,
    cursor: cursor == null ? START : parsePosition(cursor),
    lsnAfter: parseLsn(lsn ?? "0/0"),
  };
}
