import type { LedgerRow } from "../postgres/ledger.ts";
import type { BufferedWrites } from "./buffered-writes.ts";
import type { BufferedWrite } from "./write-buffer.ts";

/**
 * Brings an entry to what its id's ledger row says: applied, rejected, or, where the row is of other content, rejected
 * because the id had been used before and nothing could tell when it was acknowledged.
 */
export function settle(writes: BufferedWrites, entry: BufferedWrite, row: LedgerRow): void {
  if (!Buffer.from(row.payloadHash).equals(Buffer.from(entry.write.payloadHash))) {
    const message = `the write id was used before, at site ${row.site}, with other content`;
    writes.reject(entry, { reason: "WRITE_ID_REUSED", message }, row.appliedAt);
  } else if (row.rejection) writes.reject(entry, row.rejection, row.appliedAt);
  else {
    if (entry.state !== "REPLICATED") entry.state = "APPLIED";
    entry.appliedAt = row.appliedAt;
  }
}
