import { blameRow } from "./check-history-blame.ts";
import type { HistoryRecord, OrderedWrite } from "./check-history-record.ts";
import { type Violation, violation } from "./check-history-violation.ts";
import type { ReadEvent } from "./history.ts";
import { FIRST_KEY_OF_MAIN } from "./model.ts";
import { firstIndex, isRead } from "./model-replay.ts";

/**
 * Whether each read shows the secondary site's rows as they are after some beginning of the site's order: one that no
 * call after the read's answer is in and, for a merged read that was not flagged, one that everything acknowledged
 * before the read was called is in, and everything that the same client's merged reads before have shown.
 */
export function checkHistoryReads(history: HistoryRecord): Violation[] {
  const bounds = new Bounds(history);
  /** Per client the earliest state that its merged reads so far can have shown, and the read that showed it. */
  const shown = new Map<string, { state: number; read: ReadEvent }>();
  return history.reads.flatMap((read) => {
    const seen = readRows(history, read);
    if ("found" in seen) return seen.found;
    const { from, to, size } = seen;
    const merged = read.consistency === "merged" && read.site === "secondary";
    const exact = merged && !read.bufferUnreachable;
    const acknowledged = exact ? bounds.acknowledgedBefore(read.at) : undefined;
    const before = exact ? shown.get(read.client) : undefined;
    const earliest = Math.max(from, acknowledged?.index ?? 0, before?.state ?? 0);
    const latest = Math.min(to, bounds.calledUntil(read.until));
    const state = history.replay.firstOfSize(size, earliest, latest);
    if (state === undefined) return [explain(history, read, { ...seen, acknowledged, before, latest })];
    if (merged && state >= (shown.get(read.client)?.state ?? 0)) shown.set(read.client, { state, read });
    return [];
  });
}

interface SeenRows {
  /** The states in which every row of the read has its value. */
  from: number;
  to: number;
  /** How many rows it has. */
  size: number;
}

function readRows(history: HistoryRecord, read: ReadEvent): SeenRows | { found: Violation[] } {
  const found: Violation[] = [];
  const seen: SeenRows = { from: 0, to: history.replay.last, size: 0 };
  const keys = new Set<number>();
  for (const [key, value] of read.rows) {
    if (keys.has(key)) found.push(inexact(read, `has row ${key} twice`));
    keys.add(key);
    if (key >= FIRST_KEY_OF_MAIN) continue;
    const blame = blameRow(history, key, value, named(read), [read]);
    if (blame && (isRead(key) || !shownUntilRejected(read, blame))) found.push(blame);
    if (!isRead(key)) continue;
    const version = history.replay.version(key, value);
    seen.size += 1;
    seen.from = Math.max(seen.from, version?.from ?? Number.POSITIVE_INFINITY);
    seen.to = Math.min(seen.to, version?.to ?? Number.NEGATIVE_INFINITY);
  }
  return found.length > 0 ? { found } : seen;
}

/** A merged read may show a row of poison until its rejection is known. */
function shownUntilRejected(read: ReadEvent, { kind }: Violation): boolean {
  return read.consistency === "merged" && kind !== "invented" && kind !== "refused-but-visible";
}

/** Says what is wrong with a read that shows none of the states that it may. */
function explain(
  history: HistoryRecord,
  read: ReadEvent,
  seen: SeenRows & {
    acknowledged: OrderedWrite | undefined;
    before: { state: number; read: ReadEvent } | undefined;
    latest: number;
  },
): Violation {
  const { from, to, size, acknowledged, before, latest } = seen;
  const { replay } = history;
  const name = named(read);
  if (replay.firstOfSize(size, from, to) === undefined) {
    const torn = findTorn(history, read);
    if (!torn) return inexact(read, `shows what the table never was: ${differences(history, read, from)}`);
    const { write, key, other } = torn;
    const message = `${name} has what write ${write.row.writeId} made of row ${key}, and of row ${other} what was there before`;
    return violation("torn", message, {
      writeIds: [write.row.writeId],
      events: [...(write.write?.attempts ?? []), read],
    });
  }
  if (replay.firstOfSize(size, from, latest) === undefined)
    return inexact(read, "shows a write that was called after its answer");
  const lower = acknowledged?.index ?? 0;
  if (acknowledged && replay.firstOfSize(size, Math.max(from, lower), latest) === undefined) {
    const { writeId, position } = acknowledged.row;
    return violation(
      "stale-read",
      `${name} does not contain write ${writeId} at ${position}, which was acknowledged before, or one before that`,
      { writeIds: [writeId], events: [...(acknowledged.write?.attempts ?? []), read] },
    );
  }
  return violation("read-went-back", `${name} shows an earlier state than the client's merged read before it`, {
    events: before ? [before.read, read] : [read],
  });
}

function inexact(read: ReadEvent, what: string): Violation {
  return violation("inexact-read", `${named(read)} ${what}`, { events: [read] });
}

function named({ client, consistency, at }: ReadEvent): string {
  return `the ${consistency} read of ${client} at ${at} ms`;
}

/** How the read differs from the newest state that one of its rows is from. */
function differences({ replay, order }: HistoryRecord, read: ReadEvent, state: number): string {
  const rows = new Map(read.rows);
  const different = [...replay.keys()].filter((key) => isRead(key) && rows.get(key) !== replay.valueAt(key, state));
  const named = different
    .slice(0, 3)
    .map((key) => `row ${key} is ${rows.get(key) ?? "missing"}, not ${replay.valueAt(key, state) ?? "missing"}`);
  const more = different.length > named.length ? `, and ${different.length - named.length} more` : "";
  return `beside a row of the state after ${order[state - 1]?.row.position ?? "nothing"}, ${named.join(", ")}${more}`;
}

/** A write of which the read shows one row as it left it, and another as it was just before and not again beside that one. */
function findTorn(
  { order, replay }: HistoryRecord,
  read: ReadEvent,
): { write: OrderedWrite; key: number; other: number } | undefined {
  const rows = new Map(read.rows);
  for (const write of order) {
    const { index, row } = write;
    if (row.outcome !== "APPLIED") continue;
    const keys = [...new Set(replay.steps[index - 1]?.effects.map(({ key }) => key))].filter(
      (key) => replay.valueAt(key, index) !== replay.valueAt(key, index - 1),
    );
    if (keys.length < 2) continue;
    const before = keys.filter((key) => rows.get(key) === replay.valueAt(key, index - 1));
    for (const key of keys.filter((k) => rows.get(k) === replay.valueAt(k, index))) {
      const until = replay.unchangedUntil(key, index);
      const other = before.find((k) => rows.has(k) || replay.presentWithin(k, index, until));
      if (other !== undefined) return { write, key, other };
    }
  }
  return undefined;
}

/** What the clocks of the clients say about which writes a read must and may contain. */
class Bounds {
  /** By time of acknowledgement, each with the last in the site's order of all up to it. */
  readonly #acknowledged: { at: number; last: OrderedWrite }[] = [];
  /** By time of the call, descending, each with the state before all that were called then or later. */
  readonly #called: { at: number; state: number }[] = [];
  readonly #last: number;

  constructor({ order, orderOf, replay }: HistoryRecord) {
    this.#last = replay.last;
    const known = order.flatMap((ordered) =>
      ordered.write && orderOf.get(ordered.write) === ordered ? [{ ordered, write: ordered.write }] : [],
    );
    let last: OrderedWrite | undefined;
    for (const { ordered, write } of known.toSorted((a, b) => a.write.acknowledgedAt - b.write.acknowledgedAt)) {
      if (ordered.index > (last?.index ?? 0)) last = ordered;
      if (last) this.#acknowledged.push({ at: write.acknowledgedAt, last });
    }
    let state = this.#last;
    for (const { ordered, write } of known.toSorted((a, b) => b.write.calledAt - a.write.calledAt)) {
      state = Math.min(state, ordered.index - 1);
      this.#called.push({ at: write.calledAt, state });
    }
  }

  /** The last write in the site's order of those acknowledged before the time. */
  acknowledgedBefore(at: number): OrderedWrite | undefined {
    const found = firstIndex(this.#acknowledged.length, (i) => (this.#acknowledged[i]?.at ?? 0) >= at);
    return this.#acknowledged[found - 1]?.last;
  }

  /** The last state that has nothing called after the time. */
  calledUntil(until: number): number {
    const found = firstIndex(this.#called.length, (i) => (this.#called[i]?.at ?? 0) <= until);
    return this.#called[found - 1]?.state ?? this.#last;
  }
}
