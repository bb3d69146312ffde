import { type Measure, up } from "./measure.ts";

/** The drain of a secondary site, as this process does it. */
export const processorMeasures: readonly Measure[] = [
  {
    name: "opsdb_processor_up",
    help: "1 while the drain works, waits for writes, is paused, or leaves them to another process",
    type: "gauge",
    read(site) {
      const { processor } = site.readStatus();
      return processor && up(processor.state);
    },
  },
  {
    name: "opsdb_processor_applied_writes_total",
    help: "Writes that this process has applied to the main database",
    type: "counter",
    read: (site) => site.readStatus().processor?.appliedWrites,
  },
  {
    name: "opsdb_processor_rejected_writes_total",
    help: "Writes that the main database refused for good when this process applied them",
    type: "counter",
    read: (site) => site.readStatus().processor?.rejectedWrites,
  },
  {
    name: "opsdb_processor_batches_total",
    help: "Batches sent to the main database, by what became of them; those behind a failed one fail with it",
    type: "counter",
    labelNames: ["outcome"],
    read: ({ measures: { drain } }) =>
      Object.entries(drain?.batches ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value })),
  },
  {
    name: "opsdb_processor_in_flight_batches",
    help: "Batches on their way to the main database",
    type: "gauge",
    read: ({ measures }) => measures.drain?.inFlight.batches,
  },
  {
    name: "opsdb_processor_in_flight_writes",
    help: "Writes on their way to the main database",
    type: "gauge",
    read: ({ measures }) => measures.drain?.inFlight.writes,
  },
  {
    name: "opsdb_processor_retries_total",
    help: "How often an error has held the drain up, so that it had to begin anew",
    type: "counter",
    read: ({ measures }) => measures.drain?.holdups,
  },
  {
    name: "opsdb_processor_last_error_seconds",
    help: "Time since an error last held the drain up, in seconds; NaN where none has",
    type: "gauge",
    read({ measures }) {
      const at = measures.drain?.heldUpAt;
      return at && (Date.now() - at.getTime()) / 1_000;
    },
  },
  {
    name: "opsdb_processor_lease_held",
    help: "1 in the one process of the site that drains the buffer",
    type: "gauge",
    read: ({ measures }) => measures.drain && (measures.drain.holdsLease ? 1 : 0),
  },
];
