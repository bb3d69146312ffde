import type pg from "pg";
import { OpsDbError } from "../errors.ts";
import { aborted, Deadline, sleep } from "../lib/abort.ts";
import type { Position } from "../position.ts";
import { readCursor } from "../replication/local-state.ts";
import type { LsnTracker } from "../replication/lsn-tracker.ts";
import type { Token } from "../token.ts";

/** Runs a wait for freshness; its deadline ends in NOT_FRESH_IN_TIME, the caller's going away in the caller's reason. */
export async function withinDeadline<T>(
  timeoutMs: number,
  signal: AbortSignal,
  wait: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using deadline = new Deadline(timeoutMs);
  const either = AbortSignal.any([signal, deadline.signal]);
  try {
    return await aborted(either, wait(either));
  } catch (error) {
    if (signal.aborted || !deadline.signal.aborted || error instanceof OpsDbError) throw error;
    throw new OpsDbError(
      "NOT_FRESH_IN_TIME",
      `the database did not become as fresh as asked within ${Math.round(timeoutMs)} ms`,
      {
        retryAfterMs: 1_000,
        cause: error,
      },
    );
  }
}

/** Refuses a token of another database system. */
export function checkSystem(token: Token, systemIdentifier: string): void {
  if (token.systemIdentifier === "" || systemIdentifier === "" || token.systemIdentifier === systemIdentifier) return;
  throw new OpsDbError("INVALID_TOKEN", "the token belongs to another database system", { field: "token" });
}

/** Resolves when the local database has replayed the token's LSN. Throws TOKEN_TIMELINE after a failover. */
export async function waitForTokenLsn(tracker: LsnTracker, token: Token, signal: AbortSignal): Promise<void> {
  const { lsn, timeline } = token;
  if (lsn === undefined) return;
  // An LSN of another timeline may name WAL that a failover has thrown away: comparing it would prove nothing.
  const state = await tracker.until((seen) => seen.timeline !== timeline || seen.lsn >= lsn, signal);
  if (state.timeline > timeline)
    throw new OpsDbError(
      "TOKEN_TIMELINE",
      `the token is of timeline ${timeline}, the database is on ${state.timeline}`,
      {
        field: "token",
      },
    );
  if (state.lsn < lsn) await tracker.until((seen) => seen.timeline > timeline || seen.lsn >= lsn, signal);
}

/** Resolves when the database shows every write of a site up to the position. */
export async function waitForPosition(
  pool: pg.Pool,
  site: string,
  position: Position,
  pollMs: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    if ((await readCursor(pool, site, signal)) >= position) return;
    await sleep(pollMs, signal);
  }
}
