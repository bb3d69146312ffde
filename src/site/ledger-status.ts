import type { LedgerRow } from "../postgres/ledger.ts";
import type { WriteStatus } from "../write.ts";

/** A write's status as its ledger row tells it. `here` says that the row is visible on the site's own database. */
export function ledgerStatus(row: LedgerRow, here: boolean): WriteStatus {
  return {
    writeId: row.writeId,
    state: row.rejection ? "REJECTED" : here ? "REPLICATED" : "APPLIED",
    site: row.site,
    appliedAt: row.appliedAt,
    ...(row.position === undefined ? {} : { position: row.position }),
    ...(row.rejection === undefined ? {} : { rejection: row.rejection }),
  };
}
