import { parsePosition, START } from "../../src/position.ts";
import type { HistoryRecord, OrderedWrite } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { WriteEvent } from "./history.ts";

/** Whether the site's order is one in which clients can have been answered. */
export function checkHistoryOrder({ order }: HistoryRecord): Violation[] {
  return [...checkRealTime(order), ...order.flatMap((ordered) => checkPosition(ordered))];
}

/** What is called after another write was acknowledged comes after it. */
function checkRealTime(order: readonly OrderedWrite[]): Violation[] {
  const found: Violation[] = [];
  /** Of the rows after the present one, the write that was acknowledged first. */
  let earliest: OrderedWrite | undefined;
  for (const ordered of order.toReversed()) {
    const { write } = ordered;
    if (!write) continue;
    if (earliest?.write && earliest.write !== write && earliest.write.acknowledgedAt < write.calledAt)
      found.push(
        violation(
          "reordered",
          `write ${write.writeId} at ${ordered.row.position} was called after write ${earliest.write.writeId} was acknowledged, which is at ${earliest.row.position}`,
          {
            writeIds: [earliest.write.writeId, write.writeId],
            events: [...earliest.write.attempts, ...write.attempts],
          },
        ),
      );
    if (write.acknowledgedAt < (earliest?.write?.acknowledgedAt ?? Number.POSITIVE_INFINITY)) earliest = ordered;
  }
  return found;
}

/** The first acknowledgement named the place of the write, or a later one where the write had been stored before. */
function checkPosition({ row, position, write }: OrderedWrite): Violation[] {
  if (position === START)
    return [
      violation("reordered", `write ${row.writeId} has no place in the site's order: "${row.position}"`, {
        writeIds: [row.writeId],
      }),
    ];
  const first = write?.attempts
    .filter(({ outcome }) => outcome === "ok")
    .reduce<WriteEvent | undefined>((a, b) => (a && a.until <= b.until ? a : b), undefined);
  if (first?.position === undefined || position <= parsePosition(first.position)) return [];
  return [
    violation(
      "reordered",
      `write ${row.writeId} was acknowledged at ${first.position}, and took its place at ${row.position}, later`,
      { writeIds: [row.writeId], events: [first] },
    ),
  ];
}
