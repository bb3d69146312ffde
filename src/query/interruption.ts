import { OpsDbError } from "../errors.ts";
import { sqlstateOf } from "../postgres/sqlstate.ts";

/** What to throw where the caller or the deadline has ended a read; undefined where it failed by itself. */
export function interruption(error: unknown, caller: AbortSignal, deadline: AbortSignal, late: string): unknown {
  if (caller.aborted) return caller.reason;
  if (deadline.aborted || sqlstateOf(error) === "57014")
    return new OpsDbError("QUERY_TIMED_OUT", late, { cause: error });
  return undefined;
}
