import type pg from "pg";
import { aborted } from "../lib/abort.ts";
import type { Statement } from "./connection.ts";

/**
 * Runs the work on a connection of the pool. When the signal aborts, or the work fails, the connection is dropped rather
 * than given back: nobody knows what it was in the middle of.
 */
export async function useClient<T>(
  pool: pg.Pool,
  signal: AbortSignal,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connectClient(pool, signal);
  try {
    const result = await aborted(signal, work(client));
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** A connection of the pool; one that comes after the signal goes straight back. */
export async function connectClient(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient> {
  const connecting = pool.connect();
  try {
    return await aborted(signal, connecting);
  } catch (error) {
    connecting.then(
      (late) => late.release(),
      () => {},
    );
    throw error;
  }
}

/** Rows of text from one statement on the pool, given up with the signal. */
export function queryRows(pool: pg.Pool, signal: AbortSignal, statement: Statement): Promise<(string | null)[][]> {
  return useClient(pool, signal, (client) => rowsOf(client, statement));
}

/** Rows of text from one statement; one that stays unanswered for longer than the time, milliseconds, is given up. */
export async function rowsOf(
  client: pg.ClientBase,
  statement: Statement,
  timeoutMs?: number,
): Promise<(string | null)[][]> {
  const { name, text, values } = statement;
  const { rows } = await client.query<(string | null)[]>({
    ...(name === undefined ? {} : { name }),
    ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }),
    text,
    values: values ?? [],
    rowMode: "array",
  });
  return rows;
}

/**
 * Closes the connections of the pool that nobody uses. Where one of them turned out to be dead, so may be the others, and
 * each would cost whoever gets it the time until that is noticed.
 */
export async function dropIdle(pool: pg.Pool): Promise<void> {
  for (let left = pool.idleCount; left > 0 && pool.idleCount > 0; left--) (await pool.connect()).release(true);
}
