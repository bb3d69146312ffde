import type { BufferedWrite } from "../buffer/write-buffer.ts";
import { failpoint } from "../lib/failpoint.ts";
import { type Lsn, parseLsn } from "../lsn.ts";
import type { Position } from "../position.ts";
import type { PipelinedConnection, Statement, StatementResult } from "../postgres/connection.ts";
import { advanceCursor, decideWrite, insertApplied } from "../postgres/ledger.ts";
import type { Rejection } from "../write.ts";
import type { Effects } from "./catalog-choice.ts";
import type { EffectStatement } from "./effects.ts";

/** Which processor, of which site, applies. */
export interface Applier {
  connection: PipelinedConnection;
  site: string;
  token: string;
}

/** Consecutive writes of the site's order that are one transaction. */
export interface Batch {
  /** Where the cursor must be before. */
  from: Position;
  entries: readonly BufferedWrite[];
  /**
   * Where main decides each write by itself: the entry that each of the statements is for. Otherwise the batch is applied
   * whole or not at all.
   */
  decides?: readonly BufferedWrite[];
  /** Some of the statements were made by the site's catalog: an error may say no more than that it is older than main's. */
  provisional?: boolean;
  statements: readonly Statement[];
}

export interface Committed {
  lsn: Lsn;
  at: Date;
  /** One for each of the batch's statements. */
  answers: readonly StatementResult[];
}

/**
 * Committed, or the first error, which then undid the whole batch, or, on a broken connection, left its outcome unknown;
 * with the index of the statement that failed, where it was one of the batch's own.
 */
export type Outcome = { committed: Committed } | Failure;

export interface Failure {
  error: unknown;
  statement?: number;
}

/** Where the cursor is after the batch. */
export function batchEnd({ from, entries }: Pick<Batch, "from" | "entries">): Position {
  return entries.at(-1)?.position ?? from;
}

/** A batch that is applied as a whole, none of it conflicting. Entries whose id came before do nothing. */
export function applyBatch(
  site: string,
  from: Position,
  entries: readonly BufferedWrite[],
  effects: readonly EffectStatement[],
): Batch {
  const applied = entries.filter(({ duplicateOf }) => duplicateOf === undefined);
  return { from, entries, statements: applied.length === 0 ? [] : [insertApplied(site, applied), ...effects] };
}

/** A batch in which main decides each write by itself: tries its effects, or rejects it where a rejection is given. */
export function decideBatch(
  site: string,
  from: Position,
  attempts: ReadonlyMap<BufferedWrite, Effects | Rejection>,
): Batch {
  const decides = [...attempts].filter(([{ duplicateOf, conflicting }]) => duplicateOf === undefined || conflicting);
  return {
    from,
    entries: [...attempts.keys()],
    decides: decides.map(([entry]) => entry),
    provisional: decides.some(([, attempt]) => "statements" in attempt && !attempt.byMain),
    statements: decides.map(([{ position, write, conflicting }, attempt]) =>
      decideWrite(
        site,
        position,
        write,
        conflicting
          ? { reused: true }
          : "reason" in attempt
            ? { refusal: attempt }
            : { statements: attempt.statements.map(withOneParameter), byMain: attempt.byMain },
      ),
    ),
  };
}

/** Sends all statements at once; none waits for an answer. */
export async function sendBatch({ connection, site, token }: Applier, batch: Batch): Promise<Outcome> {
  failpoint("batch-taken");
  const before: Statement[] = [
    { name: "opsdb_begin", text: "begin" },
    advanceCursor(site, token, batch.from, batchEnd(batch)), // first, so that a stale batch does no work: G2, G3
  ];
  const statements: Statement[] = [
    ...before,
    ...batch.statements,
    { name: "opsdb_commit", text: "commit" },
    // After the COMMIT and by the write LSN: what a standby has replayed up to there shows the batch.
    { name: "opsdb_lsn", text: "select pg_current_wal_lsn(), extract(epoch from clock_timestamp())" },
  ];
  const middle = statements.length >> 1;
  const answers = await Promise.allSettled(
    statements.map((statement, i) => {
      if (i === middle) failpoint("batch-applying");
      return connection.query(statement);
    }),
  );
  const results: StatementResult[] = [];
  for (const [i, answer] of answers.entries()) {
    if (answer.status === "fulfilled") results.push(answer.value);
    else {
      const statement = i - before.length;
      return { error: answer.reason, ...(batch.statements[statement] === undefined ? {} : { statement }) };
    }
  }
  if (results.at(-2)?.command !== "COMMIT") return { error: new Error("the transaction was not committed") };
  const [lsn, seconds] = results.at(-1)?.rows[0] ?? [];
  return {
    committed: {
      lsn: parseLsn(lsn ?? ""),
      at: new Date(Number(seconds) * 1_000),
      answers: results.slice(before.length, -2),
    },
  };
}

/** The statement with all its values in one parameter, $1: a jsonb array. Names and strings in its text stay as they are. */
function withOneParameter({ text, values, mutation }: EffectStatement) {
  const changed = text.replace(/"[^"]*"|'[^']*'|\$(\d+)(::text\[\])?/g, (whole, number?: string, array?: string) => {
    if (number === undefined) return whole;
    const index = Number(number) - 1;
    return array === undefined ? `($1 ->> ${index})` : `array(select jsonb_array_elements_text($1 -> ${index}))`;
  });
  return { text: changed, values, mutation };
}
