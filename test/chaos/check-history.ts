import { checkHistoryEffects } from "./check-history-effects.ts";
import { checkHistoryEnd } from "./check-history-end.ts";
import { checkHistoryLedger } from "./check-history-ledger.ts";
import { checkHistoryMainSite } from "./check-history-main-site.ts";
import { checkHistoryOrder } from "./check-history-order.ts";
import { checkHistoryProgress, type ProgressLimits, progressLimits } from "./check-history-progress.ts";
import { checkHistoryReads } from "./check-history-reads.ts";
import { arrangeHistory } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { Event, FinalEvent } from "./history.ts";

export type { Violation, ViolationKind } from "./check-history-violation.ts";

/**
 * Everything in a run's record that breaks a promise; nothing where all were kept. Clients of the secondary site are held
 * against a model of the table that applies the ledger's writes in the order of their positions.
 */
export function checkHistory(events: readonly Event[], limits: Partial<ProgressLimits> = {}): Violation[] {
  const final = events.findLast((event): event is FinalEvent => event.kind === "final");
  if (!final) return [violation("not-drained", "the record ends before the run has")];
  const history = arrangeHistory(events, final);
  return [
    ...checkHistoryLedger(history),
    ...checkHistoryOrder(history),
    ...checkHistoryEffects(history),
    ...checkHistoryReads(history),
    ...checkHistoryEnd(history),
    ...checkHistoryMainSite(history),
    ...checkHistoryProgress(history, { ...progressLimits, ...limits }),
  ];
}
