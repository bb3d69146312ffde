import type { LedgerRow } from "../postgres/ledger.ts";
import { contentId, reusedRejection } from "../reused-id.ts";
import { samePayload } from "../write.ts";
import type { BufferedWrites } from "./buffered-writes.ts";
import type { BufferedWrite } from "./write-buffer.ts";

/**
 * Brings an entry to what a ledger row says, its id's or its content's own: applied, rejected, or, where the row is of
 * other content, rejected because the id had been used before and nothing could tell when it was acknowledged.
 */
export function settle(writes: BufferedWrites, entry: BufferedWrite, row: LedgerRow): void {
  if (!isOf(row, entry)) writes.reject(entry, reusedRejection(entry.write), row.appliedAt);
  else if (row.rejection) writes.reject(entry, row.rejection, row.appliedAt);
  else {
    if (entry.state !== "REPLICATED") entry.state = "APPLIED";
    entry.appliedAt = row.appliedAt;
  }
}

/** The ids whose ledger rows tell what became of an entry. */
export function ledgerIds(entry: BufferedWrite): string[] {
  return entry.conflicting ? [entry.writeId, contentId(entry.write)] : [entry.writeId];
}

/**
 * Its row among those of its ledgerIds: its content's, unless its id turned out to be this content's after all. An older
 * version passed over such an entry without a row for its content; then the id's own has to do.
 */
export function ledgerRowOf(entry: BufferedWrite, rows: ReadonlyMap<string, LedgerRow>): LedgerRow | undefined {
  const row = rows.get(entry.writeId);
  return entry.conflicting && !(row && isOf(row, entry)) ? (rows.get(contentId(entry.write)) ?? row) : row;
}

/** The id by which a rejected entry is in the ledger: not its own where that belongs to other content. */
export function rejectedId(entry: BufferedWrite): string {
  return entry.rejection?.reason === "WRITE_ID_REUSED" ? contentId(entry.write) : entry.writeId;
}

function isOf(row: LedgerRow, { write }: BufferedWrite): boolean {
  return samePayload(row.payloadHash, write.payloadHash);
}
