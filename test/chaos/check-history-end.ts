import { blameRow } from "./check-history-blame.ts";
import type { HistoryRecord } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import { FIRST_KEY_OF_MAIN } from "./model.ts";

/** Whether in the end everything has drained, and every place shows the table that the ledger makes. */
export function checkHistoryEnd(history: HistoryRecord): Violation[] {
  const { main, standby, merged } = history.final;
  return [
    ...checkDrained(history),
    ...checkTable(history, "main", main),
    ...checkTable(history, "the standby", standby),
    ...merged.flatMap((rows, i) => checkTable(history, `merged read ${i + 1} of the end`, rows)),
  ];
}

function checkDrained({ final: { drainedInMs, status } }: HistoryRecord): Violation[] {
  const { pendingWrites, overlayWrites, processor } = status;
  const found: string[] = [];
  if (drainedInMs === undefined) found.push("the site had not drained in the time allowed");
  if (pendingWrites !== 0) found.push(`${pendingWrites} writes are pending in the end`);
  if (overlayWrites !== 0) found.push(`${overlayWrites} writes are in the overlay in the end`);
  const state = `the processor is ${processor.state} "${processor.reason}"`;
  return found.map((what) => violation("not-drained", `${what}; ${state}`, { events: [status] }));
}

function checkTable(history: HistoryRecord, place: string, rows: readonly [number, string][]): Violation[] {
  const { replay, final, order } = history;
  const found: Violation[] = [];
  const shown = new Map(rows);
  if (shown.size < rows.length) found.push(violation("diverged", `${place} has a row twice`));
  const expected = new Map([...replay.rows, ...final.main.filter(([key]) => key >= FIRST_KEY_OF_MAIN)]);
  for (const key of new Set([...expected.keys(), ...shown.keys()])) {
    const value = shown.get(key);
    if (value === expected.get(key)) continue;
    const blame = value === undefined ? undefined : blameRow(history, key, value, place);
    if (blame) {
      found.push(blame);
      continue;
    }
    const state = `${place} has ${value ?? "nothing"} in row ${key} instead of ${expected.get(key) ?? "nothing"}`;
    const last = replay.lastChange(key);
    const write = order[last - 1];
    // The last to change this row was the last to change another one as well, and that one is there.
    const other = replay.steps[last - 1]?.effects.find(
      (effect) => replay.lastChange(effect.key) === last && shown.get(effect.key) === expected.get(effect.key),
    );
    found.push(
      write && other
        ? violation("torn", `${state}, although it has row ${other.key} of write ${write.row.writeId}`, {
            writeIds: [write.row.writeId],
            events: write.write?.attempts ?? [],
          })
        : violation("diverged", state),
    );
  }
  return found;
}
