import type pg from "pg";
import { OpsDbError } from "../errors.ts";
import type { QueryPart } from "./table-query.ts";

export interface GiveWayOptions {
  pool: Pick<pg.Pool, "waitingCount">;
  signal: AbortSignal;
  /** How long a reader may take nothing before it gives way, milliseconds. */
  stalledMs?: number;
}

/** Less than others wait for a connection, by default. */
const STALLED_MS = 3_000;
const LOOK_EVERY_MS = 250;

/**
 * A result at its reader's pace, for as long as nobody else needs the connection: a reader who takes nothing while others
 * wait for one loses it, or a handful of forgotten readers would hold up every read of the site until their deadlines.
 */
export async function* givingWay(
  { pool, signal, stalledMs = STALLED_MS }: GiveWayOptions,
  read: (signal: AbortSignal) => AsyncIterable<QueryPart>,
): AsyncGenerator<QueryPart> {
  const way = new AbortController();
  for await (const part of read(AbortSignal.any([signal, way.signal]))) {
    const since = performance.now();
    const timer = setInterval(
      () => {
        if (pool.waitingCount > 0 && performance.now() - since >= stalledMs) way.abort(tooSlow());
      },
      Math.min(LOOK_EVERY_MS, stalledMs),
    );
    try {
      yield part;
    } finally {
      clearInterval(timer);
    }
  }
}

function tooSlow(): OpsDbError {
  return new OpsDbError(
    "QUERY_TIMED_OUT",
    "the reader took nothing for a while, and others waited for its connection: read on with resume_after, or ask for less",
  );
}
