import { OpsDbError } from "../errors.ts";
import { isOutOfMemory } from "./durability.ts";

/** Why no write is accepted until the buffer is opened again. */
export function closedBy(error: unknown): OpsDbError {
  if (error instanceof OpsDbError)
    return new OpsDbError(error.reason, error.message, { retryAfterMs: 1_000, cause: error });
  return new OpsDbError("BUFFER_UNAVAILABLE", `the buffer cannot be reached: ${textOf(error)}`, {
    retryAfterMs: 1_000,
    cause: error,
  });
}

/** What an append that failed is answered with. */
export function appendFailed(error: unknown, writeId: string): OpsDbError {
  if (error instanceof OpsDbError) return error;
  if (isOutOfMemory(error))
    return new OpsDbError("BUFFER_FULL", "Redis is out of memory", { retryAfterMs: 5_000, cause: error });
  return new OpsDbError(
    "BUFFER_UNAVAILABLE",
    `the buffer did not confirm the write (${textOf(error)}); whether it is stored is unknown: retry with the same write id`,
    { retryAfterMs: 1_000, metadata: { write_id: writeId }, cause: error },
  );
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
