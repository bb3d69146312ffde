import type { HistoryRecord } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { Event } from "./history.ts";
import { FIRST_KEY_OF_MAIN } from "./model.ts";

/**
 * What is wrong with a row that somebody saw and that the ledger does not account for; undefined where some state of the
 * model has the row, or it is main's own.
 */
export function blameRow(
  { writes, orderOf, replay }: HistoryRecord,
  key: number,
  value: string,
  where: string,
  events: readonly Event[] = [],
): Violation | undefined {
  if (replay.version(key, value)) return undefined;
  const write = writes.ofRow(key, value);
  const seen = `${where} has ${value} in row ${key}`;
  if (!write || (write.site === "main") !== key >= FIRST_KEY_OF_MAIN)
    return violation("invented", `${seen}, which no write of the site has asked for`, { events });
  const { writeId, attempts } = write;
  const fault = { writeIds: [writeId], events: [...attempts, ...events] };
  if (write.refused)
    return violation("refused-but-visible", `${seen}, of write ${writeId}, which was refused in every attempt`, fault);
  if (write.site === "main") return undefined;
  const ordered = orderOf.get(write);
  if (!ordered) return violation("lost", `${seen}, of write ${writeId}, which the ledger does not know`, fault);
  if (ordered.row.outcome === "REJECTED")
    return violation("both", `${seen}, of write ${writeId}, which was rejected with ${ordered.row.reason}`, fault);
  if (replay.steps[ordered.index - 1]?.refusal !== undefined) return undefined; // wrongly applied, and reported as that
  return violation("torn", `${seen}, which write ${writeId} itself replaces`, fault);
}
