import pg from "pg";
import { OpsDbError, type Reason } from "../errors.ts";
import type { Rejection } from "../write.ts";

/**
 * What an error of the main database means for the write that met it. permanent: the same write will fail again.
 * transient: the transaction did not happen, trying again may help. unknown: it may have been committed.
 * Source: PostgreSQL documentation, appendix A, and facts.md 13.
 */
export type ErrorClass = "permanent" | "transient" | "unknown";

/** The SQLSTATE of a database error; undefined for anything else, such as a broken connection. */
export function sqlstateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

// Not the write's fault: the state of the session, the server, or the operator's work. OD001 is the cursor's guard. A
// missing right (42501) is for the operator to mend: rejecting a night's writes for a forgotten GRANT would lose them.
// Everything else is what PostgreSQL, or a trigger with a code of its own, says of the write itself.
const transient = /^(25|26|28|3D|40|53|55|57014|58|F0|XX|OD001|42501)/;
const unknown = /^(08|57P)/;

// A table, column, type, function or operator that is not there, or a value of another type: what a statement meets that was
// made for another schema.
const schema = /^(42P01|42703|42704|42804|42846|42883|3F)/;

/** Whether the error may say no more than that the schema is another one than the statement was made for. */
export function saysOtherSchema(error: unknown): boolean {
  return schema.test(sqlstateOf(error) ?? "");
}

/** Whether the error speaks against the values of a statement whose tables and types are there. */
export function refusesValue(error: unknown): boolean {
  return classify(error) === "permanent" && (!saysOtherSchema(error) || sqlstateOf(error) === "42883");
}

export function classify(error: unknown): ErrorClass {
  const code = sqlstateOf(error);
  if (code === undefined) return "unknown";
  if (unknown.test(code)) return "unknown";
  return transient.test(code) ? "transient" : "permanent";
}

// By SQLSTATE, or by its class, or by nothing. A primary key tells that the row exists; its constraint has this ending
// unless somebody named it.
const reasonsByState: Record<string, Reason> = {
  OD002: "ROW_NOT_FOUND",
  OD003: "PRECONDITION_FAILED",
  OD004: "ALREADY_RESOLVED",
  "23502": "NOT_NULL_VIOLATION",
  "23503": "FOREIGN_KEY_VIOLATION",
  "23505_pkey": "ROW_EXISTS",
  "23505": "UNIQUE_VIOLATION",
  "23514": "CHECK_VIOLATION",
  "42883": "INVALID_OPERATOR",
  "42P01": "TABLE_NOT_FOUND",
  "42703": "COLUMN_NOT_FOUND",
  "22": "INVALID_VALUE",
  "": "DATABASE_REFUSED",
};

/** The same table for the main database, where it decides a write (sql/002_decide_write.sql). */
export const errorRules = { retried: `${unknown.source}|${transient.source}`, reasons: reasonsByState };

/** For a write whose statements were made by a catalog that may be older than main's: that must not be its fault. */
export const errorRulesOfOlder = { ...errorRules, retried: `${errorRules.retried}|${schema.source}` };

/** The reason of a permanent error, as in the proto's ErrorReason. */
function reasonOf(error: unknown): Reason {
  const code = sqlstateOf(error) ?? "";
  const key = error instanceof pg.DatabaseError && error.constraint?.endsWith("_pkey") ? `${code}_pkey` : code;
  return reasonsByState[key] ?? reasonsByState[code] ?? reasonsByState[code.slice(0, 2)] ?? "DATABASE_REFUSED";
}

/** A permanent error as it is kept in the ledger and shown to callers. */
export function rejectionOf(error: unknown): Rejection {
  const sqlstate = sqlstateOf(error);
  return { reason: reasonOf(error), message: messageOf(error), ...(sqlstate === undefined ? {} : { sqlstate }) };
}

/** What went wrong, in words that name no connection secrets. */
export function messageOf(error: unknown): string {
  if (error instanceof pg.DatabaseError) return error.detail ? `${error.message} (${error.detail})` : error.message;
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  if (error instanceof DOMException && error.name === "TimeoutError") return "no answer in time";
  return error instanceof Error ? error.message : String(error);
}

/** An error of a read or a direct write as the caller sees it. `unavailable` names the database that was asked. */
export function translate(error: unknown, unavailable: "MAIN_UNAVAILABLE" | "LOCAL_UNAVAILABLE"): OpsDbError {
  if (error instanceof OpsDbError) return error;
  const code = sqlstateOf(error);
  if (code === "25006")
    return new OpsDbError("LOCAL_READ_ONLY", "the local database is a read-only replica; use critical mode", {
      cause: error,
    });
  if (classify(error) === "permanent") {
    const reason = reasonOf(error);
    return new OpsDbError(reason, messageOf(error), { cause: error, metadata: { sqlstate: code ?? "" } });
  }
  // 40001 on a replica is a recovery conflict; 57014 is our own statement_timeout or cancel.
  return new OpsDbError(
    unavailable,
    `the ${unavailable === "MAIN_UNAVAILABLE" ? "main" : "local"} database did not answer: ${messageOf(error)}`,
    {
      cause: error,
      retryAfterMs: 1_000,
    },
  );
}
