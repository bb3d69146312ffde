import { addSpan, tracer } from "../lib/trace.ts";
import { formatPosition } from "../position.ts";
import type { Batch, Outcome } from "./batch.ts";

/**
 * Adds a span to the trace of each write of the batch that this process has accepted in one. The entry in the buffer has
 * no trace context: a write that another process drains is found by its id.
 */
export async function traceBatch({ entries }: Batch, sent: Promise<Outcome>): Promise<Outcome> {
  if (!tracer()) return await sent;
  const startTime = Date.now();
  const outcome = await sent;
  const error = "committed" in outcome ? undefined : outcome.error;
  for (const { write, writeId, position } of entries) {
    const attributes = {
      "db.system.name": "postgresql",
      "db.operation.batch.size": entries.length,
      "opsdb.write_id": writeId,
      "opsdb.position": formatPosition(position),
    };
    addSpan(write, { name: "apply on main", attributes, startTime, error });
  }
  return outcome;
}
