import type pg from "pg";
import Cursor from "pg-cursor";
import { OpsDbError } from "../errors.ts";
import { aborted } from "../lib/abort.ts";
import { type LinkedSignal, linkSignals } from "../lib/linked-signal.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import { type Position, parsePosition, START } from "../position.ts";
import type { Statement } from "../postgres/connection.ts";
import { queryTogether } from "../postgres/query-together.ts";
import type { ResultRow, RowBytes } from "../postgres/row-bytes.ts";
import { RowTap } from "../postgres/row-tap.ts";
import { refusesValue } from "../postgres/sqlstate.ts";
import { connectClient, rowsOf } from "../postgres/use-client.ts";
import type { TextValue } from "../value.ts";
import type { SnapshotSource } from "./overlay-base.ts";
import type { RunStatement, TableStatement } from "./plan-query.ts";
import { describeStatement, type SqlDescription } from "./sql-describe.ts";
import { withinBytes } from "./within-bytes.ts";

/** What a snapshot says of itself. */
export interface SnapshotFacts {
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
}

/**
 * One read-only snapshot of a database, on a connection of its own. It is taken by the first statement, in the same
 * message, or by asking for its facts. Aborting the signal drops the connection; disposing gives it back where the
 * reading ended by itself.
 */
export class Snapshot implements Disposable, SnapshotSource {
  readonly #client: pg.PoolClient;
  readonly #signal: AbortSignal;
  readonly #begin: readonly Statement[];
  /** Also where the connection ends: the driver's cursor does not always hear of it. */
  readonly #linked: LinkedSignal;
  readonly #drop: () => void;
  readonly #gone: () => void;
  #facts: Promise<SnapshotFacts> | undefined;
  #ended = false;
  #released = false;

  private constructor(client: pg.PoolClient, signal: AbortSignal, begin: readonly Statement[]) {
    this.#client = client;
    this.#linked = linkSignals(signal);
    this.#signal = this.#linked.signal;
    this.#begin = begin;
    this.#drop = () => this.#release(true);
    this.#signal.addEventListener("abort", this.#drop, { once: true });
    this.#gone = () => this.#linked.abort(new Error("Connection terminated unexpectedly"));
    client.once("end", this.#gone);
  }

  /** Takes a connection for it. `timeoutMs` becomes the statement timeout. */
  static async open(pool: pg.Pool, site: string, timeoutMs: number, signal: AbortSignal): Promise<Snapshot> {
    const client = await connectClient(pool, signal);
    const timeout = Math.max(1, Math.min(2_147_483_647, Math.ceil(timeoutMs)));
    return new Snapshot(client, signal, beginning(site, timeout));
  }

  /** Takes the snapshot where nothing has taken it yet. */
  facts(): Promise<SnapshotFacts> {
    this.#facts ??= this.#taken(aborted(this.#signal, queryTogether(this.#client, this.#begin)));
    return this.#facts;
  }

  async query(statement: Statement): Promise<TextValue[][]> {
    refuseTooManyValues(statement);
    if (this.#facts) return await aborted(this.#signal, rowsOf(this.#client, statement));
    const results = aborted(this.#signal, queryTogether(this.#client, [...this.#begin, statement]));
    this.#facts = this.#taken(results);
    return (await results).at(-1) ?? [];
  }

  /** Begin, statement and end of the transaction in one message. */
  async #only(statement: Statement): Promise<TextValue[][]> {
    const results = aborted(this.#signal, queryTogether(this.#client, [...this.#begin, statement, commit]));
    this.#facts = this.#taken(results);
    return (await results).at(-2) ?? [];
  }

  #taken(results: Promise<TextValue[][][]>): Promise<SnapshotFacts> {
    const facts = results.then((rows) => factsOf(rows[this.#begin.length - 1]?.[0] ?? []));
    facts.catch(() => {}); // whoever sent the statement hears of it
    return facts;
  }

  async attempt(statement: Statement): Promise<TextValue[][] | undefined> {
    await this.facts(); // without a transaction the statement would not be read-only
    const begun = this.query({ text: "savepoint opsdb_attempt" });
    begun.catch(() => {}); // the statement, sent right behind it, fails then as well
    try {
      const rows = await this.query(statement);
      await this.query({ text: "release savepoint opsdb_attempt" });
      return rows;
    } catch (error) {
      if (!refusesValue(error)) throw error;
      await this.query({ text: "rollback to savepoint opsdb_attempt" });
      return undefined;
    }
  }

  /** What a statement takes and gives; PostgreSQL analyses it and does not run it. */
  async describe(text: string): Promise<SqlDescription> {
    await this.facts();
    return await aborted(this.#signal, describeStatement(this.#client, text));
  }

  /** The statement's rows, in batches. The reader's pace is the cursor's, which is one batch ahead of it. */
  readonly run: RunStatement = (statement, batchSize) => this.#run(statement, batchSize);

  async *#run(statement: TableStatement, batchSize: number): AsyncGenerator<ResultRow[]> {
    if (statement.memoryKb !== undefined) await this.query({ text: `set local work_mem = ${statement.memoryKb}` });
    const isSmall = statement.atMost !== undefined && statement.atMost <= Math.min(batchSize, SMALL_RESULT);
    if (isSmall && statement.alone && !this.#facts) {
      const rows = await withinBytes(this.#client, MOST_BATCH_BYTES, this.#only(statement));
      this.#release(false); // nothing is left to be read, at whatever pace the reader takes these
      yield rows;
    } else if (isSmall) yield await withinBytes(this.#client, MOST_BATCH_BYTES, this.query(statement));
    else yield* this.#stream(statement, batchSize);
  }

  async *#stream(statement: TableStatement, batchSize: number): AsyncGenerator<ResultRow[]> {
    refuseTooManyValues(statement);
    await this.facts();
    using tap = new RowTap(this.#client);
    const cursor = this.#client.query(new Cursor(statement.text, statement.values));
    let left = statement.limit ?? Number.POSITIVE_INFINITY;
    let size = Math.min(batchSize, FIRST_ROWS, left);
    tap.limit(statement.maxBatchBytes ?? MOST_BATCH_BYTES);
    let next = left > 0 ? readRows(cursor, size, tap) : undefined;
    try {
      while (next) {
        const { rows, bytes } = await aborted(this.#signal, next).catch((error: unknown) => {
          throw tap.tooLarge ?? error; // it has ended the connection, which may be heard of first
        });
        left -= rows.length;
        const more = rows.length === size && left > 0;
        const fitting = Math.floor((BATCH_BYTES * rows.length) / Math.max(1, bytes));
        size = Math.max(1, Math.min(batchSize, fitting, rows.length * 16, left));
        next = more ? readRows(cursor, size, tap) : undefined;
        if (rows.length > 0) yield rows;
      }
      await aborted(this.#signal, cursor.close());
    } finally {
      // Where the reader has enough before the end. What was read ahead then says nothing.
      if (next && (await isFulfilled(aborted(this.#signal, next)))) await aborted(this.#signal, cursor.close());
    }
  }

  /**
   * All has been read, so that the connection can be used again once the transaction has ended, which nobody waits for:
   * what the caller is to hear goes out first.
   */
  end(): void {
    if (this.#released) return;
    this.#signal.removeEventListener("abort", this.#drop);
    this.#ended = true;
    setImmediate(() => {
      aborted(AbortSignal.timeout(END_TIMEOUT_MS), this.#client.query(commit.text)).then(
        () => this.#release(false),
        () => this.#release(true),
      );
    });
  }

  [Symbol.dispose](): void {
    if (!this.#ended) this.#release(true);
  }

  #release(drop: boolean): void {
    if (this.#released) return;
    this.#released = true;
    this.#client.off("end", this.#gone);
    this.#signal.removeEventListener("abort", this.#drop);
    this.#linked[Symbol.dispose]();
    this.#client.release(drop);
  }
}

const commit: Statement = { name: "opsdb_commit", text: "commit" };

/** PostgreSQL counts the parameters of a statement in 16 bits. */
const MOST_VALUES = 65_535;

function refuseTooManyValues({ values = [] }: Statement): void {
  if (values.length <= MOST_VALUES) return;
  const message = `the conditions have ${values.length} values; at most ${MOST_VALUES} are taken: use "in" for a list`;
  throw new OpsDbError("INVALID_FIELD", message, { field: "where" });
}

const END_TIMEOUT_MS = 5_000;
/** Rows that are asked for without a cursor, in one round trip. */
const SMALL_RESULT = 200;
/** Of one batch. The driver fails on a value of half a gigabyte where nobody can catch it. */
const MOST_BATCH_BYTES = 400 * 1024 ** 2;

/** The first rows say how large the others may be; they also arrive sooner. */
const FIRST_ROWS = 100;
/**
 * Of rows that are read at once, bytes: memory must not depend on how large they are, and in smaller parts database,
 * server and reader work at the same time.
 */
const BATCH_BYTES = 256 * 1024;

/** The driver's cursor counts the rows; the tap has them. */
async function read(cursor: Cursor, count: number, tap: RowTap): Promise<{ rows: RowBytes[]; bytes: number }> {
  await cursor.read(count);
  return tap.rows();
}

/** Whoever reads ahead may never ask for them. */
function readRows(cursor: Cursor, count: number, tap: RowTap): Promise<{ rows: RowBytes[]; bytes: number }> {
  const rows = read(cursor, count, tap);
  rows.catch(() => {});
  return rows;
}

function isFulfilled(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}

/** Begins the transaction, and reads the facts of its snapshot last. */
function beginning(site: string, timeoutMs: number): Statement[] {
  return [
    { name: "opsdb_begin", text: "begin isolation level repeatable read read only" },
    {
      name: "opsdb_facts",
      text: `select pg_current_snapshot()::text, (select position from opsdb.cursor where site = $1),
        case when pg_is_in_recovery() then coalesce(pg_last_wal_replay_lsn(), '0/0') else pg_current_wal_lsn() end,
        pg_postmaster_start_time(), set_config('statement_timeout', $2, true)`,
      values: [site, String(timeoutMs)],
    },
  ];
}

function factsOf([bounds, cursor, lsn, started]: readonly TextValue[]): SnapshotFacts {
  const [xmin, xmax] = (bounds ?? "").split(":");
  return {
    name: xmin === xmax ? `${started} ${xmax}` : undefined,
    cursor: cursor == null ? START : parsePosition(cursor),
    lsnAfter: parseLsn(lsn ?? "0/0"),
  };
}
