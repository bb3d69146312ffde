import type { SequenceStatus } from "../replication/status.ts";
import type { Labelled, Measure } from "./measure.ts";
import type { Site } from "./site.ts";

/** What a secondary site has leased of main's sequences. */
export const sequenceMeasures: readonly Measure[] = [
  {
    name: "opsdb_sequence_stock",
    help: "Values of the sequence that this site has leased from main and not used yet",
    type: "gauge",
    labelNames: ["sequence"],
    read: (site) => ofSequences(site, ({ stock }) => stock),
  },
  {
    name: "opsdb_sequence_stock_target",
    help: "What the stock is filled up to while main answers",
    type: "gauge",
    labelNames: ["sequence"],
    read: (site) => ofSequences(site, ({ target }) => target),
  },
];

function ofSequences(site: Site, of: (sequence: SequenceStatus) => number): Labelled[] {
  const sequences = site.readStatus().sequences ?? [];
  return sequences.map((sequence) => ({ labels: { sequence: sequence.name }, value: of(sequence) }));
}
