import { blameRow } from "./check-history-blame.ts";
import type { HistoryRecord } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { ClientWrite } from "./check-history-writes.ts";
import type { FinalEvent, ReadEvent } from "./history.ts";
import { FIRST_KEY_OF_MAIN } from "./model.ts";
import { firstIndex } from "./model-replay.ts";

type Effect = FinalEvent["effects"][number];

/**
 * Whether the writes of main's own clients took effect once and whole, and the last acknowledged one wins. They have no
 * order but that of the effects on each row.
 */
export function checkHistoryMainSite(history: HistoryRecord): Violation[] {
  const effects = history.final.effects.filter(({ key }) => key >= FIRST_KEY_OF_MAIN);
  const writes = history.writes.all.filter(({ site }) => site === "main");
  const rows = new MainRows(writes);
  return [
    ...checkWrites(writes, effects),
    ...effects.flatMap((effect) => checkEffect(history, rows, effect)),
    ...checkReplay(history, effects),
    ...rows.keys().flatMap((key) => checkLast(history, rows, key)),
    ...checkReads(history, rows, effects),
  ];
}

function report(kind: Violation["kind"], message: string, write: ClientWrite, read?: ReadEvent): Violation {
  return violation(kind, message, {
    writeIds: [write.writeId],
    events: [...write.attempts, ...(read ? [read] : [])],
  });
}

function checkWrites(writes: readonly ClientWrite[], effects: readonly Effect[]): Violation[] {
  const byRow = Map.groupBy(
    effects.filter(({ operation }) => operation !== "DELETE"),
    ({ key, value }) => `${key} ${value}`,
  );
  return writes.flatMap((write) => {
    const found: Violation[] = [];
    const of = write.changes.flatMap((change) =>
      change.operation === "delete" ? [] : [byRow.get(`${change.key} ${change.value}`) ?? []],
    );
    const there = of.filter(({ length }) => length > 0).length;
    const acknowledged = write.acknowledgedAt < Number.POSITIVE_INFINITY;
    const name = `write ${write.writeId} at the main site`;
    if (acknowledged && there === 0 && of.length > 0)
      found.push(report("lost", `${name} was acknowledged, and nothing of it happened`, write));
    if (there > 0 && there < of.length) found.push(report("torn", `${name} happened in part`, write));
    if (of.some(({ length }) => length > 1)) found.push(report("doubled", `${name} happened more than once`, write));
    const transactions = new Set(of.flat().flatMap(({ transaction }) => transaction ?? []));
    if (transactions.size > 1 && of.every(({ length }) => length <= 1))
      found.push(report("torn", `${name} happened in transactions ${[...transactions].join(" and ")}`, write));
    return found;
  });
}

function checkEffect(history: HistoryRecord, rows: MainRows, { operation, key, value }: Effect): Violation[] {
  if (operation !== "DELETE") {
    const blame = blameRow(history, key, value, `an ${operation} on main`);
    return blame ? [blame] : [];
  }
  const deletes = rows.of(key)?.deletes ?? [];
  const what = `${value} was deleted from row ${key} on main`;
  const [refused] = deletes;
  if (!refused) return [violation("invented", `${what}, which no write has asked for`)];
  if (deletes.some((write) => !write.refused)) return [];
  return [report("refused-but-visible", `${what}, and only refused writes can have done it`, refused)];
}

/** Each effect meets the row that the one before has left, and the last one is what main has. */
function checkReplay({ final }: HistoryRecord, effects: readonly Effect[]): Violation[] {
  const found: Violation[] = [];
  const rows = new Map<number, string>();
  for (const { operation, key, value } of effects) {
    const before = rows.get(key);
    const fits = operation === "INSERT" ? before === undefined : operation === "UPDATE" || before === value;
    if (operation === "DELETE" && before === undefined)
      found.push(violation("doubled", `${value} was deleted from row ${key} on main, which had gone before`));
    else if (!fits || (operation === "UPDATE" && before === undefined))
      found.push(violation("diverged", `${operation} of ${value} on main met ${before ?? "nothing"} in row ${key}`));
    if (operation === "DELETE") rows.delete(key);
    else rows.set(key, value);
  }
  const main = new Map(final.main.filter(([key]) => key >= FIRST_KEY_OF_MAIN));
  for (const key of new Set([...rows.keys(), ...main.keys()]))
    if (rows.get(key) !== main.get(key))
      found.push(
        violation(
          "diverged",
          `main has ${main.get(key) ?? "nothing"} in row ${key}, its effects make ${rows.get(key) ?? "nothing"}`,
        ),
      );
  return found;
}

function checkLast(history: HistoryRecord, rows: MainRows, key: number): Violation[] {
  const value = new Map(history.final.main).get(key);
  const lost = rows.missing(key, value, Number.POSITIVE_INFINITY);
  if (!lost) return [];
  const message = `main has ${value ?? "nothing"} in row ${key}, and write ${lost.writeId}, called later, was acknowledged`;
  return [report("lost", message, lost)];
}

function checkReads(history: HistoryRecord, rows: MainRows, effects: readonly Effect[]): Violation[] {
  const ranks = new Map(
    effects.flatMap(({ operation, value }, i) => (operation === "DELETE" ? [] : [[value, i] as const])),
  );
  const lastDelete = new Map(
    effects.flatMap(({ operation, key }, i) => (operation === "DELETE" ? [[key, i] as const] : [])),
  );
  return history.reads.flatMap((read) => {
    const shown = new Map(read.rows.filter(([key]) => key >= FIRST_KEY_OF_MAIN));
    const name = `the ${read.consistency} read of ${read.client} at ${read.at} ms`;
    const found: Violation[] = [];
    const fresh = read.site === "main" || read.consistency === "main";
    for (const key of fresh ? rows.keys() : []) {
      const missed = rows.missing(key, shown.get(key), read.at);
      if (!missed) continue;
      const message = `${name} has ${shown.get(key) ?? "nothing"} in row ${key}, and write ${missed.writeId}, called later, had been acknowledged`;
      found.push(report("stale-read", message, missed, read));
    }
    for (const [key, value] of shown) {
      const blame = blameRow(history, key, value, name, [read]);
      if (blame) found.push(blame);
      const write = history.writes.ofRow(key, value);
      if (!write || blame) continue;
      if (write.calledAt > read.until)
        found.push(
          report("inexact-read", `${name} shows write ${write.writeId}, called after its answer`, write, read),
        );
      const rank = ranks.get(value);
      if (rank === undefined) {
        found.push(report("lost", `${name} shows write ${write.writeId}, and main has no effect of it`, write, read));
        continue;
      }
      // Whatever another row of the write has must be of the write, or later.
      const older = lastValues(write).find(([other, own]) => {
        const there = shown.get(other);
        const when = there === undefined ? lastDelete.get(other) : ranks.get(there);
        return (when ?? -1) < (ranks.get(own) ?? -1);
      });
      if (older)
        found.push(
          report("torn", `${name} has row ${key} of write ${write.writeId}, and not row ${older[0]}`, write, read),
        );
    }
    return found;
  });
}

/** What the write leaves in each row that it does not delete. */
function lastValues({ changes }: ClientWrite): [key: number, value: string][] {
  return [...new Map(changes.map((change) => [change.key, change])).values()].flatMap((change) =>
    change.operation === "delete" ? [] : [[change.key, change.value] as [number, string]],
  );
}

interface RowHistory {
  /** Writes that leave a value in it, not refused. */
  values: Map<string, ClientWrite>;
  /** Writes that delete it at some point. */
  deletes: ClientWrite[];
  /** Acknowledged writes by the time of their acknowledgement, each with the last to be called of all up to it. */
  last: { at: number; write: ClientWrite }[];
}

/** Who changed each row of main's own clients. */
class MainRows {
  readonly #rows = new Map<number, RowHistory>();

  constructor(writes: readonly ClientWrite[]) {
    const acknowledged = writes.toSorted((a, b) => a.acknowledgedAt - b.acknowledgedAt);
    for (const write of acknowledged) {
      for (const [key, change] of new Map(write.changes.map((each) => [each.key, each]))) {
        const row: RowHistory = this.#rows.get(key) ?? { values: new Map(), deletes: [], last: [] };
        this.#rows.set(key, row);
        if (write.changes.some((each) => each.key === key && each.operation === "delete")) row.deletes.push(write);
        if (change.operation !== "delete" && !write.refused) row.values.set(change.value, write);
        if (write.acknowledgedAt === Number.POSITIVE_INFINITY) continue;
        const last = row.last.at(-1)?.write;
        row.last.push({
          at: write.acknowledgedAt,
          write: last && last.calledAt > write.calledAt ? last : write,
        });
      }
    }
  }

  keys(): number[] {
    return [...this.#rows.keys()];
  }

  of(key: number): RowHistory | undefined {
    return this.#rows.get(key);
  }

  /** A write acknowledged before the time that was called when all that can have left this value were over. */
  missing(key: number, value: string | undefined, before: number): ClientWrite | undefined {
    const row = this.#rows.get(key);
    if (!row) return undefined;
    const count = firstIndex(row.last.length, (i) => (row.last[i]?.at ?? 0) >= before);
    const last = row.last[count - 1]?.write;
    if (!last) return undefined;
    const makers = value === undefined ? row.deletes.filter(deletesInTheEnd(key)) : [row.values.get(value)];
    const over = makers.reduce((at, write) => Math.max(at, overAt(write)), Number.NEGATIVE_INFINITY);
    return over < last.calledAt ? last : undefined;
  }
}

function overAt(write: ClientWrite | undefined): number {
  if (!write) return Number.POSITIVE_INFINITY; // a value that nobody wrote is reported as that
  return write.refused ? Number.NEGATIVE_INFINITY : write.acknowledgedAt;
}

function deletesInTheEnd(key: number): (write: ClientWrite) => boolean {
  return ({ changes }) => changes.findLast((change) => change.key === key)?.operation === "delete";
}
