import { Histogram } from "prom-client";
import type { Batch, Outcome } from "./batch.ts";

/** What the drain of this process has done since it started, and what it has under way. */
export class DrainMeasures {
  readonly batches = { committed: 0, failed: 0 };
  readonly inFlight = { batches: 0, writes: 0 };
  /** How often the drain had to begin anew. */
  holdups = 0;
  /** When it last had to; undefined: never. */
  heldUpAt: Date | undefined;
  holdsLease = false;
  /** Of batches that main committed, from sending to the answer. */
  readonly seconds = new Histogram({
    name: "opsdb_processor_batch_seconds",
    help: "Time from sending a batch to main's answer that it is committed, in seconds",
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [], // whoever serves metrics registers it
  });

  heldUp(): void {
    this.holdups += 1;
    this.heldUpAt = new Date();
  }

  /** Follows a batch from its sending on. */
  async follow({ entries }: Batch, sent: Promise<Outcome>): Promise<Outcome> {
    const { inFlight, batches } = this;
    const startedAt = performance.now();
    inFlight.batches += 1;
    inFlight.writes += entries.length;
    const outcome = await sent.finally(() => {
      inFlight.batches -= 1;
      inFlight.writes -= entries.length;
    });
    if ("committed" in outcome) {
      batches.committed += 1;
      this.seconds.observe((performance.now() - startedAt) / 1_000);
    } else batches.failed += 1;
    return outcome;
  }
}
