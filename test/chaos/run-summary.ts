import type { RecordedEvent } from "./recorded-event.ts";

/** What a run consisted of. Summaries of several runs add up. */
export interface RunSummary {
  /** By kind and outcome, as in "write ok". */
  operations: Record<string, number>;
  /** By name. */
  faults: Record<string, number>;
  /** Merged reads that were answered. */
  reads: number;
  /** The longest, of several runs, in milliseconds; undefined where a run did not drain in its time. */
  drainedInMs: number | undefined;
}

export function summarize(events: readonly RecordedEvent[]): RunSummary {
  const summary: RunSummary = { operations: {}, faults: {}, reads: 0, drainedInMs: undefined };
  for (const event of events) {
    if (event.kind === "fault" && event.phase === "begin") count(summary.faults, event.name);
    if (event.kind === "final") summary.drainedInMs = event.drainedInMs;
    if (event.kind === "write") {
      const again = event.duplicate ? " (had it already)" : "";
      const refused = event.outcome === "failed" && event.error ? `, ${event.error}` : "";
      count(summary.operations, `${event.site} write ${event.outcome}${again}${refused}`);
    }
    if (event.kind === "lookup") count(summary.operations, `${event.site} lookup ${event.outcome}`);
    if (event.kind === "read") {
      count(summary.operations, `${event.site} read ${event.consistency} ${event.outcome}`);
      if (event.consistency === "merged" && event.outcome === "ok") summary.reads += 1;
    }
  }
  return summary;
}

export function addUp(summaries: readonly RunSummary[]): RunSummary {
  const total: RunSummary = { operations: {}, faults: {}, reads: 0, drainedInMs: 0 };
  for (const { operations, faults, reads, drainedInMs } of summaries) {
    for (const [name, number] of Object.entries(operations)) count(total.operations, name, number);
    for (const [name, number] of Object.entries(faults)) count(total.faults, name, number);
    total.reads += reads;
    total.drainedInMs =
      drainedInMs === undefined || total.drainedInMs === undefined
        ? undefined
        : Math.max(total.drainedInMs, drainedInMs);
  }
  return total;
}

/** Operations of all kinds. */
export function operationsIn({ operations }: RunSummary): number {
  return sum(operations);
}

export function faultsIn({ faults }: RunSummary): number {
  return sum(faults);
}

/** As a few lines for people. */
export function summaryText(summary: RunSummary): string {
  return [
    `${operationsIn(summary)} operations`,
    ...table(summary.operations),
    `${faultsIn(summary)} faults`,
    ...table(summary.faults),
    `${summary.reads} merged reads checked`,
    summary.drainedInMs === undefined ? "not drained in the time allowed" : `drained in ${summary.drainedInMs} ms`,
  ].join("\n");
}

function table(counts: Record<string, number>): string[] {
  const entries = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, number]) => `${String(number).padStart(8)}  ${name}`);
}

function count(counts: Record<string, number>, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, number) => total + number, 0);
}
