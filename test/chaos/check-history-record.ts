import { parsePosition, START } from "../../src/position.ts";
import { type ClientWrite, ClientWrites } from "./check-history-writes.ts";
import type { Event, FinalEvent, ReadEvent, StatusEvent } from "./history.ts";
import { ModelReplay } from "./model-replay.ts";

export type LedgerRow = FinalEvent["ledger"][number];

/** One row of the secondary site's ledger. */
export interface OrderedWrite {
  /** Its place in the site's order, from 1: the first state of the model that contains it. */
  index: number;
  /** START where the row has none that can be read. */
  position: bigint;
  row: LedgerRow;
  /** What the row stands for; undefined where no client of the site has used the id. */
  write: ClientWrite | undefined;
}

/** A run's record, arranged for the rules. */
export interface HistoryRecord {
  final: FinalEvent;
  writes: ClientWrites;
  /** Reads that were answered, in the order in which they were called. */
  reads: readonly ReadEvent[];
  statuses: readonly StatusEvent[];
  /** The ledger in the order of positions. An id that has two rows stands in it twice, and is applied once. */
  order: readonly OrderedWrite[];
  /** The row of the order that a write has decided; undefined where it has none. */
  orderOf: ReadonlyMap<ClientWrite, OrderedWrite>;
  replay: ModelReplay;
}

export function arrangeHistory(events: readonly Event[], final: FinalEvent): HistoryRecord {
  const writes = new ClientWrites(events);
  const inEffects = new Set(final.effects.map(({ value }) => value));
  const order: OrderedWrite[] = final.ledger
    .map((row) => ({ index: 0, position: positionOf(row), row, write: contentOf(row, writes, inEffects) }))
    .sort((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));
  const orderOf = new Map<ClientWrite, OrderedWrite>();
  order.forEach((ordered, i) => {
    ordered.index = i + 1;
    if (ordered.write && !orderOf.has(ordered.write)) orderOf.set(ordered.write, ordered);
  });
  const once = order.map((ordered) =>
    ordered.write && orderOf.get(ordered.write) !== ordered ? { ...ordered, write: undefined } : ordered,
  );
  return {
    final,
    writes,
    reads: events
      .filter((event): event is ReadEvent => event.kind === "read" && event.outcome === "ok")
      .sort((a, b) => a.at - b.at),
    statuses: events.filter((event): event is StatusEvent => event.kind === "status").sort((a, b) => a.at - b.at),
    order,
    orderOf,
    replay: new ModelReplay(once),
  };
}

function positionOf({ position }: LedgerRow): bigint {
  try {
    return parsePosition(position);
  } catch {
    return START;
  }
}

/** Where an id was used for several contents: the one that was acknowledged, or else has effects. */
function contentOf(
  { writeId }: LedgerRow,
  writes: ClientWrites,
  inEffects: ReadonlySet<string>,
): ClientWrite | undefined {
  const contents = writes.withId("secondary", writeId);
  const hasEffects = ({ changes }: ClientWrite): boolean =>
    changes.some((change) => change.operation !== "delete" && inEffects.has(change.value));
  return (
    contents.find(({ acknowledgedAt }) => acknowledgedAt < Number.POSITIVE_INFINITY) ??
    contents.find(hasEffects) ??
    contents.find(({ refused }) => !refused) ??
    contents[0]
  );
}
