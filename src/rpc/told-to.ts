import type { Caller } from "../security/caller.ts";

/** What the database said, and its error code; empty: it has none. */
export interface DatabaseWords {
  message: string;
  sqlstate: string;
}

/** Errors whose details show the row as it would be, so also what of it the write never named. */
const showsRow = /^(23502|23514|44000)$/;

/**
 * As much of what the database said as the caller may know. Its triggers, and the keys of other tables, say anything: that is
 * for tokens for all tables. Who may not read is shown no row.
 */
export function toldTo(caller: Caller, { message, sqlstate }: DatabaseWords): string {
  if (!caller.tables.all) return "the database refused this; what it said is told to access tokens for all tables";
  if (caller.roles.has("read") || !showsRow.test(sqlstate)) return message;
  // Details stand in brackets behind the message. Their words depend on the database's language.
  return message.split(" (", 1)[0] ?? "";
}

/** Whether there is anything that this caller is not told. */
export function isLimited(caller: Caller): boolean {
  return !caller.tables.all || !caller.roles.has("read");
}
