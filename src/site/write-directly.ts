import type { Catalog } from "../catalog/catalog.ts";
import { completeWrite } from "../catalog/complete-write.ts";
import type { Lsn } from "../lsn.ts";
import type { RequestedWrite } from "../write.ts";
import { checkPayload } from "./acceptance.ts";
import type { DirectWriter } from "./direct-writer.ts";
import { ledgerStatus } from "./ledger-status.ts";
import type { WriteAck } from "./site.ts";
import { determinedRows } from "./written-row.ts";

/** Checks a write, writes it straight to the database, and acknowledges it: there it is at home at once. */
export async function writeDirectly(options: {
  writer: DirectWriter;
  site: string;
  catalog: Catalog;
  requested: RequestedWrite;
  token: (lsn: Lsn | undefined) => Uint8Array;
}): Promise<WriteAck> {
  const { writer, site, catalog, requested, token } = options;
  const { write, unchecked } = completeWrite(catalog, requested, { generateAtMain: true, now: new Date() });
  await writer.check(catalog, write, unchecked);
  const result = await writer.write(catalog, write);
  if (result.kind === "written") {
    const { writeId } = write;
    return {
      status: { writeId, state: "REPLICATED", site, lsn: result.lsn, appliedAt: result.at },
      rows: result.rows,
      token: token(result.lsn),
      waitTimedOut: false,
      duplicate: false,
    };
  }
  checkPayload(requested, result.ledger.payloadHash);
  return {
    status: ledgerStatus(result.ledger, true),
    rows: determinedRows(catalog, write, requested),
    token: token(undefined),
    waitTimedOut: false,
    duplicate: true,
  };
}
