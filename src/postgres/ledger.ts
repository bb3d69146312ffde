import { formatPosition, type Position, parsePosition } from "../position.ts";
import { contentId, reusedRejection } from "../reused-id.ts";
import type { Rejection, Write } from "../write.ts";
import type { Statement } from "./connection.ts";
import { errorRules, errorRulesOfOlder } from "./sqlstate.ts";

/** The statements on opsdb.ledger and opsdb.cursor: one function each. */

/** What parseLedgerRow reads, in its order. */
const columns = ["write_id", "site", "position", "payload_hash", "outcome", "error", "applied_at"];

const [rules, rulesOfOlder] = [JSON.stringify(errorRules), JSON.stringify(errorRulesOfOlder)];

/** Makes the caller the one processor of the site: later transactions of any other fail. Answers (position, token). */
export function takeCursor(site: string): Statement {
  return {
    text: `insert into opsdb.cursor as c (site, fencing_token) values ($1, 1)
      on conflict (site) do update set fencing_token = c.fencing_token + 1
      returning position, fencing_token`,
    values: [site],
  };
}

/** Compare-and-set of the cursor; fails with OD001 when it is elsewhere or the token is old. */
export function advanceCursor(site: string, token: string, from: Position, to: Position): Statement {
  return {
    name: "opsdb_advance_cursor",
    text: "select opsdb.advance_cursor($1, $2, $3, $4)",
    values: [site, token, formatPosition(from), formatPosition(to)],
  };
}

/** The ledger rows of applied writes. A write id that has one already fails the transaction: its effects happen once. */
export function insertApplied(
  site: string,
  writes: readonly { position: Position | undefined; write: Write }[],
): Statement {
  return {
    name: "opsdb_insert_applied",
    text: `insert into opsdb.ledger (write_id, site, position, payload_hash, outcome)
      select v.id, $1, v.position, v.hash, 'APPLIED' from unnest($2::uuid[], $3::text[], $4::bytea[]) v(id, position, hash)`,
    values: [
      site,
      writes.map(({ write }) => write.writeId),
      writes.map(({ position }) => (position === undefined ? null : formatPosition(position))),
      writes.map(({ write }) => Buffer.from(write.payloadHash)),
    ],
  };
}

/** What the main database is to do about one write. */
export type Attempt =
  /**
   * To try the statements, each of which finds its values in $1, a jsonb array. Where they are not `byMain`, made by main's
   * own catalog, an error that says that the schema is another one does not reject the write, but fails.
   */
  | { statements: readonly { text: string; values: readonly unknown[]; mutation: number }[]; byMain: boolean }
  /** To reject it for this. */
  | { refusal: Rejection }
  /** To reject it because its id came before with other content, unless the ledger has this one under it. */
  | { reused: true };

/**
 * Applies one write with its ledger row, or rejects it: its ledger row then has what it wanted to do, so that it can be
 * looked at and retried. Where its id belongs to other content, it is rejected by its contentId. Fails for reasons that are not
 * the write's. Read the answer with parseDecision.
 */
export function decideWrite(site: string, position: Position, write: Write, attempt: Attempt): Statement {
  return {
    name: "opsdb_decide_entry",
    text: `select d.known, ${columns.map((column) => `(d.decided).${column}`).join(", ")}
      from opsdb.decide_entry($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) d`,
    values: [
      site,
      write.writeId,
      formatPosition(position),
      Buffer.from(write.payloadHash),
      JSON.stringify(write.mutations),
      "statements" in attempt ? JSON.stringify(attempt.statements) : null,
      "refusal" in attempt ? JSON.stringify(attempt.refusal) : null,
      "statements" in attempt && !attempt.byMain ? rulesOfOlder : rules,
      contentId(write),
      JSON.stringify(reusedRejection(write)),
    ],
  };
}

/** What main says of one write: the ledger row of its content, and whether that was there before. */
export interface Decision {
  known: boolean;
  row: LedgerRow;
}

/** Reads the answer of decideWrite. */
export function parseDecision([known, ...row]: readonly (string | null)[]): Decision {
  return { known: known === "t", row: parseLedgerRow(row) };
}

/** Answers the ledger rows of those that exist. Read them with parseLedgerRow. */
export function readLedger(writeIds: readonly string[]): Statement {
  return {
    name: "opsdb_read_ledger",
    text: `select ${columns.join(", ")} from opsdb.ledger where write_id = any($1::uuid[])`,
    values: [writeIds],
  };
}

export interface LedgerRow {
  writeId: string;
  site: string;
  position: Position | undefined;
  payloadHash: Uint8Array;
  outcome: "APPLIED" | "REJECTED";
  rejection: Rejection | undefined;
  appliedAt: Date;
}

/** Reads a row of the ledger. */
export function parseLedgerRow(row: readonly (string | null)[]): LedgerRow {
  const [writeId, site, position, hash, outcome, error, appliedAt] = row;
  return {
    writeId: writeId ?? "",
    site: site ?? "",
    position: position == null ? undefined : parsePosition(position),
    payloadHash: Buffer.from((hash ?? "").slice(2), "hex"),
    outcome: outcome === "REJECTED" ? "REJECTED" : "APPLIED",
    rejection: error == null ? undefined : (JSON.parse(error) as Rejection),
    appliedAt: new Date(`${appliedAt}`.replace(" ", "T").replace(/\+00$/, "Z")),
  };
}
