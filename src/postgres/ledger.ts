import { formatPosition, type Position, parsePosition } from "../position.ts";
import type { Rejection, Write } from "../write.ts";
import type { Statement } from "./connection.ts";

/** The statements on opsdb.ledger and opsdb.cursor: one function each. */

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

/** The ledger row of a rejected write, with what it wanted to do, so that it can be looked at and retried. */
export function insertRejected(site: string, position: Position, write: Write, rejection: Rejection): Statement {
  return {
    text: `insert into opsdb.ledger (write_id, site, position, payload_hash, outcome, error, payload)
      values ($1, $2, $3, $4, 'REJECTED', $5, $6)`,
    values: [
      write.writeId,
      site,
      formatPosition(position),
      Buffer.from(write.payloadHash),
      JSON.stringify(rejection),
      JSON.stringify(write.mutations),
    ],
  };
}

/** Answers (write_id, site, position, payload_hash, outcome, error, applied_at) of those that exist. */
export function readLedger(writeIds: readonly string[]): Statement {
  return {
    name: "opsdb_read_ledger",
    text: `select write_id, site, position, payload_hash, outcome, error, applied_at
      from opsdb.ledger where write_id = any($1::uuid[])`,
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

/** Reads a row of readLedger. */
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
