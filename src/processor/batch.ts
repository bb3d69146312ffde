import type { BufferedWrite } from "../buffer/write-buffer.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { PipelinedConnection, Statement, StatementResult } from "../postgres/connection.ts";
import { advanceCursor, insertApplied, insertRejected } from "../postgres/ledger.ts";
import type { Rejection } from "../write.ts";
import { type Effect, type EffectStatement, effectStatements } from "./effects.ts";

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

/**
 * Committed, or the first error, which then undid the whole batch, or, on a broken connection, left its outcome unknown;
 * with what the failed statement was to do, where it was one of the writes' own.
 */
export type Outcome = { committed: Committed } | { error: unknown; effects?: readonly Effect[] };

/** Where the cursor is after the batch. */
export function batchEnd({ from, entries }: Batch): Position {
  return entries.at(-1)?.position ?? from;
}

/**
 * Applies a batch: all statements are sent at once, none waits for an answer. Throws what the catalog says against it;
 * then nothing was sent.
 */
export async function applyBatch(applier: Applier, catalog: Catalog, batch: Batch): Promise<Outcome> {
  const applied = batch.entries.filter(({ duplicateOf }) => duplicateOf === undefined);
  const statements: (Statement | EffectStatement)[] = [];
  if (applied.length > 0)
    statements.push(insertApplied(applier.site, applied), ...effectStatements(catalog, effectsOf(applied)));
  return await inTransaction(applier, batch, statements);
}

/** Decides a write that main refuses for good: its ledger row says so, and nothing else happens. */
export async function rejectWrite(applier: Applier, batch: Batch, rejection: Rejection): Promise<Committed> {
  const statements = batch.entries.map(({ position, write }) =>
    insertRejected(applier.site, position, write, rejection),
  );
  return committed(await inTransaction(applier, batch, statements));
}

/** Moves the cursor past a write whose ledger row exists already: it took effect before, under another position. */
export async function skipWrite(applier: Applier, batch: Batch): Promise<Committed> {
  return committed(await inTransaction(applier, batch, []));
}

function* effectsOf(entries: readonly BufferedWrite[]): Generator<Effect> {
  for (const { write } of entries) for (const [index, mutation] of write.mutations.entries()) yield { mutation, index };
}

function committed(outcome: Outcome): Committed {
  if ("error" in outcome) throw outcome.error;
  return outcome.committed;
}

async function inTransaction(
  { connection, site, token }: Applier,
  batch: Batch,
  effects: readonly (Statement | EffectStatement)[],
): Promise<Outcome> {
  const statements: (Statement | EffectStatement)[] = [
    { name: "opsdb_begin", text: "begin" },
    advanceCursor(site, token, batch.from, batchEnd(batch)), // first, so that a stale batch does no work: G2, G3
    ...effects,
    { name: "opsdb_commit", text: "commit" },
    // After the COMMIT and by the write LSN: what a standby has replayed up to there shows the batch.
    { name: "opsdb_lsn", text: "select pg_current_wal_lsn(), extract(epoch from clock_timestamp())" },
  ];
  const answers = await Promise.allSettled(statements.map((statement) => connection.query(statement)));
  const results: StatementResult[] = [];
  for (const [i, answer] of answers.entries()) {
    const statement = statements[i];
    if (answer.status === "fulfilled") results.push(answer.value);
    else if (statement && "effects" in statement) return { error: answer.reason, effects: statement.effects };
    else return { error: answer.reason };
  }
  if (results.at(-2)?.command !== "COMMIT") return { error: new Error("the transaction was not committed") };
  const [lsn, seconds] = results.at(-1)?.rows[0] ?? [];
  return { committed: { lsn: parseLsn(lsn ?? ""), at: new Date(Number(seconds) * 1_000) } };
}
