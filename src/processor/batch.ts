import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { PipelinedConnection, Statement, StatementResult } from "../postgres/connection.ts";
import { advanceCursor, insertApplied, insertRejected } from "../postgres/ledger.ts";
import type { Rejection } from "../write.ts";
import { type Effect, effectStatements } from "./effects.ts";

/** Which processor, of which site, applies. */
export interface Applier {
  connection: PipelinedConnection;
  site: string;
  token: string;
}

/** Consecutive writes of the site's order that are applied in one transaction. */
export interface Batch {
  /** Where the cursor must be before. */
  from: Position;
  entries: readonly BufferedWrite[];
}

export interface Committed {
  lsn: Lsn;
  at: Date;
}

/** Where the cursor is after the batch. */
export function batchEnd({ from, entries }: Batch): Position {
  return entries.at(-1)?.position ?? from;
}

/**
 * Applies a batch: all statements are sent at once, none waits for an answer. Resolves once it is committed. Rejects
 * with the first error, which then undid the whole batch, or, on a broken connection, left its outcome unknown.
 */
export async function applyBatch(applier: Applier, catalog: Catalog, batch: Batch): Promise<Committed> {
  const applied = batch.entries.filter(({ duplicateOf }) => duplicateOf === undefined);
  const statements: Statement[] = [];
  if (applied.length > 0)
    statements.push(insertApplied(applier.site, applied), ...effectStatements(catalog, effectsOf(applied)));
  return await inTransaction(applier, batch, statements);
}

/** Decides a write that main refuses for good: its ledger row says so, and nothing else happens. */
export async function rejectWrite(applier: Applier, batch: Batch, rejection: Rejection): Promise<Committed> {
  const statements = batch.entries.map(({ position, write }) =>
    insertRejected(applier.site, position, write, rejection),
  );
  return await inTransaction(applier, batch, statements);
}

/** Moves the cursor past a write whose ledger row exists already: it took effect before, under another position. */
export async function skipWrite(applier: Applier, batch: Batch): Promise<Committed> {
  return await inTransaction(applier, batch, []);
}

function* effectsOf(entries: readonly BufferedWrite[]): Generator<Effect> {
  for (const [write, entry] of entries.entries())
    for (const mutation of entry.write.mutations) yield { mutation, write };
}

async function inTransaction(
  { connection, site, token }: Applier,
  batch: Batch,
  statements: readonly Statement[],
): Promise<Committed> {
  const answers = [
    { name: "opsdb_begin", text: "begin" },
    advanceCursor(site, token, batch.from, batchEnd(batch)), // first, so that a stale batch does no work: G2, G3
    ...statements,
    { name: "opsdb_commit", text: "commit" },
    // After the COMMIT and by the write LSN: facts.md, PostgreSQL 1 and 3.
    { name: "opsdb_lsn", text: "select pg_current_wal_lsn(), extract(epoch from clock_timestamp())" },
  ].map((statement) => connection.query(statement));
  const settled = await Promise.allSettled(answers);
  const failed = settled.find((answer) => answer.status === "rejected");
  if (failed) throw failed.reason as Error;
  const results = settled.map((answer) => (answer as PromiseFulfilledResult<StatementResult>).value);
  if (results.at(-2)?.command !== "COMMIT") throw new Error("the transaction was not committed");
  const [lsn, seconds] = results.at(-1)?.rows[0] ?? [];
  return { lsn: parseLsn(lsn ?? ""), at: new Date(Number(seconds) * 1_000) };
}
